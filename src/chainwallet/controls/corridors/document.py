"""Corridors as people write them: the document that a bank keeps, checked whole before it is stored."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, time
from decimal import Decimal
from enum import StrEnum
from importlib import resources
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pycountry
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.functional_validators import AfterValidator

from chainwallet.controls.corridors.fees import RATE_MAX_PPM, Tariff, Tier
from chainwallet.controls.corridors.hours import AfterCutOff, CalendarUnknown, check_calendar
from chainwallet.controls.corridors.lifetime import lifetime_ppm
from chainwallet.controls.identity.customers import CustomerType
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.external_codes import external_codes
from chainwallet.kit.money import Money, currency

CORRIDORS_MAX = 2_000
LIFETIME_MAX_S = 3_600  # as the settings allow at most
STANDARD_MAX_PPM = 100_000  # likewise: what CHAINWALLET_FEE_BPS may be
_RATE = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{1,2})?", re.ASCII)
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


class RefundChoice(StrEnum):
    ORIGINAL_RATE = "original_rate"
    CURRENT_RATE = "current_rate"
    TARGET_CURRENCY = "target_currency"


class Bearer(StrEnum):
    """Whose loss it is when the rate has moved between payment and refund."""

    PAYER = "payer"
    TREASURY = "treasury"
    PARTNER = "partner"


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _moment(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("must be an RFC 3339 time with its zone, such as 2026-11-22T00:00:00Z") from error
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise ValueError("must be an RFC 3339 time with its zone, such as 2026-11-22T00:00:00Z")
    return found.astimezone(UTC)


def _clock(value: Any) -> str:
    found = value.strftime("%H:%M") if isinstance(value, time) else value
    if not isinstance(found, str) or _CLOCK.fullmatch(found) is None:
        raise ValueError("must be a time of day such as 16:30")
    return found


def _rate(value: Any) -> str:
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or _RATE.fullmatch(found) is None:
        raise ValueError('must be basis points as a string such as "12.5", with at most two decimals')
    if rate_ppm(found) > RATE_MAX_PPM:
        raise ValueError(f"is more than {RATE_MAX_PPM // 100} basis points")
    return found


def _code(value: str) -> str:
    try:
        return currency(value).code
    except ChainwalletError as error:
        raise ValueError(error.detail) from error


def _country(value: str) -> str:
    if pycountry.countries.get(alpha_2=value) is None or not value.isupper():
        raise ValueError("must be an ISO 3166-1 alpha-2 code in capitals, such as DE")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be a time zone of the IANA database such as Europe/Berlin") from error
    return value


def _calendar(value: str) -> str:
    try:
        check_calendar(value)
    except CalendarUnknown as error:
        raise ValueError(str(error)) from error
    return value


def _purpose(value: str) -> str:
    if value not in external_codes("ExternalPurpose1Code"):
        raise ValueError("must be a code of ISO 20022 ExternalPurpose1Code, such as SALA or GDDS")
    return value


def rate_ppm(text: str) -> int:
    """Parts per million of a rate in basis points: 1,250 for "12.5"."""
    return int(Decimal(text) * 100)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment, json_schema_input_type=str),
    PlainSerializer(lambda moment: moment.isoformat().replace("+00:00", "Z"), return_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
Clock = Annotated[
    str,
    BeforeValidator(_clock, json_schema_input_type=str),
    Field(json_schema_extra={"pattern": f"^{_CLOCK.pattern}$"}),
]
Rate = Annotated[
    str,
    BeforeValidator(_rate, json_schema_input_type=str),
    Field(description="Basis points.", json_schema_extra={"pattern": f"^{_RATE.pattern}$", "examples": ["12.5"]}),
]
Code = Annotated[
    str, AfterValidator(_code), Field(description="ISO 4217.", json_schema_extra={"pattern": "^[A-Z]{3}$"})
]
Country = Annotated[
    str, AfterValidator(_country), Field(description="ISO 3166-1.", json_schema_extra={"pattern": "^[A-Z]{2}$"})
]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
Label = Annotated[str, Field(min_length=1, max_length=70, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]
Days = Annotated[int, Field(strict=True, ge=0, le=30)]


class AmountData(_Data):
    """An amount: an ISO 4217 code and a decimal string."""

    currency: Code
    value: Annotated[str, Field(json_schema_extra={"pattern": r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,6})?$"})]

    @model_validator(mode="after")
    def _parse(self) -> Self:
        try:
            Money.parse(self.currency, self.value)
        except ChainwalletError as error:
            raise ValueError(error.detail) from error
        return self

    @property
    def money(self) -> Money:
        return Money.parse(self.currency, self.value)


class TierData(_Data):
    """The rate of what lies above `above`, up to the next tier; the first tier has no `above`."""

    above: AmountData | None = None
    rate_bps: Rate


class ScheduleData(_Data):
    """What is taken: `flat`, and each slice of the amount at its tier's rate; at least `minimum`, at most `maximum`."""

    flat: AmountData | None = None
    tiers: Annotated[tuple[TierData, ...], Field(min_length=1, max_length=20)]
    minimum: AmountData | None = None
    maximum: AmountData | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """One currency, tiers that rise from nothing, a maximum above the minimum, rates that leave something."""
        aboves = [tier.above for tier in self.tiers]
        amounts = [a for a in (self.flat, self.minimum, self.maximum, *aboves[1:]) if a is not None]
        codes = {amount.currency for amount in amounts}
        if aboves[0] is not None or None in aboves[1:]:
            raise ValueError("the first tier begins at nothing, without above; every later one has it")
        if len(codes) > 1:
            raise ValueError(f"all amounts of one schedule are in one currency, not in {' and '.join(sorted(codes))}")
        Tariff(
            code=codes.pop() if codes else "EUR",
            tiers=tuple(
                Tier(tier.above.money.units if tier.above else 0, rate_ppm(tier.rate_bps)) for tier in self.tiers
            ),
            minimum_units=self.minimum.money.units if self.minimum else 0,
            maximum_units=self.maximum.money.units if self.maximum else None,
        )
        return self


class PartnerData(_Data):
    """Who pays out at the other end, and what they take on top."""

    label: Label
    flat: AmountData | None = None
    rate_bps: Rate = "0"


class FeesData(_Data):
    """The schedule for everybody, and others for customers of certain types."""

    standard: ScheduleData
    by_payer_type: dict[CustomerType, ScheduleData] = Field(default_factory=dict)


class HoursData(_Data):
    """Cut-off and calendars. Without any of it a corridor is always open."""

    time_zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] = "UTC"
    cut_off: Clock | None = None
    calendars: Annotated[
        tuple[Annotated[str, Field(max_length=16), AfterValidator(_calendar)], ...],
        Field(max_length=8, description="Holidays of both sides: countries (DE) and markets (ECB is TARGET2)."),
    ] = ()
    after_cut_off: AfterCutOff = AfterCutOff.NEXT_DAY


class DeliveryData(_Data):
    """When the payee has the money: seconds after acceptance or opening, or working days of both sides later."""

    seconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = 30
    working_days: Days | None = None
    by: Clock = "23:59"


class PurposeData(_Data):
    """Whether a purpose must be given, and which: codes of ISO 20022 ExternalPurpose1Code; none listed means any."""

    codes: Annotated[tuple[Annotated[str, AfterValidator(_purpose)], ...], Field(max_length=400)] = ()
    required: bool = True


class LifetimeData(_Data):
    """What a quote's staying firm costs: `charged_percent` of an option's worth at this volatility."""

    volatility_bps_a_day: Annotated[int, Field(strict=True, ge=0, le=2_000)]
    charged_percent: Annotated[int, Field(strict=True, ge=0, le=200)] = 0


class RefundData(_Data):
    """What comes back, for how long this is promised, and whose loss it is if the rate has moved."""

    policy: RefundChoice
    within_hours: Annotated[int, Field(strict=True, ge=1, le=24 * 90)] = 24 * 10
    borne_by: Bearer
    account: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=r"^[A-Za-z0-9_-]+$",
            description="The customer that pays original_rate out for who bears it: the payee's money goes to this "
            "account, and the payer's comes from it.",
        ),
    ] = None

    @model_validator(mode="after")
    def _has_an_owner(self) -> Self:
        promised = self.policy is RefundChoice.ORIGINAL_RATE
        if promised == (self.borne_by is Bearer.PAYER):
            raise ValueError(
                "original_rate is borne by the treasury or the partner, who promise the rate; "
                "with current_rate and target_currency the payer bears what the rate has moved"
            )
        return self


class CorridorData(_Data):
    """One corridor: where from, where to, and every rule and term of payments along it."""

    id: Slug
    source_currency: Code | None = None
    target_currency: Code | None = None
    payer_country: Country | None = None
    payee_country: Country | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    enabled: Annotated[bool, Field(strict=True)] = True
    hours: HoursData = HoursData()
    delivery: DeliveryData = DeliveryData()
    minimum: AmountData | None = None
    maximum: AmountData | None = None
    purpose: PurposeData | None = None
    partner: PartnerData | None = None
    fees: FeesData | None = None
    lifetime: LifetimeData | None = None
    refund: RefundData = RefundData(policy=RefundChoice.CURRENT_RATE, borne_by=Bearer.PAYER)

    @property
    def key(self) -> tuple[str | None, ...]:
        """What it matches; None matches anything."""
        return self.source_currency, self.target_currency, self.payer_country, self.payee_country

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError("valid_until must be after valid_from")
        if self.refund.borne_by is Bearer.PARTNER and self.partner is None:
            raise ValueError("a refund is borne by the partner, but there is no partner")
        if self._steepest_ppm() > RATE_MAX_PPM:
            raise ValueError(f"fee, partner and lifetime together take more than {RATE_MAX_PPM // 100} basis points")
        return self

    def _steepest_ppm(self) -> int:
        """The most that a further unit can cost, for quotes of the longest life."""
        schedules = [self.fees.standard, *self.fees.by_payer_type.values()] if self.fees else []
        rates = [rate_ppm(tier.rate_bps) for schedule in schedules for tier in schedule.tiers]
        life = self.lifetime
        premium = 0
        if life is not None:
            premium = lifetime_ppm(
                lifetime_s=LIFETIME_MAX_S,
                volatility_bps_a_day=life.volatility_bps_a_day,
                charged_percent=life.charged_percent,
            )
        return max(rates, default=STANDARD_MAX_PPM) + premium + (rate_ppm(self.partner.rate_bps) if self.partner else 0)

    def meets(self, other: CorridorData) -> bool:
        """Whether both are in force at some moment."""
        first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        return (self.valid_from or first) < (other.valid_until or last) and (other.valid_from or first) < (
            self.valid_until or last
        )


class ExposureData(_Data):
    """The most that may be promised and not settled yet, each worth so much at mid."""

    by_currency: Annotated[dict[Code, AmountData], Field(max_length=200)] = Field(default_factory=dict)
    by_maker: Annotated[dict[str, AmountData], Field(max_length=1_000)] = Field(
        default_factory=dict, description="By the maker's customer id; `*` for every other one."
    )


class RiskData(_Data):
    """Limits of the market as a whole."""

    maker_deviation_bps_max: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 2_000
    exposure: ExposureData = ExposureData()


class CorridorsData(_Data):
    """All corridors, and the limits of risk: what one revision holds."""

    corridors: Annotated[tuple[CorridorData, ...], Field(min_length=1, max_length=CORRIDORS_MAX)]
    risk: RiskData = RiskData()

    @model_validator(mode="after")
    def _no_two_for_one_payment(self) -> Self:
        seen: dict[object, list[CorridorData]] = {}
        for corridor in self.corridors:
            for name in ("id", "match"):
                others = seen.setdefault(corridor.id if name == "id" else corridor.key, [])
                for other in others:
                    if corridor.meets(other):
                        raise ValueError(f"{other.id} and {corridor.id} have the same {name} at the same time")
                others.append(corridor)
        return self


def shipped() -> CorridorsData:
    """The corridors of an installation that has not stored any: anything to anywhere."""
    text = (resources.files(__package__) / "default.toml").read_text()
    return CorridorsData.model_validate(tomllib.loads(text))
