"""settle: the batch as a whole

given a batch id
  when it was settled before                   it should refuse with BatchAlreadySettled
  when it is zero or the largest               it should settle
  when it is new, in any sequence              it should settle and leave its neighbours unsettled
given no orders                                it should refuse with BatchEmpty
given a list of signatures of another length   it should refuse with LengthMismatch
given credits above debits in a currency
  when one unit is missing                     it should refuse with CurrencyNotConserved
  when the maker is not filled enough          it should refuse with CurrencyNotConserved
  when the currency is not listed              it should refuse with CurrencyNotConserved
given debits above credits in several currencies    it should credit each surplus to the treasury
given many currencies                          it should settle 200 of them, and refuse 256 with TooManyCurrencies
given hundreds of payments                     it should settle them in one transaction
given a paused hub                             it should refuse until it is unpaused; deposits go on
given a caller without the role                it should refuse
given calldata cut short                       it should refuse
"""

from __future__ import annotations

import random

import pytest
from hub_world import EUR, GBP, UNIT, USD, Order, Quote, Refusal, World, account

PAYEE = account("payee").address


@pytest.fixture
def payer(world: World) -> str:
    return world.fund("payer", EUR, 1_000 * UNIT)


def order_of(payer: str, /, **changes: object) -> Order:
    return Order(payer, PAYEE, EUR, 100 * UNIT, EUR, 100 * UNIT)._replace(**changes)


def test_settle__batch_id_used__refused(world: World, payer: str) -> None:
    world.settle(world.batch([order_of(payer)], batch_id=77))
    refused = world.settle_refused(world.batch([order_of(payer, nonce=2)], batch_id=77))
    assert refused == Refusal("BatchAlreadySettled", (77,))


def test_settle__batch_ids_in_any_sequence__each_settles_once(world: World, payer: str) -> None:
    for nonce, batch_id in enumerate([2**64 - 1, 256, 0, 255, 1], start=1):
        world.settle(world.batch([order_of(payer, source_units=1, target_units=1, nonce=nonce)], batch_id=batch_id))
    settled = [batch_id for batch_id in (0, 1, 2, 254, 255, 256, 257, 511, 2**64 - 1) if _is_settled(world, batch_id)]
    assert settled == [0, 1, 255, 256, 2**64 - 1]


def _is_settled(world: World, batch_id: int) -> bool:
    return bool(world.hub.functions.isSettled(batch_id).call())


def test_settle__no_orders__refused(world: World) -> None:
    maker, other = world.fund("maker", USD, UNIT), world.fund("other", EUR, UNIT)
    quotes = [Quote(maker, USD, UNIT, EUR, UNIT), Quote(other, EUR, UNIT, USD, UNIT)]
    assert world.settle_refused(world.batch([], quotes, [(0, UNIT), (1, UNIT)])) == Refusal("BatchEmpty", (1,))


def test_settle__order_signature_missing_or_extra__refused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)])
    batch.order_signatures *= 2
    assert world.settle_refused(batch) == Refusal("LengthMismatch", (1, 2))
    batch.order_signatures = []
    assert world.settle_refused(batch) == Refusal("LengthMismatch", (1, 0))


def test_settle__quote_signature_missing__refused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)], [Quote(payer, EUR, 1, USD, 1)])
    batch.quote_signatures = []
    assert world.settle_refused(batch) == Refusal("LengthMismatch", (1, 0))


def test_settle__target_above_source_by_one_unit__refused(world: World, payer: str) -> None:
    refused = world.settle_refused(world.batch([order_of(payer, target_units=100 * UNIT + 1)]))
    assert refused == Refusal("CurrencyNotConserved", (EUR, 1))


def test_settle__maker_filled_one_unit_short__refused(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    order = order_of(payer, target_currency=USD, target_units=108 * UNIT)
    quote = Quote(maker, USD, 108 * UNIT, EUR, 100 * UNIT)
    batch = world.batch([order], [quote], [(0, 108 * UNIT - 1)])
    assert world.settle_refused(batch) == Refusal("CurrencyNotConserved", (USD, 1))


def test_settle__maker_asks_more_than_the_payer_gives__refused(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    order = order_of(payer, target_currency=USD, target_units=108 * UNIT)
    quote = Quote(maker, USD, 108 * UNIT, EUR, 100 * UNIT + 1)
    batch = world.batch([order], [quote], [(0, 108 * UNIT)])
    assert world.settle_refused(batch) == Refusal("CurrencyNotConserved", (EUR, 1))


@pytest.mark.parametrize("currency", [0, 999, GBP])
def test_settle__credit_in_a_currency_nobody_was_debited__refused(world: World, payer: str, currency: int) -> None:
    refused = world.settle_refused(world.batch([order_of(payer, target_currency=currency)]))
    assert refused == Refusal("CurrencyNotConserved", (currency, 100 * UNIT))


def test_settle__surplus_in_two_currencies__both_go_to_the_treasury(world: World, payer: str) -> None:
    other = world.fund("other", USD, 200 * UNIT)
    orders = [order_of(payer, target_units=99 * UNIT), Order(other, PAYEE, USD, 50 * UNIT, USD, 48 * UNIT)]
    receipt = world.settle(world.batch(orders))
    surplus = [values for name, values in world.chain.events(receipt) if name == "SurplusCollected"]
    assert surplus == [{"currency": EUR, "amount": UNIT}, {"currency": USD, "amount": 2 * UNIT}]
    assert (world.balance(world.treasury, EUR), world.balance(world.treasury, USD)) == (UNIT, 2 * UNIT)


def test_settle__treasury__spends_by_signed_orders_like_anyone(world: World, payer: str) -> None:
    world.key("treasury")
    world.settle(world.batch([order_of(payer, target_units=99 * UNIT)]))
    world.settle(world.batch([order_of(world.treasury, source_units=UNIT, target_units=UNIT)], batch_id=2))
    assert (world.balance(world.treasury, EUR), world.balance(PAYEE, EUR)) == (0, 100 * UNIT)


def test_settle__totals__are_what_they_were(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    before = [world.hub.functions.totalOf(currency).call() for currency in (EUR, USD)]
    order = order_of(payer, target_currency=USD, target_units=108 * UNIT)
    world.settle(world.batch([order], [Quote(maker, USD, 108 * UNIT, EUR, 99 * UNIT)], [(0, 108 * UNIT)]))
    assert [world.hub.functions.totalOf(currency).call() for currency in (EUR, USD)] == before
    for currency in (EUR, USD):
        everyone = sum(world.balance(who, currency) for who in (payer, maker, PAYEE, world.treasury))
        assert everyone == world.hub.functions.totalOf(currency).call()


def test_settle__300_payments_in_two_currencies__settle_in_one_transaction(world: World) -> None:
    draw = random.Random(7)
    payers = [world.fund(f"payer-{index}", draw.choice([EUR, USD]), 1_000) for index in range(12)]
    held = {payer: EUR if world.balance(payer, EUR) else USD for payer in payers}
    orders = [
        Order(payer, draw.choice(payers), held[payer], 3, held[payer], draw.choice([2, 3]), nonce=index + 1)
        for index, payer in ((index, payers[index % 12]) for index in range(300))
    ]
    world.settle(world.batch(orders))
    for currency in (EUR, USD):
        everyone = sum(world.balance(who, currency) for who in [*payers, world.treasury])
        assert everyone == 1_000 * sum(1 for payer in payers if held[payer] == currency)


def test_settle__paused__refused_until_unpaused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)])
    world.send(world.hub.functions.pause(), "pauser")
    assert world.settle_refused(batch) == Refusal("EnforcedPause")
    world.fund("payer", EUR, 1)
    world.send(world.hub.functions.unpause(), "pauser")
    world.settle(batch)


def test_settle__caller_without_role__refused(world: World, payer: str) -> None:
    call = world.hub.functions.settle(*world.batch([order_of(payer)]).arguments())
    for name in ("admin", "governor", "compliance", "pauser", "stranger"):
        assert world.refused(call, name) == Refusal("AccessManagedUnauthorized", (world.who[name],))


def test_settle__role_taken_away__refused(world: World, payer: str) -> None:
    call = world.hub.functions.settle(*world.batch([order_of(payer)]).arguments())
    world.send(world.manager.functions.revokeRole(2, world.who["settler"]), "admin")
    assert world.refused(call, "settler").name == "AccessManagedUnauthorized"


@pytest.mark.parametrize("kept", [4, 100, 400])
def test_settle__calldata_cut_short__refused(world: World, payer: str, kept: int) -> None:
    call = world.hub.functions.settle(*world.batch([order_of(payer)]).arguments())
    data = bytes.fromhex(call._encode_transaction_data()[2:])[:kept]
    assert world.chain.refused_data(world.hub.address, data, world.who["settler"]) == Refusal("")
