"""settle: what a batch leaves over, and the parts of it that its payers and makers get."""

from __future__ import annotations

import pytest
from hub_packing import OF_MAKER, Packed, pack_order
from hub_world import EUR, GBP, UNIT, USD, Order, Quote, Refusal, World, account

PAYEE = account("payee").address
UINT64_MAX = 2**64 - 1


@pytest.fixture
def payer(world: World) -> str:
    return world.fund("payer", EUR, 1_000 * UNIT)


def order_of(payer: str, /, **changes: object) -> Order:
    """100 EUR leave, 98 arrive: 2 are left over."""
    return Order(payer, PAYEE, EUR, 100 * UNIT, EUR, 98 * UNIT)._replace(**changes)


def word(party: int, units: int, currency: int, address: str) -> int:
    """A share as its event has it."""
    return party << 240 | units << 176 | currency << 160 | int(address, 16)


def test_settle__share_of_a_payer__is_not_the_treasurys(world: World, payer: str) -> None:
    receipt = world.settle(world.batch([order_of(payer)], shares=[(0, UNIT)]))
    assert (world.balance(payer, EUR), world.balance(world.treasury, EUR)) == (901 * UNIT, UNIT)
    assert (world.balance(PAYEE, EUR), world.nonce(payer, EUR)) == (98 * UNIT, 1)
    events = world.chain.events(receipt)
    assert [name for name, _ in events] == ["PaymentSettled", "SurplusShared", "SurplusCollected", "BatchSettled"]
    assert dict(events)["SurplusShared"] == {"shares": [word(0, UNIT, EUR, payer)]}
    assert dict(events)["SurplusCollected"] == {"currency": EUR, "amount": UNIT}


def test_settle__share_of_a_maker__is_paid_in_what_it_buys(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    order = order_of(payer, target_currency=USD, target_units=100 * UNIT)
    quotes = [Quote(maker, USD, UNIT, GBP, UNIT), Quote(maker, USD, 100 * UNIT, EUR, 97 * UNIT)]
    receipt = world.settle(world.batch([order], quotes, [(1, 100 * UNIT)], shares=[(OF_MAKER | 1, 2 * UNIT)]))
    assert (world.balance(maker, USD), world.balance(maker, EUR)) == (900 * UNIT, 99 * UNIT)
    assert world.balance(world.treasury, EUR) == UNIT
    shared = dict(world.chain.events(receipt))["SurplusShared"]
    assert shared == {"shares": [word(OF_MAKER | 1, 2 * UNIT, EUR, maker)]}


def test_settle__shares_of_all_that_is_left__leave_the_treasury_none(world: World, payer: str) -> None:
    other = world.fund("other", EUR, 100 * UNIT)
    batch = world.batch([order_of(payer), order_of(other)], shares=[(0, 3 * UNIT), (1, UNIT)])
    names = [name for name, _ in world.chain.events(world.settle(batch))]
    assert names == ["PaymentSettled", "PaymentSettled", "SurplusShared", "BatchSettled"]
    assert (world.balance(payer, EUR), world.balance(other, EUR)) == (903 * UNIT, UNIT)
    assert world.balance(world.treasury, EUR) == 0


@pytest.mark.parametrize("party", [0, OF_MAKER], ids=["payer", "maker"])
def test_settle__share_above_what_is_left_by_one_unit__refused(world: World, payer: str, party: int) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    order = order_of(payer, target_currency=USD, target_units=100 * UNIT)
    quote = Quote(maker, USD, 100 * UNIT, EUR, 97 * UNIT)
    batch = world.batch([order], [quote], [(0, 100 * UNIT)], shares=[(party, 3 * UNIT + 1)])
    assert world.settle_refused(batch) == Refusal("CurrencyNotConserved", (EUR, 1))


def test_settle__share_out_of_another_currencys_surplus__refused(world: World, payer: str) -> None:
    other = world.fund("other", USD, 100 * UNIT)
    without = order_of(payer, target_units=100 * UNIT)
    rich = Order(other, PAYEE, USD, 100 * UNIT, USD, 90 * UNIT)
    assert world.settle_refused(world.batch([without, rich], shares=[(0, 1)])) == Refusal(
        "CurrencyNotConserved", (EUR, 1)
    )


def test_settle__shares_of_the_largest_amounts__refused_without_overflow(world: World, payer: str) -> None:
    orders = [order_of(payer, nonce=nonce) for nonce in (1, 2, 3)]
    shares = [(index, UINT64_MAX) for index in range(3)]
    refused = world.settle_refused(world.batch(orders, shares=shares))
    assert refused == Refusal("CurrencyNotConserved", (EUR, 3 * UINT64_MAX - 6 * UNIT))


def test_settle__share_of_a_quote_in_a_currency_nobody_brought__refused(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    batch = world.batch([order_of(payer)], [Quote(maker, USD, UNIT, GBP, UNIT)], shares=[(OF_MAKER, 1)])
    assert world.settle_refused(batch) == Refusal("ShareMalformed", (0, OF_MAKER))


MALFORMED = {
    "of nothing": ([(0, UNIT), (1, 0)], (1, 1)),
    "of no order": ([(0, UNIT), (2, 1)], (1, 2)),
    "of the last order there could be": ([(OF_MAKER - 1, 1)], (0, OF_MAKER - 1)),
    "of no quote": ([(0, UNIT), (OF_MAKER | 1, 1)], (1, OF_MAKER | 1)),
    "of the last quote there could be": ([(2**16 - 1, 1)], (0, 2**16 - 1)),
    "of an order twice": ([(1, UNIT), (1, 1)], (1, 1)),
    "of an order before": ([(1, UNIT), (0, 1)], (1, 0)),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_settle__share_of_nothing_or_nobody_or_out_of_sequence__refused(world: World, payer: str, case: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    shares, expected = MALFORMED[case]
    orders = [order_of(payer), order_of(payer, nonce=2)]
    batch = world.batch(orders, [Quote(maker, USD, UNIT, EUR, UNIT)], shares=shares)
    assert world.settle_refused(batch) == Refusal("ShareMalformed", expected)


def test_settle__share_behind_the_last_order__is_not_read_as_an_order(world: World, payer: str) -> None:
    """What follows the orders here are the shares: as an order they would be somebody's, in the first corridor."""
    batch = world.batch([order_of(payer)], shares=[(0, UNIT), (1, 1)])
    assert world.settle_refused(batch) == Refusal("ShareMalformed", (1, 1))


def test_settle__share_of_a_quote_where_there_is_none__refused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)], shares=[(OF_MAKER, 1)])
    assert world.settle_refused(batch) == Refusal("ShareMalformed", (0, OF_MAKER))


def test_settle__shares_behind_orders_of_every_shape__reach_their_payers(world: World) -> None:
    """Wide numbers, payees by place and currencies by corridor: each moves where the next order stands."""
    payers = [world.fund(f"payer-{index}", EUR if index % 2 else USD, 1_000 * UNIT) for index in range(8)]
    orders = [
        Order(payer, PAYEE, EUR if index % 2 else USD, 10 * UNIT, EUR if index % 2 else USD, 9 * UNIT)
        for index, payer in enumerate(payers)
    ]
    batch = world.batch(orders)
    corridors, packed, place = [(USD, USD), (EUR, EUR)], b"", None
    for index, (order, signature) in enumerate(zip(orders, batch.order_signatures, strict=True)):
        wide = index % 3 == 1
        at = 20 + 8 + len(packed)
        by_place = place if index % 4 else None
        packed += pack_order(order, signature, index % 2, place=by_place, wide=wide)
        place = at + 3 + 20 + (48 if wide else 24) + 32 if by_place is None else place
    given = [(index, index + 1) for index in range(8) if index != 4]
    shares = b"".join(party.to_bytes(2, "big") + units.to_bytes(8, "big") for party, units in given)
    world.send(world.hub.functions.settle(Packed(1, corridors, packed, b"", [], shares).join()), "settler")
    for index, payer in enumerate(payers):
        got = 0 if index == 4 else index + 1
        assert world.balance(payer, EUR if index % 2 else USD) == 990 * UNIT + got
    assert world.balance(world.treasury, USD) == 4 * UNIT - 1 - 3 - 7
    assert world.balance(world.treasury, EUR) == 4 * UNIT - 2 - 4 - 6 - 8


def test_settle__shares_in_currencies_whose_ids_end_alike__reach_all(world: World, payer: str) -> None:
    """Five currencies want one place in the index of sums; each is found where the search for it leads."""
    alike = [EUR + 256 * number for number in range(5)]
    payers = {EUR: payer}
    for currency in (alike[1], alike[4]):
        token = world.new_token(f"Currency {currency}", "ALIKE")
        world.send(world.hub.functions.listCurrency(currency, token.address), "governor")
        world.send(token.functions.configureMinter(world.who["issuer"], 10**9), "mint_controller")
        world.send(token.functions.mint(world.who["issuer"], 100 * UNIT), "issuer")
        world.send(token.functions.approve(world.hub.address, 100 * UNIT), "issuer")
        payers[currency] = world.fund(f"payer of {currency}", currency, 100 * UNIT)
    orders = [order_of(who, source_currency=code, target_currency=code) for code, who in payers.items()]
    packed = b"".join(pack_order(order, world.sign(order), alike.index(order.source_currency)) for order in orders)
    shares = b"".join(index.to_bytes(2, "big") + UNIT.to_bytes(8, "big") for index in range(3))
    corridors = [(currency, currency) for currency in alike]
    world.send(world.hub.functions.settle(Packed(1, corridors, packed, b"", [], shares).join()), "settler")
    for currency, who in payers.items():
        kept = 901 * UNIT if who == payer else UNIT
        assert (world.balance(who, currency), world.balance(world.treasury, currency)) == (kept, UNIT)


def test_settle__share_of_a_frozen_payee_that_pays_elsewhere__reaches_only_the_payer(world: World, payer: str) -> None:
    world.send(world.hub.functions.freeze(PAYEE), "compliance")
    world.settle(world.batch([order_of(payer)], shares=[(0, UNIT)]))
    assert (world.balance(payer, EUR), world.balance(PAYEE, EUR)) == (901 * UNIT, 98 * UNIT)


def test_settle__share__cannot_be_spent_by_an_order_of_the_same_batch(world: World) -> None:
    payer = world.fund("poor", EUR, 100 * UNIT)
    orders = [order_of(payer), order_of(payer, nonce=2, source_units=1, target_units=1)]
    refused = world.settle_refused(world.batch(orders, shares=[(0, UNIT)]))
    assert refused == Refusal("OrderFundsShort", (1, payer, EUR, 0, 1))


def test_settle__totals_with_shares__are_what_they_were(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 1_000 * UNIT)
    order = order_of(payer, target_currency=USD, target_units=100 * UNIT)
    quote = Quote(maker, USD, 100 * UNIT, EUR, 97 * UNIT)
    before = [world.hub.functions.totalOf(currency).call() for currency in (EUR, USD)]
    world.settle(world.batch([order], [quote], [(0, 100 * UNIT)], shares=[(0, UNIT), (OF_MAKER, UNIT)]))
    assert [world.hub.functions.totalOf(currency).call() for currency in (EUR, USD)] == before
    for currency, total in zip((EUR, USD), before, strict=True):
        assert sum(world.balance(who, currency) for who in (payer, maker, PAYEE, world.treasury)) == total


@pytest.mark.parametrize("cut", [1, 2, 9, 11])
def test_settle__share_cut_short__refused(world: World, payer: str, cut: int) -> None:
    (packed,) = world.batch([order_of(payer)], shares=[(0, UNIT), (OF_MAKER, 1)]).arguments()
    assert world.refused(world.hub.functions.settle(packed[:-cut]), "settler") == Refusal("BatchMalformed")
