"""Risk rules: how much and how often. Figures are data; the defaults are starting points, not law."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from chainwallet.controls.compliance import DifferentParties, PayeeActive, PayerActive
from chainwallet.controls.decisions import Deny, PaymentContext, Review, RiskPaymentLimit, RiskVelocityLimit, RuleSet
from chainwallet.controls.identity.customers import CustomerType
from chainwallet.kit.money import UNITS_PER_CURRENCY_UNIT, format_units

RECENT_WINDOW_S = 3_600
SLICES = 60  # of the window, in which payments are counted together

PAYMENT_LIMIT_EUR: Mapping[CustomerType, int] = MappingProxyType(
    {
        CustomerType.INDIVIDUAL: 100_000,
        CustomerType.BUSINESS: 10_000_000,
        CustomerType.MAKER: 1_000_000_000,
        CustomerType.BANK: 1_000_000_000,
    }
)


@dataclass(frozen=True, slots=True)
class PaymentLimit:
    """The most that one payment of a customer of `customer_type` may be worth, in units of EUR at mid rates."""

    customer_type: CustomerType
    limit_eur_units: int

    @property
    def id(self) -> str:
        return f"risk.payment-limit.{self.customer_type}.1"

    def judge(self, context: PaymentContext) -> Deny | None:
        if context.payer.type is not self.customer_type or context.value_eur_units <= self.limit_eur_units:
            return None
        limit = format_units(self.limit_eur_units, minor_digits=2)
        detail = f"One payment may be worth at most {limit} EUR; send a smaller amount or ask the bank for more."
        return Deny(RiskPaymentLimit.code, detail, self.id)


@dataclass(frozen=True, slots=True)
class VelocityLimit:
    """At most `count_max` payments of one payer in RECENT_WINDOW_S, this one included."""

    count_max: int

    @property
    def id(self) -> str:
        return "risk.velocity-limit.1"

    def judge(self, context: PaymentContext) -> Deny | None:
        if context.recent_count < self.count_max:
            return None
        detail = f"More than {self.count_max} payments within the hour; wait a little and try again."
        return Deny(RiskVelocityLimit.code, detail, self.id)


@dataclass(frozen=True, slots=True)
class VelocityReview:
    """Many payments that are together worth much, in a short time, are looked at by a person."""

    count_min: int
    value_eur_units_min: int
    customer_type: CustomerType = CustomerType.INDIVIDUAL

    @property
    def id(self) -> str:
        return f"risk.velocity-review.{self.customer_type}.1"

    def judge(self, context: PaymentContext) -> Review | None:
        if context.payer.type is not self.customer_type or context.recent_count + 1 < self.count_min:
            return None
        if context.recent_value_eur_units + context.value_eur_units < self.value_eur_units_min:
            return None
        return Review("Many payments of large total value within the hour.", self.id)


def standard_rules(
    *,
    payment_limit_eur: Mapping[CustomerType, int] = PAYMENT_LIMIT_EUR,
    velocity_count_max: int = 1_000_000,
    review_count_min: int = 20,
    review_value_eur_min: int = 100_000,
) -> RuleSet:
    """The rules in force unless a bank supplies its own; limits are given in whole EUR."""
    return RuleSet(
        [
            PayerActive(),
            PayeeActive(),
            DifferentParties(),
            *(PaymentLimit(kind, limit * UNITS_PER_CURRENCY_UNIT) for kind, limit in payment_limit_eur.items()),
            VelocityLimit(velocity_count_max),
            VelocityReview(review_count_min, review_value_eur_min * UNITS_PER_CURRENCY_UNIT),
        ]
    )


def return_rules() -> RuleSet:
    """The rules for money that goes back: both are customers in good standing. Limits were the first payment's."""
    return RuleSet([PayerActive(), PayeeActive(), DifferentParties()])


@dataclass(slots=True)
class _Recent:
    slices: deque[tuple[int, int, int]] = field(default_factory=deque)  # number, payments, units of EUR; oldest first
    count: int = 0
    value_eur_units: int = 0


class RecentPayments:
    """Each payer's payments of the last `window_s`, in this process's memory.

    They are counted by slices of a sixtieth of the window, so that a payer takes as much memory after a thousand
    payments as after a million; one leaves the window with its slice, up to a slice late.

    Honest limits: it starts empty after a restart unless it is fed from the books, each process
    counts its own, and beyond `payers_max` the payers quiet for longest are forgotten. A limit that
    must hold everywhere belongs in the database.
    """

    def __init__(self, *, window_s: float = RECENT_WINDOW_S, payers_max: int = 100_000) -> None:
        self._slice_s = window_s / SLICES
        self._payers_max = payers_max
        self._payers: OrderedDict[str, _Recent] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, payer_id: str, *, value_eur_units: int, at_s: float) -> None:
        """Count a payment that was accepted at `at_s` (any clock, the same one always)."""
        now = int(at_s // self._slice_s)
        with self._lock:
            recent = self._payers.setdefault(payer_id, _Recent())
            number, count, value = now, 0, 0
            if recent.slices and recent.slices[-1][0] >= now:
                number, count, value = recent.slices.pop()
            recent.slices.append((number, count + 1, value + value_eur_units))
            recent.count += 1
            recent.value_eur_units += value_eur_units
            self._forget(recent, now)
            self._payers.move_to_end(payer_id)
            if len(self._payers) > self._payers_max:
                self._payers.popitem(last=False)

    def figures(self, payer_id: str, *, at_s: float) -> tuple[int, int]:
        """(how many, worth how many EUR units) within the window before `at_s`."""
        with self._lock:
            recent = self._payers.get(payer_id)
            if recent is None:
                return 0, 0
            self._forget(recent, int(at_s // self._slice_s))
            if not recent.slices:
                del self._payers[payer_id]
            return recent.count, recent.value_eur_units

    @staticmethod
    def _forget(recent: _Recent, now: int) -> None:
        while recent.slices and recent.slices[0][0] < now - SLICES:
            _, count, value = recent.slices.popleft()
            recent.count -= count
            recent.value_eur_units -= value
