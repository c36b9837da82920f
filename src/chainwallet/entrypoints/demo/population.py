"""Who takes part in the demo: three banks and two hundred customers, the same on every run.

Countries come from the corridors; each has at least three individuals and one business, and the rest are
spread by what the World Bank estimates to flow in and out of it.
Labels are neutral; account numbers have valid check digits at bank codes that name no bank.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from chainwallet.adapters.iso20022 import AccountRef, Instruction
from chainwallet.entrypoints.demo.corridors import country_currencies, load_corridors, world_bank_costs
from chainwallet.kit.money import Money, quantise_up

Mid = Callable[[str, str], Fraction]  # mid(source, target): units of target for one unit of source

INDIVIDUALS = 160
BUSINESSES = 40
_INDIVIDUALS_MIN = 3
_BUSINESSES_MIN = 1

# Bank and branch codes of the right shape that belong to no bank; other countries know no IBAN.
_IBAN_CODES: dict[str, tuple[str, str]] = {
    "BE": ("990", ""), "BR": ("99900001", "00001"), "CH": ("99001", ""), "CZ": ("9901", ""), "DE": ("99000001", ""),
    "ES": ("9901", "0001"), "FI": ("990", ""), "FR": ("99001", "00001"), "GB": ("CWDE", "990001"),
    "HU": ("990", "0001"), "IE": ("CWDE", "990001"), "IL": ("990", "001"), "IT": ("99001", "00001"),
    "LT": ("99001", ""), "NL": ("CWDE", ""), "PL": ("990", "0001"), "RO": ("CWDE", ""), "SE": ("990", ""),
    "SK": ("9901", ""), "TR": ("99001", ""),
}  # fmt: skip
_AMERICAS = frozenset({"BR", "CA", "MX", "US"})
_ASIA_PACIFIC = frozenset({"AU", "CN", "HK", "ID", "IN", "JP", "KR", "MY", "NZ", "PH", "SG", "TH"})


@dataclass(frozen=True, slots=True)
class DemoBank:
    alias: str
    full_name: str
    country: str


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """A customer of one of the banks; `currency` is the one of the country, `iban` None where there are none."""

    alias: str
    type: Literal["individual", "business"]
    full_name: str
    country: str
    currency: str
    iban: str | None
    bank_alias: str

    @property
    def account(self) -> AccountRef:
        return AccountRef(iban=self.iban) if self.iban else AccountRef(alias=self.alias)


@dataclass(frozen=True, slots=True)
class Funding:
    """What an owner (by alias) must hold in one currency before the demo starts, in units."""

    alias: str
    code: str
    units: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A payment as the cost comparison sees it: where it goes, and its worth in units of USD at mid."""

    sender_country: str
    receiver_country: str
    usd_units: int

    @property
    def countries(self) -> tuple[str, str]:
        return self.sender_country, self.receiver_country


@dataclass(frozen=True, slots=True)
class Population:
    banks: tuple[DemoBank, ...]
    customers: tuple[DemoCustomer, ...]
    by_account: Mapping[AccountRef, DemoCustomer]

    def in_country(self, country: str, *, kind: str) -> tuple[DemoCustomer, ...]:
        return tuple(one for one in self.customers if one.country == country and one.type == kind)


BANKS = (
    DemoBank("BANK-1", "Bank One", "DE"),
    DemoBank("BANK-2", "Bank Two", "US"),
    DemoBank("BANK-3", "Bank Three", "SG"),
)


@cache
def build_population() -> Population:
    """Three banks and two hundred customers; no randomness at all, so no seed."""
    individuals = _spread(INDIVIDUALS, minimum=_INDIVIDUALS_MIN)
    businesses = _spread(BUSINESSES, minimum=_BUSINESSES_MIN)
    customers: list[DemoCustomer] = []
    for country in country_currencies():
        for number in range(1, individuals[country] + businesses[country] + 1):
            customers.append(_customer(country, number, is_business=number > individuals[country]))
    return Population(BANKS, tuple(customers), {customer.account: customer for customer in customers})


def funding_needs(instructions: Iterable[Instruction], mid: Mid, *, headroom_bps: int = 500) -> list[Funding]:
    """What each payer needs to make all its payments at `mid` plus `headroom_bps` for fees, spread and drift.

    Rounded up to the minor unit; money that comes in during the run is not counted on.
    """
    needed: Counter[tuple[str, str]] = Counter()
    by_account = build_population().by_account
    for instruction in instructions:
        owner = by_account[instruction.debtor_account].alias
        needed[owner, instruction.debtor_currency] += source_units_at_mid(instruction, mid)
    return [
        Funding(alias, code, quantise_up(-(-units * (10_000 + headroom_bps) // 10_000), code))
        for (alias, code), units in sorted(needed.items())
    ]


def source_units_at_mid(instruction: Instruction, mid: Mid) -> int:
    """What leaves the debtor's account if the rate is `mid` and nothing is charged; rounded up."""
    if instruction.source is not None:
        return instruction.source.units
    fixed = instruction.fixed
    return _convert_up(fixed, instruction.debtor_currency, mid)


def flows(instructions: Iterable[Instruction], mid: Mid) -> list[Flow]:
    """The payments with both countries known and the fixed side valued in USD at `mid`."""
    by_account = build_population().by_account
    return [
        Flow(
            by_account[instruction.debtor_account].country,
            by_account[instruction.creditor_account].country,
            _convert_up(instruction.fixed, "USD", mid),
        )
        for instruction in instructions
    ]


def currency_volumes(instructions: Iterable[Instruction], mid: Mid) -> dict[str, int]:
    """Units of USD that cross into or out of each currency; payments within one currency cross nothing."""
    volumes: Counter[str] = Counter()
    for instruction in instructions:
        if instruction.debtor_currency != instruction.target_currency:
            usd_units = _convert_up(instruction.fixed, "USD", mid)
            volumes[instruction.debtor_currency] += usd_units
            volumes[instruction.target_currency] += usd_units
    return dict(volumes)


def world_bank_cost_bps(payments: Iterable[Flow]) -> float | None:
    """The World Bank's average cost on the corridors of `payments`, weighted by their volume; to a tenth of a bp.

    Only payments on corridors with a figure count, and the figure is for sending USD 200: it says what these
    routes cost people, not what a bank would charge a firm. None when no payment has a figure.
    """
    costs = world_bank_costs()
    known = [(flow.usd_units, costs[flow.countries]) for flow in payments if flow.countries in costs]
    volume = sum(usd_units for usd_units, _ in known)
    if not volume:
        return None
    return round(float(Fraction(sum(usd_units * bps for usd_units, bps in known), volume)), 1)


def _convert_up(money: Money, code: str, mid: Mid) -> int:
    if money.code == code:
        return money.units
    exact = money.units * mid(money.code, code)
    return -(-exact.numerator // exact.denominator)


def _customer(country: str, number: int, *, is_business: bool) -> DemoCustomer:
    alias = f"{country}-{number:03d}"
    return DemoCustomer(
        alias=alias,
        type="business" if is_business else "individual",
        full_name=f"{'Business' if is_business else 'Individual'} {alias}",
        country=country,
        currency=country_currencies()[country],
        iban=_iban(country, number),
        bank_alias=_bank(country).alias,
    )


def _bank(country: str) -> DemoBank:
    europe, americas, asia_pacific = BANKS
    if country in _AMERICAS:
        return americas
    return asia_pacific if country in _ASIA_PACIFIC else europe


def _iban(country: str, number: int) -> str | None:
    """An IBAN whose national check digits hold too: some countries check the account number itself."""
    if country not in _IBAN_CODES:
        return None
    bank_code, branch_code = _IBAN_CODES[country]
    for account in range(number * 100, number * 100 + 100):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said where a country's own check digits cannot be verified
                made = IBAN.generate(country, bank_code=bank_code, account_code=str(account), branch_code=branch_code)
                made.validate(validate_bban=True)
        except SchwiftyException:
            continue
        return str(made)
    raise LookupError(f"no account number from {number * 100} on passes the check digits of {country}")


def _spread(total: int, *, minimum: int) -> dict[str, int]:
    """`total` customers over the countries: `minimum` each, the rest by volume, largest remainders first."""
    weights: Counter[str] = Counter()
    for corridor in load_corridors():
        for country in corridor.countries:
            weights[country] += corridor.usd_million_a_year
    volume, spare = sum(weights.values()), total - minimum * len(weights)
    whole = {country: spare * weight // volume for country, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda country: (-(spare * weights[country] % volume), country))
    extra = set(by_remainder[: spare - sum(whole.values())])
    return {country: minimum + whole[country] + (country in extra) for country in weights}
