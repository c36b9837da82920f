"""Two hundred customers in many countries, funded for what they pay; and what the same routes cost elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import pytest
from currency_converter import CurrencyConverter
from schwifty import IBAN

from chainwallet.adapters.iso20022 import PaymentFile
from chainwallet.entrypoints.demo.corridors import country_currencies, load_corridors, world_bank_costs
from chainwallet.entrypoints.demo.population import (
    BANKS,
    Flow,
    build_population,
    currency_volumes,
    flows,
    funding_needs,
    world_bank_cost_bps,
)
from chainwallet.kit.money import currency

Mid = Callable[[str, str], Fraction]


def test_corridors__both_directions_known_and_priced_by_the_ecb() -> None:
    corridors = load_corridors()
    pairs = {corridor.countries for corridor in corridors}
    assert len(corridors) == len(pairs) >= 60
    assert len(country_currencies()) >= 15
    assert sum((receiver, sender) in pairs for sender, receiver in pairs) >= 30
    newest = max(CurrencyConverter().bounds.values(), key=lambda bounds: bounds.last_date).last_date
    bounds = CurrencyConverter().bounds
    assert {code for code in country_currencies().values() if bounds[code].last_date < newest} == set()
    assert all(corridor.source_currency == country_currencies()[corridor.sender_country] for corridor in corridors)


def test_population__three_banks_and_two_hundred_customers() -> None:
    population = build_population()
    assert len(population.banks) == 3
    assert Counter(customer.type for customer in population.customers) == {"individual": 160, "business": 40}
    assert len({customer.alias for customer in population.customers}) == 200
    assert len(population.by_account) == 200, "no two customers share an account"
    assert {customer.bank_alias for customer in population.customers} == {bank.alias for bank in BANKS}
    assert len({customer.country for customer in population.customers}) >= 15
    for country in country_currencies():
        assert len(population.in_country(country, kind="individual")) >= 3
        assert len(population.in_country(country, kind="business")) >= 1


def test_population__labels_are_neutral() -> None:
    for customer in build_population().customers:
        assert customer.full_name == f"{customer.type.capitalize()} {customer.alias}"
        assert customer.alias.startswith(f"{customer.country}-")


def test_population__is_the_same_in_every_process() -> None:
    code = "from chainwallet.entrypoints.demo.population import build_population as b; print(b().customers)"
    outputs = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.filterwarnings("ignore:No national checksum algorithm")
def test_ibans__pass_their_countries_own_check_digits_and_name_no_bank() -> None:
    ibans = [customer.iban for customer in build_population().customers if customer.iban is not None]
    assert len(ibans) == len(set(ibans)) > 80
    for text in ibans:
        iban = IBAN(text)
        assert iban.validate(validate_bban=True)
        assert iban.bank is None, f"{text} is at a real bank"


def test_funding__covers_every_debit_with_headroom(payments: PaymentFile, mid: Mid) -> None:
    funded = {(need.alias, need.code): need.units for need in funding_needs(payments.instructions, mid)}
    by_account = build_population().by_account
    exact: Counter[tuple[str, str]] = Counter()
    for one in payments.instructions:
        source = one.fixed.units * mid(one.fixed.code, one.debtor_currency)
        exact[by_account[one.debtor_account].alias, one.debtor_currency] += source  # type: ignore[assignment]
    assert funded.keys() == exact.keys()
    for key, units in funded.items():
        assert (
            exact[key] * Fraction("1.05") <= units <= exact[key] * Fraction("1.051") + 2 * currency(key[1]).minor_units
        )
        assert units % currency(key[1]).minor_units == 0


def test_currency_volumes__count_both_sides_and_only_crossings(payments: PaymentFile, mid: Mid) -> None:
    volumes = currency_volumes(payments.instructions, mid)
    crossing = sum(
        flow.usd_units
        for one, flow in zip(payments.instructions, flows(payments.instructions, mid), strict=True)
        if one.debtor_currency != one.target_currency
    )
    assert sum(volumes.values()) == 2 * crossing


@pytest.mark.parametrize(
    ("payments", "expected"),
    [
        ([], None),
        ([Flow("US", "KR", 10)], None),  # the World Bank has no figure for it
        ([Flow("US", "MX", 10)], 418.0),
        ([Flow("US", "MX", 10), Flow("US", "KR", 10**9)], 418.0),
        ([Flow("US", "MX", 300), Flow("JP", "KR", 100)], 798.2),  # (3 * 418 + 1939) / 4 = 798.25
    ],
)
def test_world_bank_cost__weighted_by_volume_where_known(payments: list[Flow], expected: float | None) -> None:
    assert world_bank_cost_bps(payments) == expected


def test_world_bank_cost__of_the_demo(payments: PaymentFile, mid: Mid) -> None:
    cost = world_bank_cost_bps(flows(payments.instructions, mid))
    assert cost is not None
    assert min(world_bank_costs().values()) < cost < max(world_bank_costs().values())
