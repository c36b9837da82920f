"""The verdict on a payment: each rule at its border, the strictest answer, the same answer twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.controls.decisions import DENIALS, Allow, Decision, Deny, PaymentContext, Review
from chainwallet.controls.identity.customers import CustomerStatus, CustomerType
from chainwallet.controls.identity.payees import Party
from chainwallet.controls.risk import PAYMENT_LIMIT_EUR, SLICES, RecentPayments, standard_rules
from chainwallet.kit.money import Money

EUR = 1_000_000


def party(
    name: str, *, kind: CustomerType = CustomerType.INDIVIDUAL, status: CustomerStatus = CustomerStatus.ACTIVE
) -> Party:
    return Party(name, kind, status, "0x0", None, "DE", f"Customer {name}")


ANN, BOB = party("cus_a"), party("cus_b")


def context(
    *, payer: Party = ANN, payee: Party | None = BOB, value_eur: int = 100, count: int = 0, recent_eur: int = 0
) -> PaymentContext:
    return PaymentContext(
        payer=payer,
        payee=payee,
        source=Money("EUR", value_eur * EUR),
        value_eur_units=value_eur * EUR,
        recent_count=count,
        recent_value_eur_units=recent_eur * EUR,
    )


def code_of(decision: Decision) -> str:
    return decision.code if isinstance(decision, Deny) else type(decision).__name__


def test_an_ordinary_payment_is_allowed() -> None:
    assert standard_rules().decide(context()) == Allow()
    assert standard_rules().decide(context(payee=None)) == Allow()


@pytest.mark.parametrize("status", [CustomerStatus.FROZEN, CustomerStatus.CLOSED])
def test_inactive_customers_neither_pay_nor_are_paid(status: CustomerStatus) -> None:
    rules = standard_rules()
    assert code_of(rules.decide(context(payer=party("cus_a", status=status)))) == "COMPLIANCE_PAYER_NOT_ACTIVE"
    denied = rules.decide(context(payee=party("cus_b", status=status)))
    assert code_of(denied) == "COMPLIANCE_PAYEE_NOT_ACTIVE"
    assert isinstance(denied, Deny)
    assert str(status) not in denied.detail  # the payer is not told what is wrong with the payee


def test_nobody_pays_themselves_but_anyone_may_exchange_their_own_money() -> None:
    rules = standard_rules()
    assert code_of(rules.decide(context(payee=ANN))) == "COMPLIANCE_SAME_PARTY"
    exchange = PaymentContext(
        payer=ANN, payee=ANN, source=Money("EUR", EUR), value_eur_units=EUR, target_currency="USD"
    )
    assert rules.decide(exchange) == Allow()


@pytest.mark.parametrize("kind", CustomerType)
def test_the_limit_of_one_payment_is_exact(kind: CustomerType) -> None:
    rules, limit = standard_rules(), PAYMENT_LIMIT_EUR[kind]
    payer = party("cus_a", kind=kind)
    assert code_of(rules.decide(context(payer=payer, value_eur=limit))) == "Allow"
    assert code_of(rules.decide(context(payer=payer, value_eur=limit + 1))) == "RISK_PAYMENT_LIMIT"


def test_velocity_denies_at_its_count_and_reviews_at_count_and_value() -> None:
    rules = standard_rules(velocity_count_max=30, review_count_min=20, review_value_eur_min=50_000)
    assert code_of(rules.decide(context(count=29))) == "Allow"
    assert code_of(rules.decide(context(count=30))) == "RISK_VELOCITY_LIMIT"
    assert code_of(rules.decide(context(count=19, recent_eur=49_900))) == "Review"
    assert code_of(rules.decide(context(count=18, recent_eur=49_900))) == "Allow"
    assert code_of(rules.decide(context(count=19, recent_eur=49_899))) == "Allow"


def test_a_denial_outranks_a_review() -> None:
    rules = standard_rules(velocity_count_max=30, review_count_min=1, review_value_eur_min=1)
    assert isinstance(rules.decide(context()), Review)
    assert code_of(rules.decide(context(count=30))) == "RISK_VELOCITY_LIMIT"


def test_every_denial_is_a_typed_error_with_its_rule() -> None:
    rules = standard_rules()
    denied = rules.decide(context(payee=ANN))
    assert isinstance(denied, Deny)
    error = denied.error()
    assert (error.code, error.status, error.context) == (denied.code, 403, {"rule_id": denied.rule_id})
    assert all(code.startswith(("COMPLIANCE_", "RISK_")) for code in DENIALS)


def test_the_version_names_the_rules_and_their_figures() -> None:
    assert standard_rules().version == standard_rules().version
    assert standard_rules().version != standard_rules(velocity_count_max=5).version


def test_recent_payments_slide_out_of_the_window_and_are_bounded() -> None:
    recent = RecentPayments(window_s=10, payers_max=2)
    recent.note("a", value_eur_units=5, at_s=0)
    recent.note("a", value_eur_units=7, at_s=4)
    assert recent.figures("a", at_s=9) == (2, 12)
    assert recent.figures("a", at_s=10.2) == (1, 7)
    assert recent.figures("a", at_s=14.2) == (0, 0)
    for name in "bcd":
        recent.note(name, value_eur_units=1, at_s=20)
    assert [recent.figures(name, at_s=20)[0] for name in "abcd"] == [0, 0, 1, 1]


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 10**9)), max_size=60))
def test_recent_payments__whatever_came_when__none_leaves_early_nor_a_slice_late(
    paid: list[tuple[float, int]],
) -> None:
    recent, now, seen = RecentPayments(window_s=60), 0.0, list[tuple[float, int]]()
    for passed, value in paid:
        now += passed
        recent.note("a", value_eur_units=value, at_s=now)
        seen.append((now, value))
        count, worth = recent.figures("a", at_s=now)
        inside = [units for at, units in seen if at > now - 60]
        late = [units for at, units in seen if at > now - 61]
        assert len(inside) <= count <= len(late)
        assert sum(inside) <= worth <= sum(late)


def test_recent_payments__thousands_of_one_payer__take_as_much_memory_as_its_slices() -> None:
    recent = RecentPayments(window_s=60)
    for number in range(6_000):
        recent.note("a", value_eur_units=1, at_s=number / 100)
    assert recent.figures("a", at_s=59.99) == (6_000, 6_000)
    assert len(recent._payers["a"].slices) <= SLICES + 1
