"""What the service takes of a payment: flat, graduated by amount, capped both ways, itemised; exact integers.

A schedule is graduated like an income tax: each slice of the amount is charged at its own rate. So the fee grows
with the amount and never faster than it: who sends more pays no less, and more arrives or as much. (Where one rate
applies to the whole amount, a cent more can cost, or save, hundreds.) Rates are parts per million: 1 bp is 100 ppm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from chainwallet.kit.money import currency

PPM = 1_000_000
RATE_MAX_PPM = 200_000  # a fifth: below this, what a payment nets always grows with it, and `fee_on_top` is quick


class FeeKind(StrEnum):
    FLAT = "flat"
    RATE = "rate"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    PARTNER_FLAT = "partner_flat"
    PARTNER_RATE = "partner_rate"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class FeeItem:
    """One part of a fee: `units` for `rate_ppm` of `on_units`, or flat where there is no rate.

    What a minimum adds is positive, what a maximum takes off is negative.
    """

    kind: FeeKind
    units: int
    rate_ppm: int | None = None
    on_units: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """The rate of the slice of an amount that lies above `above_units`, up to the next tier."""

    above_units: int
    rate_ppm: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """A fee schedule in the units of one currency. `tiers` begin at 0 and rise.

    The service's own fee is flat plus tiers, at least `minimum_units`, at most `maximum_units`; the partner's fee and
    the price of the quote's lifetime come on top.
    """

    code: str
    tiers: tuple[Tier, ...]
    flat_units: int = 0
    minimum_units: int = 0
    maximum_units: int | None = None
    partner_flat_units: int = 0
    partner_ppm: int = 0
    lifetime_ppm: int = 0

    def __post_init__(self) -> None:
        starts = [tier.above_units for tier in self.tiers]
        if starts[:1] != [0] or any(one >= other for one, other in pairwise(starts)):
            raise ValueError("tiers begin at 0 and each lies above the one before")
        steepest = max(tier.rate_ppm for tier in self.tiers) + self.partner_ppm + self.lifetime_ppm
        if min(tier.rate_ppm for tier in self.tiers) < 0 or steepest > RATE_MAX_PPM:
            raise ValueError("rates lie between 0 and a fifth, all together")
        if self.maximum_units is not None and self.maximum_units < self.minimum_units:
            raise ValueError("the maximum is not below the minimum")

    def fee(self, source_units: int) -> int:
        """The fee contained in `source_units`, rounded up to the currency's minor unit."""
        return self._round(self._exact(source_units))

    def fee_on_top(self, net_units: int) -> int:
        """The least fee with which `net_units`, whole minor units, are left: the smallest F with F = fee(net + F).

        From zero upwards each step is at most the answer and at least the step before (the fee never falls), and
        closes four fifths of the gap or more (no rate exceeds a fifth): a handful of steps for any amount.
        """
        fee_units, last_units = self.fee(net_units), -1
        while fee_units != last_units:
            fee_units, last_units = self.fee(net_units + fee_units), fee_units
        return fee_units

    def items(self, source_units: int) -> tuple[FeeItem, ...]:
        """The parts of `fee(source_units)`; they add up to it, each rounded so that no part of the sum is lost."""
        items, before, total = [], 0, 0
        for kind, exact, rate_ppm, on_units in self._parts(source_units):
            total += exact
            rounded = self._round(total)
            if exact:
                items.append(FeeItem(kind, rounded - before, rate_ppm, on_units))
            before = rounded
        return tuple(items)

    def _exact(self, source_units: int) -> int:
        """The fee before rounding, in 1e-6 of a unit."""
        return sum(exact for _, exact, _, _ in self._parts(source_units))

    def _parts(self, source_units: int) -> Sequence[tuple[FeeKind, int, int | None, int | None]]:
        parts: list[tuple[FeeKind, int, int | None, int | None]]
        parts = [(FeeKind.FLAT, self.flat_units * PPM, None, None)]
        for index, tier in enumerate(self.tiers):
            on_units = self._slice(index, source_units)
            parts.append((FeeKind.RATE, on_units * tier.rate_ppm, tier.rate_ppm, on_units))
        own = sum(part[1] for part in parts)
        if own < self.minimum_units * PPM:
            parts.append((FeeKind.MINIMUM, self.minimum_units * PPM - own, None, None))
        elif self.maximum_units is not None and own > self.maximum_units * PPM:
            parts.append((FeeKind.MAXIMUM, self.maximum_units * PPM - own, None, None))
        parts.append((FeeKind.PARTNER_FLAT, self.partner_flat_units * PPM, None, None))
        parts.append((FeeKind.PARTNER_RATE, source_units * self.partner_ppm, self.partner_ppm, source_units))
        parts.append((FeeKind.LIFETIME, source_units * self.lifetime_ppm, self.lifetime_ppm, source_units))
        return parts

    def _slice(self, index: int, source_units: int) -> int:
        """What of an amount lies in one tier."""
        end = self.tiers[index + 1].above_units if index + 1 < len(self.tiers) else source_units
        return max(min(end, source_units) - self.tiers[index].above_units, 0)

    def _round(self, exact: int) -> int:
        minor = currency(self.code).minor_units
        return -(-exact // (PPM * minor)) * minor
