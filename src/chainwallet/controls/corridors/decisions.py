"""Which corridor a payment takes, and everything that speaks against it: facts in, one verdict out.

Pure: the same facts under the same revision give the same verdict. Where several corridors match, the one that says
most about the payment counts; of those that say equally much, the one that names countries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from chainwallet.controls.corridors.document import (
    AmountData,
    Bearer,
    CorridorData,
    CorridorsData,
    RefundChoice,
    ScheduleData,
    rate_ppm,
)
from chainwallet.controls.corridors.fees import Tariff, Tier
from chainwallet.controls.corridors.hours import AfterCutOff, Hours
from chainwallet.controls.corridors.lifetime import lifetime_ppm
from chainwallet.controls.exposure import ExposureLimits
from chainwallet.controls.identity.customers import CustomerType
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.market.rates import MidMarket

STANDARD = "standard"
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_WEIGHTS = (1, 2, 4, 8)  # source and target currency, payer's and payee's country, where equally many are named


class ViolationCode(StrEnum):
    """What can be wrong with a payment; docs/corridors.md explains each."""

    NONE = "CORRIDOR_NONE"
    DISABLED = "CORRIDOR_DISABLED"
    CLOSED = "CORRIDOR_CLOSED"
    BELOW_MINIMUM = "CORRIDOR_BELOW_MINIMUM"
    ABOVE_MAXIMUM = "CORRIDOR_ABOVE_MAXIMUM"
    PAYER_COUNTRY_MISSING = "CORRIDOR_PAYER_COUNTRY_MISSING"
    PAYEE_COUNTRY_MISSING = "CORRIDOR_PAYEE_COUNTRY_MISSING"
    PAYER_TYPE_MISSING = "CORRIDOR_PAYER_TYPE_MISSING"
    PURPOSE_MISSING = "CORRIDOR_PURPOSE_MISSING"
    PURPOSE_NOT_ALLOWED = "CORRIDOR_PURPOSE_NOT_ALLOWED"
    TERMS_DIFFER = "CORRIDOR_TERMS_DIFFER"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is missing or wrong: a stable code, the field to change, and a sentence that says how."""

    code: str
    field: str
    message: str


class CorridorRefused(ChainwalletError):
    """The payment does not fit its corridor; `violations` lists all that is missing or wrong."""

    code = "CORRIDOR_REFUSED"
    status = 422

    def __init__(self, violations: Sequence[Violation]) -> None:
        told = " ".join(violation.message for violation in violations)
        super().__init__(told if len(violations) == 1 else f"{len(violations)} things stand in the way. {told}")
        self.violations = [asdict(violation) for violation in violations]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a payment. `amount` is the one that its payer fixed; None where it was checked before."""

    source: str
    target: str
    at: datetime
    amount: Money | None = None
    amount_field: str = "source_amount"
    payer_country: str | None = None
    payee_country: str | None = None
    payer_type: CustomerType | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """What comes back if the payment is returned before `until`, and who bears what the rate has moved."""

    policy: RefundChoice
    until: datetime
    borne_by: Bearer


@dataclass(frozen=True, slots=True, eq=False)
class Corridor:
    """A corridor ready to judge by; equal only to itself."""

    data: CorridorData
    hours: Hours
    minimum: Money | None
    maximum: Money | None
    purposes: frozenset[str]

    @property
    def id(self) -> str:
        return self.data.id

    def is_in_force(self, at: datetime) -> bool:
        return (self.data.valid_from or _FIRST) <= at < (self.data.valid_until or _LAST)

    def admits(self, match: Sequence[str | None]) -> bool:
        """Whether it matches these currencies and countries (in the order of its key), as far as they are known."""
        return all(mine is None or known in (None, mine) for mine, known in zip(self.data.key, match, strict=True))

    def schedule_of(self, payer_type: CustomerType | None) -> str:
        """The name of the fee schedule that a payer of this type pays by."""
        fees = self.data.fees
        return str(payer_type) if fees is not None and payer_type in fees.by_payer_type else STANDARD

    def refund(self, firm_until: datetime) -> Refund:
        terms = self.data.refund
        return Refund(terms.policy, firm_until + timedelta(hours=terms.within_hours), terms.borne_by)

    def violations(self, facts: Facts, mids: MidMarket) -> list[Violation]:
        """Everything that speaks against the payment; nothing is left out because something else was found."""
        found = []
        if not self.data.enabled:
            found.append(_violation(ViolationCode.DISABLED, "target_currency", f"The corridor {self.id} is closed."))
        closed = self.hours.after_cut_off is AfterCutOff.REFUSE and self.hours.shift(facts.at).opens_at
        if closed:
            opens = f"{closed:%Y-%m-%dT%H:%MZ}"
            found.append(_violation(ViolationCode.CLOSED, "target_currency", f"The corridor is closed until {opens}."))
        found += self._purpose_violations(facts)
        if self.data.fees is not None and self.data.fees.by_payer_type and facts.payer_type is None:
            message = "The fee depends on who pays: say payer_type (individual, business, maker or bank)."
            found.append(_violation(ViolationCode.PAYER_TYPE_MISSING, "payer_type", message))
        return found + self._amount_violations(facts, mids)

    def _purpose_violations(self, facts: Facts) -> list[Violation]:
        rule = self.data.purpose
        allowed = ", ".join(sorted(self.purposes)[:20])
        if rule is None or (facts.purpose is None and not rule.required):
            return []
        if facts.purpose is None:
            message = f"This corridor needs a purpose{': one of ' + allowed if allowed else ''}."
            return [_violation(ViolationCode.PURPOSE_MISSING, "purpose", message)]
        if self.purposes and facts.purpose not in self.purposes:
            message = f"This purpose is not allowed here; use one of {allowed}."
            return [_violation(ViolationCode.PURPOSE_NOT_ALLOWED, "purpose", message)]
        return []

    def _amount_violations(self, facts: Facts, mids: MidMarket) -> list[Violation]:
        found = []
        if facts.amount is not None and self.minimum is not None and _worth(facts.amount, self.minimum, mids) < 0:
            message = f"One payment here is worth at least {self.minimum}; send more."
            found.append(_violation(ViolationCode.BELOW_MINIMUM, facts.amount_field, message))
        if facts.amount is not None and self.maximum is not None and _worth(facts.amount, self.maximum, mids) > 0:
            message = f"One payment here is worth at most {self.maximum}; send less."
            found.append(_violation(ViolationCode.ABOVE_MAXIMUM, facts.amount_field, message))
        return found

    def tariff(
        self, source: str, payer_type: CustomerType | None, mids: MidMarket, *, lifetime_s: int, standard_bps: int
    ) -> Tariff:
        """What payments in `source` pay here; amounts in other currencies count at mid, rounded up."""
        key = (source, self.schedule_of(payer_type), mids.fixing.date, lifetime_s, standard_bps)
        kept = self._tariffs.get(key)
        if kept is None:
            if len(self._tariffs) > _TARIFFS_KEPT:
                self._tariffs.clear()
            kept = self._tariffs[key] = make_tariff(self.data, source, key[1], mids, lifetime_s, standard_bps)
        return kept

    _tariffs: dict[object, Tariff] = field(default_factory=dict, compare=False, repr=False)


_TARIFFS_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The corridor that the payment takes, where that is certain, and everything that speaks against it."""

    corridor: Corridor | None
    violations: tuple[Violation, ...]


class CorridorMap:
    """One revision's corridors, ready to judge payments by. Immutable but for what it remembers."""

    def __init__(self, data: CorridorsData, *, revision: int) -> None:
        self.data = data
        self.revision = revision
        self.exposure = ExposureLimits.of(data.risk.exposure)
        self._corridors = tuple(sorted(map(_compile, data.corridors), key=_specificity, reverse=True))
        self._admitting = lru_cache(maxsize=16_384)(self._find)

    def decide(self, facts: Facts, mids: MidMarket) -> Verdict:
        """Everything that is missing or wrong, at once."""
        matching = self._admitting(facts.source, facts.target, facts.payer_country, facts.payee_country)
        admitted = [corridor for corridor in matching if corridor.is_in_force(facts.at)]
        if not admitted:
            message = f"No corridor leads from {facts.source} to {facts.target} for these parties; choose another."
            return Verdict(None, (_violation(ViolationCode.NONE, "target_currency", message),))
        missing = _missing(facts, admitted)
        if missing:
            return Verdict(None, (*missing, *_certain(facts, admitted, mids)))
        return Verdict(admitted[0], tuple(admitted[0].violations(facts, mids)))

    def refund_account(self, corridor_id: str, at: datetime) -> str | None:
        """The customer that pays refunds at the original rate out, of the corridor that has this id at that time."""
        known = (c.data.refund.account for c in self._corridors if c.id == corridor_id and c.is_in_force(at))
        return next(known, None)

    def asks_who(self, source: str, target: str) -> bool:
        """Whether anything between two currencies depends on who pays whom."""
        return any(
            c.data.payer_country or c.data.payee_country or (c.data.fees is not None and c.data.fees.by_payer_type)
            for c in self._admitting(source, target, None, None)
        )

    def _find(self, *match: str | None) -> tuple[Corridor, ...]:
        """Those that match, the one that says most first."""
        return tuple(corridor for corridor in self._corridors if corridor.admits(match))


def _missing(facts: Facts, admitted: Sequence[Corridor]) -> list[Violation]:
    found = []
    for side, code in (
        ("payer", ViolationCode.PAYER_COUNTRY_MISSING),
        ("payee", ViolationCode.PAYEE_COUNTRY_MISSING),
    ):
        name = f"{side}_country"
        if getattr(facts, name) is None and any(getattr(c.data, name) is not None for c in admitted):
            message = f"The terms depend on the {side}'s country: say {name} (ISO 3166-1, such as DE)."
            found.append(_violation(code, name, message))
    return found


def _certain(facts: Facts, admitted: Sequence[Corridor], mids: MidMarket) -> list[Violation]:
    """What is wrong whichever of these corridors it turns out to be."""
    all_found = [corridor.violations(facts, mids) for corridor in admitted]
    codes = set.intersection(*({violation.code for violation in found} for found in all_found))
    return [violation for violation in all_found[0] if violation.code in codes]


def _violation(code: ViolationCode, name: str, message: str) -> Violation:
    return Violation(str(code), name, message)


def _worth(amount: Money, limit: Money, mids: MidMarket) -> int:
    """Below, at or above zero as the amount, at mid, is below, at or above the limit; exact."""
    if amount.code == limit.code:
        return amount.units - limit.units
    difference = amount.units * mids.mid(amount.code, limit.code) - limit.units
    return (difference > 0) - (difference < 0)


def _specificity(corridor: Corridor) -> tuple[int, int, str]:
    named = [weight for weight, part in zip(_WEIGHTS, corridor.data.key, strict=True) if part is not None]
    return len(named), sum(named), corridor.id


def _compile(data: CorridorData) -> Corridor:
    hours = Hours(
        zone=ZoneInfo(data.hours.time_zone),
        cut_off=time.fromisoformat(data.hours.cut_off) if data.hours.cut_off is not None else None,
        calendars=data.hours.calendars,
        after_cut_off=data.hours.after_cut_off,
        delivery_s=data.delivery.seconds,
        delivery_days=data.delivery.working_days,
        delivery_time=time.fromisoformat(data.delivery.by),
    )
    return Corridor(
        data=data,
        hours=hours,
        minimum=data.minimum.money if data.minimum is not None else None,
        maximum=data.maximum.money if data.maximum is not None else None,
        purposes=frozenset(data.purpose.codes) if data.purpose is not None else frozenset(),
    )


def make_tariff(
    data: CorridorData, source: str, schedule: str, mids: MidMarket, lifetime_s: int, standard_bps: int
) -> Tariff:
    """A corridor's schedule in the units of `source`; without one, `standard_bps` of the amount."""

    def units(amount: AmountData | None) -> int:
        if amount is None:
            return 0
        money = amount.money
        if money.code == source:
            return money.units
        fraction = money.units * mids.mid(money.code, source)
        return -(-fraction.numerator // fraction.denominator)

    plan: ScheduleData | None = None
    if data.fees is not None:
        by_type: Mapping[str, ScheduleData] = {str(kind): found for kind, found in data.fees.by_payer_type.items()}
        plan = by_type.get(schedule, data.fees.standard)
    starts = {units(tier.above): rate_ppm(tier.rate_bps) for tier in plan.tiers} if plan else {0: standard_bps * 100}
    partner, life = data.partner, data.lifetime
    return Tariff(
        code=source,
        tiers=tuple(Tier(above, rate) for above, rate in sorted(starts.items())),
        flat_units=units(plan.flat) if plan else 0,
        minimum_units=units(plan.minimum) if plan else 0,
        maximum_units=units(plan.maximum) if plan and plan.maximum is not None else None,
        partner_flat_units=units(partner.flat) if partner else 0,
        partner_ppm=rate_ppm(partner.rate_bps) if partner else 0,
        lifetime_ppm=lifetime_ppm(
            lifetime_s=lifetime_s,
            volatility_bps_a_day=life.volatility_bps_a_day,
            charged_percent=life.charged_percent,
        )
        if life
        else 0,
    )
