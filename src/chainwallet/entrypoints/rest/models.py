"""The pieces of bodies: a strict base, amounts, times, text. Routes compose them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, StringConstraints, model_validator
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from chainwallet.entrypoints.rest.problems import domain_error
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import InvalidAmount, Money

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)

# Control characters, line and paragraph separators, halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class StrictModel(BaseModel):
    """The base of request bodies: unknown fields and converted types are refused.

    Strict means that "1" is no integer and 1 is no boolean. An enumeration comes as text, so declare
    it `Annotated[Kind, Field(strict=False)]`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Amount(StrictModel):
    """An amount of money: an ISO 4217 code and a decimal string. Numbers are refused, whatever their value."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"currency": "EUR", "value": "100.00"}]})

    currency: Annotated[
        str, Field(description="ISO 4217 alphabetic code.", json_schema_extra={"pattern": "^[A-Z]{3}$"})
    ]
    value: Annotated[
        str,
        Field(
            description="Plain decimal digits, at most as many after the point as the currency has.",
            json_schema_extra={"pattern": r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,6})?$"},
        ),
    ]
    _money: Money = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _refuse_numbers(cls, data: Any) -> Any:
        if isinstance(data, dict) and "value" in data and not isinstance(data["value"], str):
            raise domain_error(
                InvalidAmount(
                    'The value of an amount is a JSON string such as "100.00", not a number or anything else.'
                )
            )
        return data

    @model_validator(mode="after")
    def _parse(self) -> Amount:
        try:
            self._money = Money.parse(self.currency, self.value)
        except ChainwalletError as error:
            raise domain_error(error) from error
        return self

    @property
    def money(self) -> Money:
        """The amount in units; exact."""
        return self._money


class AmountOut(BaseModel):
    """An amount of money in an answer."""

    model_config = ConfigDict(title="Amount", json_schema_extra={"examples": [{"currency": "EUR", "value": "100.00"}]})

    currency: str
    value: str

    @classmethod
    def of(cls, money: Money) -> AmountOut:
        return cls(currency=money.code, value=money.value)


def amount_json(money: Money) -> dict[str, str]:
    """An amount as a plain document, for answers that are rendered without a model."""
    return {"currency": money.code, "value": money.value}


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond: 2026-11-22T04:05:06.789Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_timestamp(value: Any) -> Any:
    if not isinstance(value, str) or _TIMESTAMP.fullmatch(value) is None:
        raise PydanticCustomError("timestamp", "must be an RFC 3339 time with its zone, such as 2026-11-22T04:05:06Z")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("timestamp", "is not a time that exists") from error


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise PydanticCustomError("printable", "must not hold line breaks or control characters")
    return text


Timestamp = Annotated[
    datetime,
    BeforeValidator(_parse_timestamp, json_schema_input_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
"""A moment with its zone, kept in UTC. Numbers and dates without a zone are refused."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=140), AfterValidator(_printable)]
"""A line of text for people: 1 to 140 characters (ISO 20022 Max140Text), without control characters."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
"""An identifier as this service gives them out."""

Signature = Annotated[
    str,
    StringConstraints(min_length=4, max_length=4_096, pattern=r"^0x([0-9a-fA-F]{2})+$"),
    Field(description="In hex: 65 bytes r, s, v of a secp256k1 key, or a passkey's assertion."),
]
"""A signature that was made elsewhere."""


def signature_bytes(signature: str) -> bytes:
    return bytes.fromhex(signature[2:])
