"""The committed payments file: what the script writes, valid, and of the shape that the demo promises."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from lxml import etree
from tests.running_scripts import load_script

from chainwallet.adapters.iso20022 import PaymentFile, schemas
from chainwallet.entrypoints.demo.corridors import country_currencies, load_corridors
from chainwallet.entrypoints.demo.population import build_population, flows

Mid = Callable[[str, str], Fraction]


def test_committed_file__is_what_the_script_writes(payments_path: Path) -> None:
    script = load_script("generate_demo_payments")
    assert script.generate() == payments_path.read_bytes(), "run: python scripts/generate_demo_payments.py"


def test_committed_file__is_valid_and_compact(payments_path: Path) -> None:
    assert schemas.first_fault("pain.001.001.09", etree.parse(payments_path)) is None
    assert payments_path.stat().st_size < 3_000_000


def test_two_thousand_payments__each_with_ids_of_its_own(payments: PaymentFile) -> None:
    assert len(payments.instructions) == 2_000
    for name in ("end_to_end_id", "uetr"):
        assert len({getattr(one, name) for one in payments.instructions}) == 2_000, name
    blocks = Counter(one.payment_information_id for one in payments.instructions)
    assert max(blocks.values()) > 1, "a debtor has several transfers in a block"
    assert len({one.debtor_account for one in payments.instructions}) > 100


def test_corridors__follow_the_world_bank_in_both_directions(payments: PaymentFile, mid: Mid) -> None:
    drawn = Counter(flow.countries for flow in flows(payments.instructions, mid))
    across = {pair for pair in drawn if pair[0] != pair[1]}
    listed = across & {corridor.countries for corridor in load_corridors()}
    assert len(listed) >= 40
    assert sum((receiver, sender) in across for sender, receiver in across) >= 40
    assert len({country for pair in across for country in pair}) >= 15
    largest = max(load_corridors(), key=lambda corridor: corridor.usd_million_a_year)
    assert drawn.most_common(1)[0][0] == largest.countries


def test_both_kinds_of_fixed_amount__about_half_each(payments: PaymentFile) -> None:
    fixed_source = sum(one.source is not None for one in payments.instructions)
    assert 800 < fixed_source < 1_200
    same_currency = sum(one.debtor_currency == one.target_currency for one in payments.instructions)
    assert 20 < same_currency < 200


def test_one_in_five_is_an_invoice__with_a_reference_and_cents(payments: PaymentFile, mid: Mid) -> None:
    by_account = build_population().by_account
    worth = [flow.usd_units / 1e6 for flow in flows(payments.instructions, mid)]
    invoices, remittances = [], []
    for one, usd in zip(payments.instructions, worth, strict=True):
        is_invoice = by_account[one.debtor_account].type == "business"
        (invoices if is_invoice else remittances).append(usd)
        assert by_account[one.creditor_account].type == by_account[one.debtor_account].type
        assert (one.reference or "").startswith("RF") == is_invoice
        assert one.purpose in (("GDDS", "SUPP", "SCVE") if is_invoice else ("FAMI", "EDUC", "MDCS", "SAVG", "GIFT"))
    assert len(invoices) == 400
    assert min(invoices) > 1_900
    assert max(invoices) < 82_000
    assert 180 < statistics.median(remittances) < 350
    assert max(remittances) < 4_000


def test_remittances_are_round_in_the_currency_they_fix(payments: PaymentFile) -> None:
    by_account = build_population().by_account
    for one in payments.instructions:
        if by_account[one.debtor_account].type == "individual":
            digits = one.fixed.value.partition(".")[0].rstrip("0")
            assert len(digits) <= 2, one.fixed
            assert one.fixed.units % 1_000_000 == 0


def test_creditor_references__have_valid_check_digits(payments: PaymentFile) -> None:
    references = [one.reference for one in payments.instructions if (one.reference or "").startswith("RF")]
    for reference in references:
        assert reference is not None
        moved = reference[4:] + reference[:4]
        assert int("".join(str(int(character, 36)) for character in moved)) % 97 == 1, reference


def test_currencies_are_those_of_the_countries(payments: PaymentFile) -> None:
    by_account = build_population().by_account
    for one in payments.instructions:
        debtor, creditor = by_account[one.debtor_account], by_account[one.creditor_account]
        assert one.debtor_currency == debtor.currency == country_currencies()[debtor.country]
        assert one.target_currency == creditor.currency
        assert one.debtor_account != one.creditor_account


def test_netting__what_the_documentation_says_of_it(payments: PaymentFile, mid: Mid) -> None:
    """A fifth of what individuals send cancels by currency, four fifths of the invoices."""
    by_account = build_population().by_account
    for kind, least, most in (("individual", 0.17, 0.25), ("business", 0.75, 0.85)):
        net: Counter[str] = Counter()
        gross = 0
        for one, flow in zip(payments.instructions, flows(payments.instructions, mid), strict=True):
            if by_account[one.debtor_account].type == kind and one.debtor_currency != one.target_currency:
                net[one.debtor_currency] += flow.usd_units
                net[one.target_currency] -= flow.usd_units
                gross += flow.usd_units
        cancelled = 1 - sum(map(abs, net.values())) / 2 / gross
        assert least < cancelled < most, f"{kind}: {cancelled:.3f}"
