"""What netting saves, in the batch that saves it: on chain, in the books, on the receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chainwallet.chain.contracts.batch_reading import read_settle
from chainwallet.chain.receipts import verify_with
from chainwallet.ledger import AccountKind
from chainwallet.market.gain import GainRule
from chainwallet.payments.receipts import receipt
from chainwallet.settlement.batches import batch_shares, draft_batch, share_of

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

CLAIM = "the hub gave its payer exactly this share of what the batch saved"
OFFERS = (("USD", "1000.00", "EUR", "900.00"), ("EUR", "1000.00", "USD", "1200.00"))


def meet(bench: Bench, there: str = "100.00", back: str = "60.00") -> tuple[str, str]:
    """Two payments that meet, the larger one needing a maker for its rest; settled."""
    alice, bob = bench.funded(EUR=there), bench.funded(USD=back)
    first = bench.pay(alice, bob, bench.quote("EUR", "USD", send=there))
    second = bench.pay(bob, alice, bench.quote("USD", "EUR", send=back))
    bench.run()
    assert bench.statuses(first, second) == ["settled", "settled"]
    return first, second


def test_opposite_payments__each_gets_back_the_same_part_of_its_spread(bench: Bench) -> None:
    maker, _ = bench.maker(*OFFERS)
    first, second = meet(bench)
    orders = [bench.order(first), bench.order(second)]
    with bench.database.transaction() as session:
        given = [share_of(session, one) for one in (first, second)]
        shares = batch_shares(session, orders[0].batch_id or 0)
    parts = []
    for order, share in zip(orders, given, strict=True):
        assert share is not None
        assert share.code == order.source_currency
        assert 0 < share.units < int(order.spread_units) * 5_000 // 10_000 + 1
        parts.append(share.units / int(order.spread_units))
    assert parts[0] == pytest.approx(parts[1], rel=1e-5)
    (rebate,) = [share for share in shares if share.is_makers]
    assert rebate.units > 0
    position = bench.services.hub.positions([(maker.address, 978)])[0]
    fills = bench.rows("SELECT bought_units FROM batch_fill WHERE maker_id = :maker", maker=maker.id)
    bought = int(fills[0][0]) + int(rebate.units)
    assert position == 1_000_000_000 + bought == bench.units(maker.id, "EUR")[0]
    assert bench.compare().balanced


def test_receipt__states_the_share_and_the_chain_proves_it(bench: Bench) -> None:
    bench.maker(*OFFERS)
    first, _ = meet(bench)
    services = bench.services
    with bench.database.transaction() as session:
        document = receipt(session, first, services.domain, operator=services.operator.address)
        share = share_of(session, first)
    assert share is not None
    assert document["improvement"] == {"currency": share.code, "value": share.value}
    assert all(check.passed for check in verify_with(document, services.node))
    for wrong in (None, {"currency": "EUR", "value": "99.00"}, {"currency": "USD", "value": share.value}):
        failed = [
            check.claim for check in verify_with(document | {"improvement": wrong}, services.node) if not check.passed
        ]
        assert failed == [CLAIM]


def test_payment_that_met_nobody__has_no_share(bench: Bench) -> None:
    bench.maker(*OFFERS)
    payer, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(payer, payee, "EUR", "USD", "50.00")
    bench.run()
    with bench.database.transaction() as session:
        assert share_of(session, transfer_id) is None
        document = receipt(session, transfer_id, bench.services.domain, operator=bench.services.operator.address)
    assert document["improvement"] is None
    assert all(check.passed for check in verify_with(document, bench.services.node))


def test_batch_sent_again_after_a_fork__gives_the_same_shares_once(bench: Bench) -> None:
    bench.maker(*OFFERS)
    first, second = meet(bench)
    before = bench.rows("SELECT id, posted_units FROM account ORDER BY id")
    bench.rows("UPDATE chain_event SET matched = false RETURNING id")
    bench.run()
    assert bench.rows("SELECT id, posted_units FROM account ORDER BY id") == before
    assert bench.statuses(first, second) == ["settled", "settled"]


def test_everything_to_the_treasury__no_shares_in_the_batch(bench: Bench) -> None:
    bench.maker(*OFFERS)
    alice, bob = bench.funded(EUR="100.00"), bench.funded(USD="60.00")
    bench.pay(alice, bob, bench.quote("EUR", "USD", send="100.00"))
    bench.pay(bob, alice, bench.quote("USD", "EUR", send="60.00"))
    for rule, shares in ((GainRule(0, 0), 0), (GainRule(5_000, 0), 2), (GainRule(5_000, 5_000), 3)):
        with bench.database.transaction() as session:
            draft = draft_batch(session, bench.services.mids, limit=10, rule=rule)
        assert draft is not None
        assert len(read_settle(draft.encode(1)).shares) == shares
    bench.run()


def test_fees__are_never_shared(bench: Bench) -> None:
    bench.maker(*OFFERS)
    before = {code: bench.units("treasury", code, AccountKind.TREASURY)[0] for code in ("EUR", "USD")}
    first, second = meet(bench)
    mids = bench.services.mids
    grown = sum(
        mids.value_units(bench.units("treasury", code, AccountKind.TREASURY)[0] - units, code, "EUR")
        for code, units in before.items()
    )
    fees = sum(mids.value_units(int(o.fee_units), o.source_currency, "EUR") for o in map(bench.order, (first, second)))
    assert grown >= fees
