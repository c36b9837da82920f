"""settle: the batch as a whole."""

from __future__ import annotations

import random

import pytest
from hub_packing import Packed, pack_order
from hub_world import EUR, GBP, UNIT, USD, Batch, Order, Quote, Refusal, World, account

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


@pytest.mark.parametrize("kept", [4, 36, 68, 100, 200])
def test_settle__calldata_cut_short__refused(world: World, payer: str, kept: int) -> None:
    call = world.hub.functions.settle(*world.batch([order_of(payer)]).arguments())
    data = bytes.fromhex(call._encode_transaction_data()[2:])[:kept]
    assert world.chain.refused_data(world.hub.address, data, world.who["settler"]) == Refusal("")


def two_of_each(world: World, payer: str) -> Batch:
    """A batch with two orders, two quotes and two fills."""
    maker = world.fund("maker", USD, 1_000 * UNIT)
    orders = [order_of(payer, target_currency=USD, target_units=UNIT, nonce=nonce) for nonce in (1, 2)]
    quotes = [Quote(maker, USD, UNIT, EUR, UNIT, nonce=nonce) for nonce in (1, 2)]
    return world.batch(orders, quotes, [(0, UNIT), (1, UNIT)])


def packed_refused(world: World, packed: bytes) -> Refusal:
    return world.refused(world.hub.functions.settle(packed), "settler")


def test_settle__packed_batch_cut_at_any_byte__refused(world: World, payer: str) -> None:
    (packed,) = two_of_each(world, payer).arguments()
    for kept in range(len(packed)):
        assert packed_refused(world, packed[:kept]) == Refusal("BatchMalformed"), kept


@pytest.mark.parametrize("extra", [1, 4, 9, 18, 99])
def test_settle__bytes_left_over__refused(world: World, payer: str, extra: int) -> None:
    (packed,) = two_of_each(world, payer).arguments()
    assert packed_refused(world, packed + bytes(extra)) == Refusal("BatchMalformed")


def test_settle__nothing_at_all__refused(world: World) -> None:
    assert packed_refused(world, b"") == Refusal("BatchMalformed")


# Bytes of the header that hold a length or a count, and by how much each is off.
LENGTHS = [(9, 1), (9, -1), (13, 1), (13, -1), (17, 1), (17, -1), (19, 1), (19, -1), (10, 1)]


@pytest.mark.parametrize(("place", "change"), LENGTHS)
def test_settle__length_or_count_that_does_not_add_up__refused(
    world: World, payer: str, place: int, change: int
) -> None:
    spoiled = bytearray(two_of_each(world, payer).arguments()[0])
    spoiled[place] = (spoiled[place] + change) % 256
    assert packed_refused(world, bytes(spoiled)) == Refusal("BatchMalformed")


def test_settle__order_that_reaches_into_the_quotes__refused(world: World, payer: str) -> None:
    """The sections add up, and yet the last order does not end where they say."""
    batch = two_of_each(world, payer)
    packed = batch.packed()
    moved = packed._replace(orders=packed.orders + packed.quotes[:1], quotes=packed.quotes[1:])
    assert packed_refused(world, moved.join()).name in ("OrderSignatureInvalid", "OrderAmountZero", "OrderMalformed")
    moved = packed._replace(orders=packed.orders[:-1], quotes=packed.orders[-1:] + packed.quotes)
    assert packed_refused(world, moved.join()) == Refusal("BatchMalformed")


def test_settle__quote_that_reaches_into_the_fills__refused(world: World, payer: str) -> None:
    packed = two_of_each(world, payer).packed()
    short = packed._replace(quotes=packed.quotes[:-18], fills=[packed.quotes[-18:], *packed.fills])
    assert packed_refused(world, short.join()) == Refusal("BatchMalformed")


def test_settle__quotes_of_no_kind_known__refused(world: World, payer: str) -> None:
    packed = two_of_each(world, payer).packed()
    assert (
        packed_refused(world, packed._replace(quotes=b"\x07" + packed.quotes[1:]).join()).name
        == "QuoteSignatureInvalid"
    )


def test_settle__corridor_not_in_the_table__refused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer), order_of(payer, nonce=2)])
    (first, second), signatures = batch.orders, batch.order_signatures
    orders = pack_order(first, signatures[0], 0) + pack_order(second, signatures[1], 1)
    assert packed_refused(world, Packed(1, [(EUR, EUR)], orders, b"", []).join()) == Refusal("OrderMalformed", (1,))
    orders = pack_order(first, signatures[0], 65_535)
    assert packed_refused(world, Packed(1, [(EUR, EUR)], orders, b"", []).join()) == Refusal("OrderMalformed", (0,))
    assert packed_refused(world, Packed(1, [], orders, b"", []).join()) == Refusal("OrderMalformed", (0,))


def test_settle__corridor_of_other_currencies__is_not_what_was_signed(world: World, payer: str) -> None:
    world.fund("payer", USD, 1_000 * UNIT)
    packed = world.batch([order_of(payer)]).packed()
    refused = packed_refused(world, packed._replace(corridors=[(USD, USD)]).join())
    assert refused.name == "OrderSignatureInvalid"


def test_settle__corridor_twice_or_unused__settles_the_same(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer), order_of(payer, nonce=2, target_units=99 * UNIT)])
    orders = b"".join(
        pack_order(order, signature, corridor)
        for order, signature, corridor in zip(batch.orders, batch.order_signatures, (1, 2), strict=True)
    )
    packed = Packed(1, [(GBP, USD), (EUR, EUR), (EUR, EUR)], orders, b"", [])
    world.send(world.hub.functions.settle(packed.join()), "settler")
    assert (world.balance(PAYEE, EUR), world.balance(world.treasury, EUR)) == (199 * UNIT, UNIT)


def test_settle__numbers_wide_though_narrow_would_do__settles_the_same(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer), order_of(payer, nonce=2)])
    (first, second), signatures = batch.orders, batch.order_signatures
    narrow, wide = (pack_order(first, signatures[0], 0, wide=wide) for wide in (False, True))
    assert len(wide) == len(narrow) + 24
    orders = wide + pack_order(second, signatures[1], 0, place=20 + 4 + 103)
    world.send(world.hub.functions.settle(Packed(1, [(EUR, EUR)], orders, b"", []).join()), "settler")
    assert world.balance(PAYEE, EUR) == 200 * UNIT


@pytest.mark.parametrize("place", [0, 3, 127, 2**24 - 1])
def test_settle__payee_by_a_wrong_place__is_not_what_was_signed(world: World, payer: str, place: int) -> None:
    batch = world.batch([order_of(payer)])
    orders = pack_order(batch.orders[0], batch.order_signatures[0], 0, place=place)
    refused = packed_refused(world, Packed(1, [(EUR, EUR)], orders, b"", []).join())
    assert refused.name in ("OrderSignatureInvalid", "OrderPayeeZero")
