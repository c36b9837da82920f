"""Acceptance and endings on a real database: one effect each, all of it or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from chainwallet.controls.decisions import Deny, Review
from chainwallet.controls.identity.authenticator import OPERATOR_ID, Principal
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.groups import GroupCommit
from chainwallet.kit.money import Money
from chainwallet.payments.candidates import TransferRequest
from chainwallet.payments.deposits import DepositStatus, DepositUnknown, find_deposit, request_deposit
from chainwallet.payments.endings import cancel_transfer, end_transfers
from chainwallet.payments.pricing import PriceRequest
from chainwallet.payments.quotes import QuoteLiquidityGone
from chainwallet.payments.transfers import TransferNotCancellable, TransferStatus, advance
from chainwallet.settlement.makers import withdraw_quote

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

OPERATOR = Principal(OPERATOR_ID, frozenset(), None)


class Always:
    """Rules that always decide the same."""

    def __init__(self, decision: Any) -> None:
        self._decision = decision

    def decide(self, _: object) -> Any:
        return self._decision


def race(count: int, work: Callable[[int], object]) -> list[object]:
    """What each of `count` threads that start together got: its result or its error."""
    outcomes: list[object] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            outcomes[number] = work(number)
        except ChainwalletError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_one_quote__raced_for__makes_one_transfer(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    quote = bench.quote("EUR", "EUR", send="10.00")
    outcomes = race(12, lambda _: bench.pay(payer, payee, quote))
    made = [one for one in outcomes if isinstance(one, str)]
    assert len(made) == 1
    assert {one.code for one in outcomes if isinstance(one, ChainwalletError)} == {"QUOTE_USED"}
    assert bench.units(payer.id, "EUR") == (100_000_000, 10_000_000), "held once"


def test_one_quote__raced_for_by_two_services__makes_one_transfer(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    other = GroupCommit("other", bench.database, bench.services.acceptance.accept)
    try:
        for _ in range(8):
            quote = bench.quote("EUR", "EUR", send="1.00")
            request = TransferRequest(quote.id, payer.id, PayeeRef(customer_id=payee.id), OPERATOR)
            doors = (bench.services.transfers, other)
            outcomes = race(2, lambda number, doors=doors, request=request: doors[number].submit_wait(request))
            codes = [one.code for one in outcomes if isinstance(one, ChainwalletError)]
            assert (len(outcomes), codes) == (2, ["QUOTE_USED"]), outcomes
    finally:
        other.close()
    assert bench.units(payer.id, "EUR") == (100_000_000, 8_000_000)


def test_payer_without_the_money__gives_the_makers_back(bench: Bench) -> None:
    maker, _ = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, rich, payee = bench.funded(EUR="5.00"), bench.funded(EUR="50.00"), bench.customer()
    before = bench.state()
    quotes = [bench.quote("EUR", "USD", send="10.00") for _ in range(2)]
    requests = [
        TransferRequest(quote.id, who.id, PayeeRef(customer_id=payee.id), OPERATOR)
        for quote, who in zip(quotes, (payer, rich), strict=True)
    ]
    with bench.database.transaction() as session:
        poor, fine = bench.services.acceptance.accept(session, requests)
    assert isinstance(poor, ChainwalletError)
    assert poor.code == "LEDGER_INSUFFICIENT_FUNDS"
    assert not isinstance(fine, Exception), "its neighbour in the group is not touched"
    with bench.database.transaction() as session:
        end_transfers(session, [fine.transfer_id], TransferStatus.CANCELLED)
    assert bench.state()["maker_quote"] == before["maker_quote"], "nothing of them is reserved any more"
    assert bench.units(maker.id, "USD")[1] == 0, "and their money is free again"


def test_one_key__sent_fifty_times_at_once__has_one_effect(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    quote = bench.quote("EUR", "EUR", send="10.00")
    request = TransferRequest(
        quote.id, payer.id, PayeeRef(customer_id=payee.id), OPERATOR, idempotency_key="k" * 20, body_sha256=b"1" * 32
    )
    outcomes = race(50, lambda _: bench.services.transfers.submit_wait(request))
    assert len({(one.transfer_id, one.body) for one in outcomes}) == 1, "everyone is told the same"  # type: ignore[attr-defined]
    assert bench.units(payer.id, "EUR") == (100_000_000, 10_000_000)
    with pytest.raises(ChainwalletError) as refused:
        bench.services.transfers.submit_wait(replace(request, body_sha256=b"2" * 32))
    assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"


def test_priced_at_once_and_asked_again__reserves_its_makers_once(bench: Bench) -> None:
    """Makers are reserved before it is known whether a key was used; what was reserved in vain is given back."""
    maker, (offer,) = bench.maker(("USD", "30.00", "EUR", "27.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()

    def asked(key: str) -> TransferRequest:
        quote = bench.services.pricer.price(PriceRequest("EUR", "USD", fixed_target=Money.parse("USD", "11.00")))
        return TransferRequest(
            quote, payer.id, PayeeRef(customer_id=payee.id), OPERATOR, idempotency_key=key * 20, body_sha256=b"1" * 32
        )

    def reserved() -> tuple[int, int]:
        return int(bench.maker_quotes()[offer.id].reserved_units), bench.units(maker.id, "USD")[1]

    first, second = asked("a"), asked("b")
    told = bench.services.transfers.submit_wait(first)
    assert reserved() == (11_000_000, 11_000_000)
    assert bench.services.transfers.submit_wait(first) == told
    assert reserved() == (11_000_000, 11_000_000)
    with bench.database.transaction() as session:  # all three together are more than there is
        again, fresh, same = bench.services.acceptance.accept(session, [first, second, second])
    assert again == told
    assert not isinstance(fresh, Exception)
    assert same == fresh
    assert reserved() == (22_000_000, 22_000_000)
    bench.run()
    assert bench.statuses(told.transfer_id, fresh.transfer_id) == ["settled", "settled"]


def test_refusal__frees_the_key_and_the_quote(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="5.00"), bench.customer()
    quote = bench.quote("EUR", "EUR", send="10.00")
    request = TransferRequest(
        quote.id, payer.id, PayeeRef(customer_id=payee.id), OPERATOR, idempotency_key="free" * 5, body_sha256=b"1" * 32
    )
    before = bench.state()
    with pytest.raises(ChainwalletError) as refused:
        bench.services.transfers.submit_wait(request)
    assert refused.value.code == "LEDGER_INSUFFICIENT_FUNDS"
    assert bench.state() == before, "a refusal leaves no trace"
    bench.fund(payer, EUR="5.00")
    assert bench.services.transfers.submit_wait(request).transfer_id, "the same request again, now that there is money"


def test_more_than_there_is__raced_for__never_overdraws(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="35.00"), bench.customer()
    quotes = [bench.quote("EUR", "EUR", send="10.00") for _ in range(8)]
    outcomes = race(8, lambda number: bench.pay(payer, payee, quotes[number]))
    assert sum(isinstance(one, str) for one in outcomes) == 3
    bench.run()
    assert bench.units(payer.id, "EUR") == (5_000_000, 0)


def test_accepted__hold_order_and_transfer_in_one_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = bench.funded(EUR="50.00"), bench.customer()
    quote = bench.quote("EUR", "EUR", send="10.00")
    before = bench.state()

    def cut_off(*_: object, **__: object) -> None:
        raise RuntimeError("cut off")

    for place in ("place_orders", "_record", "reserve_query"):
        with monkeypatch.context() as patch:
            patch.setattr(f"chainwallet.payments.acceptance.{place}", cut_off)
            with pytest.raises(RuntimeError, match="cut off"):
                bench.pay(payer, payee, quote)
        assert bench.state() == before, f"cut off in {place}: nothing"
    transfer_id = bench.pay(payer, payee, quote)
    assert bench.order(transfer_id).status == "placed"
    assert bench.holds(transfer_id) == {transfer_id: "open"}
    assert bench.transfer(transfer_id).accepted_at is not None


def test_quote_whose_makers_left__is_funded_by_others_or_refused(bench: Bench) -> None:
    _, (first,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    other, _ = bench.maker()
    bench.fund(other, USD="1000.00")
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    quotes = [bench.quote("EUR", "USD", send="10.00") for _ in range(2)]
    with bench.database.transaction() as session:
        withdraw_quote(session, first.id)
    with pytest.raises(ChainwalletError) as refused:
        bench.pay(payer, payee, quotes[0])
    assert refused.value.code == "QUOTE_LIQUIDITY_GONE"
    second = bench.maker_quote(other, "USD", "1000.00", "EUR", "900.00")
    transfer_id = bench.pay(payer, payee, quotes[1])
    assert [leg["quote_id"] for leg in bench.order(transfer_id).legs] == [second.id]
    assert int(bench.order(transfer_id).target_units) == int(quotes[1].target_units), "the amounts stay firm"
    bench.run()
    assert bench.statuses(transfer_id) == ["settled"]


def test_makers_who_left__a_group_of_payments__looks_for_others_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (first,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    other, _ = bench.maker()
    bench.fund(other, USD="1000.00")
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    quotes = [bench.quote("EUR", "USD", send="10.00") for _ in range(6)]
    with bench.database.transaction() as session:
        withdraw_quote(session, first.id)
    bench.maker_quote(other, "USD", "45.00", "EUR", "40.50")
    admission, looks = bench.services.acceptance._admission, []
    real = admission.view

    def look(*given: Any, **named: Any) -> Any:
        looks.append(given)
        return real(*given, **named)

    monkeypatch.setattr(admission, "view", look)
    requests = [TransferRequest(quote.id, payer.id, PayeeRef(customer_id=payee.id), OPERATOR) for quote in quotes]
    with bench.database.transaction() as session:
        outcomes = bench.services.acceptance.accept(session, requests)
    refused = [one for one in outcomes if isinstance(one, QuoteLiquidityGone)]
    assert (len(outcomes) - len(refused), len(looks)) == (4, 2), "one look for all, and one more before any is refused"
    bench.run()


def test_review__holds_the_money_and_ends_either_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    with monkeypatch.context() as patch:
        patch.setattr(bench.services.acceptance, "_rules", Always(Review("look at it", "test")))
        approved = bench.send(payer, payee, "EUR", "USD", "10.00")
        cancelled = bench.send(payer, payee, "EUR", "USD", "20.00")
    assert bench.statuses(approved, cancelled) == ["in_review", "in_review"]
    assert bench.units(payer.id, "EUR") == (100_000_000, 30_000_000)
    bench.run()
    assert bench.statuses(approved) == ["in_review"], "no batch takes it"
    with bench.database.transaction() as session:
        cancel_transfer(session, cancelled)
        assert bench.services.acceptance.approve(session, approved).status == "accepted"
    assert bench.units(payer.id, "EUR") == (100_000_000, 10_000_000)
    with bench.database.transaction() as session, pytest.raises(ChainwalletError) as refused:
        bench.services.acceptance.approve(session, approved)
    assert refused.value.code == "TRANSFER_NOT_IN_REVIEW"
    bench.run()
    assert bench.statuses(approved, cancelled) == ["settled", "cancelled"]


def test_denied__is_a_transfer_that_moves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    with monkeypatch.context() as patch:
        patch.setattr(bench.services.acceptance, "_rules", Always(Deny("TEST_DENIED", "no", "test")))
        denied = bench.send(payer, payee, "EUR", "EUR", "10.00")
    assert bench.transfer(denied).failure_code == "TEST_DENIED"
    assert bench.units(payer.id, "EUR") == (100_000_000, 0)
    with bench.database.transaction() as session, pytest.raises(TransferNotCancellable):
        cancel_transfer(session, denied)


def test_cancel__gives_everything_back_until_a_batch_took_it(bench: Bench) -> None:
    maker, (offer,) = bench.maker(("USD", "1000.00", "EUR", "900.00"))
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    early = bench.send(payer, payee, "EUR", "USD", "10.00")
    with bench.database.transaction() as session:
        cancel_transfer(session, early)
    assert bench.units(payer.id, "EUR") == (100_000_000, 0)
    assert bench.units(maker.id, "USD") == (1_000_000_000, 0)
    assert int(bench.maker_quotes()[offer.id].reserved_units) == 0
    late = bench.send(payer, payee, "EUR", "USD", "10.00")
    bench.settle()
    with bench.database.transaction() as session, pytest.raises(TransferNotCancellable) as refused:
        cancel_transfer(session, late)
    assert "submitted" in refused.value.detail
    bench.run()
    assert bench.statuses(early, late) == ["cancelled", "settled"], "a cancelled nonce is merely never used"


def test_cancel_and_batch__racing__exactly_one_gets_it(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    for _ in range(6):
        transfer_id = bench.send(payer, payee, "EUR", "EUR", "1.00")

        def step(number: int, transfer_id: str = transfer_id) -> object:
            if number:
                return bench.settle()
            with bench.database.transaction() as session:
                return cancel_transfer(session, transfer_id)

        cancelled = not isinstance(race(2, step)[0], ChainwalletError)
        bench.run()
        assert bench.statuses(transfer_id) == ["cancelled" if cancelled else "settled"]
        assert bench.units(payer.id, "EUR")[1] == 0


def test_ending_twice__ends_once(bench: Bench) -> None:
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "EUR", "10.00")
    with bench.database.transaction() as session:
        assert end_transfers(session, [transfer_id], TransferStatus.FAILED, code="A") == [transfer_id]
        assert end_transfers(session, [transfer_id], TransferStatus.FAILED, code="B") == []
        assert advance(session, [transfer_id], TransferStatus.SETTLED) == [], "what failed does not settle"
    assert bench.transfer(transfer_id).failure_code == "A"


def test_deposit__reverted__waits_for_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first transaction has too little gas; the money arrives with the second, once."""
    customer = bench.customer()
    with bench.database.transaction() as session:
        amount = Money.parse("EUR", "7.00")
        deposit = request_deposit(session, customer_id=customer.id, account=customer.address, amount=amount)
    with monkeypatch.context() as patch:
        patch.setattr("chainwallet.payments.deposits.GAS_DEPOSIT_FIXED", 1)
        bench.settle()
    for step in (bench.submit, bench.index, bench.submit):
        step()
    with bench.database.transaction() as session:
        assert find_deposit(session, deposit.id).status == DepositStatus.PENDING
        with pytest.raises(DepositUnknown):
            find_deposit(session, "dep_unknown")
    bench.run()
    assert bench.units(customer.id, "EUR") == (7_000_000, 0)
    with bench.database.transaction() as session:
        assert find_deposit(session, deposit.id).status == DepositStatus.SETTLED
