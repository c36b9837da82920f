"""A payment's terms: what its corridor says of it when it is quoted, kept with the quote and the transfer.

The terms are settled before the payment is accepted, and the payer's signature covers the refund policy: whoever
bears the loss of a refund is known before there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from chainwallet.controls.corridors.decisions import (
    Corridor,
    CorridorMap,
    CorridorRefused,
    Facts,
    Violation,
    ViolationCode,
)
from chainwallet.controls.corridors.fees import Tariff
from chainwallet.controls.identity.customers import CustomerType
from chainwallet.controls.identity.payees import Party
from chainwallet.kit.clock import rfc3339
from chainwallet.kit.money import Money
from chainwallet.market.rates import MidMarket

Terms = dict[str, Any]
"""A JSON document: {corridor, revision, schedule, fees, deliver_by, refund, stated}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What whoever asks for a quote says of the payment; None is unsaid."""

    payer_country: str | None = None
    payee_country: str | None = None
    payer_type: CustomerType | None = None
    purpose: str | None = None

    @classmethod
    def of_parties(cls, payer: Party, payee: Party | None, *, purpose: str | None) -> Stated:
        """Of a payment whose parties are known; nothing is known of a payee who is no customer here."""
        payee_country = payee.country if payee is not None else None
        return cls(payer_country=payer.country, payee_country=payee_country, payer_type=payer.type, purpose=purpose)


UNSAID = Stated()


def make_terms(
    corridor: Corridor,
    tariff: Tariff,
    stated: Stated,
    *,
    revision: int,
    source_units: int,
    now: datetime,
    firm_until: datetime,
) -> Terms:
    """The terms of a payment of `source_units` that is quoted now."""
    refund = corridor.refund(firm_until)
    return {
        "corridor": corridor.id,
        "revision": revision,
        "schedule": corridor.schedule_of(stated.payer_type),
        "fees": [
            {"kind": item.kind, "units": str(item.units)}
            if item.rate_ppm is None
            else {
                "kind": item.kind,
                "units": str(item.units),
                "rate_ppm": item.rate_ppm,
                "on_units": str(item.on_units),
            }
            for item in tariff.items(source_units)
        ],
        "deliver_by": rfc3339(corridor.hours.deliver_by(now)),
        "refund": {"policy": refund.policy, "until": rfc3339(refund.until), "borne_by": refund.borne_by},
        "stated": {name: value for name in _STATED if (value := getattr(stated, name)) is not None},
    }


_STATED = tuple(Stated.__slots__)


def check_terms(
    corridors: CorridorMap,
    mids: MidMarket,
    terms: Terms | None,
    *,
    source: str,
    target: str,
    quoted_at: datetime,
    payer: Party,
    payee: Party | None,
    purpose: str | None,
) -> CorridorRefused | None:
    """What speaks against a quoted payment now that its parties are known; None where nothing does.

    The quote was firm from the moment it was given: amount, cut-off and fee were settled then. Quotes from before there
    were terms have none.
    """
    if terms is None:
        return None
    facts = Facts(
        source=source,
        target=target,
        at=quoted_at,
        payer_country=payer.country,
        payee_country=payee.country if payee is not None else terms["stated"].get("payee_country"),
        payer_type=payer.type,
        purpose=purpose,
    )
    verdict = corridors.decide(facts, mids)
    found = list(verdict.violations)
    corridor = verdict.corridor
    if corridor is not None and (corridor.id, corridor.schedule_of(payer.type)) != (
        terms["corridor"],
        terms["schedule"],
    ):
        found.append(_other_terms(terms, corridor, facts))
    return CorridorRefused(found) if found else None


def _other_terms(terms: Terms, corridor: Corridor, facts: Facts) -> Violation:
    asked = {
        "payer_country": facts.payer_country,
        "payee_country": facts.payee_country,
        "payer_type": str(facts.payer_type),
    }
    right = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
    message = (
        f"The quote is for the corridor {terms['corridor']} ({terms['schedule']}), the payment takes {corridor.id} "
        f"({corridor.schedule_of(facts.payer_type)}): ask for a quote with {right}."
    )
    return Violation(str(ViolationCode.TERMS_DIFFER), "quote_id", message)


def committed(terms: Terms | None) -> dict[str, Any]:
    """The part of the terms that the signed order's memo commits to."""
    if terms is None:
        return {}
    return {"corridor": f"{terms['corridor']}@{terms['revision']}", "refund": terms["refund"]}


def show_terms(terms: Mapping[str, Any] | None, source_currency: str) -> dict[str, Any]:
    """The terms as the REST contract shows them."""
    if terms is None:
        return {"corridor": None, "fee_items": [], "delivery": None, "refund": None}
    return {
        "corridor": {"id": terms["corridor"], "revision": terms["revision"]},
        "fee_items": [_fee_item(item, source_currency) for item in terms["fees"]],
        "delivery": {"estimated_by": terms["deliver_by"]},
        "refund": terms["refund"],
    }


def _fee_item(item: Mapping[str, Any], code: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": item["kind"], "amount": _amount(code, item["units"])}
    if "rate_ppm" in item:
        shown |= {"rate_bps": f"{Decimal(item['rate_ppm']) / 100:f}", "on": _amount(code, item["on_units"])}
    return shown


def _amount(code: str, units: str) -> dict[str, str]:
    return {"currency": code, "value": Money(code, int(units)).value}
