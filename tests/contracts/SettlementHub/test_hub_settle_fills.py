"""settle: the quotes of a batch and what is taken from them."""

from __future__ import annotations

import pytest
from hub_world import EUR, FAR, GBP, UINT128_MAX, UNIT, USD, Order, Quote, Refusal, World, account, sign_quote

PAYEE = account("payee").address


@pytest.fixture
def payer(world: World) -> str:
    return world.fund("payer", EUR, 1_000 * UNIT)


@pytest.fixture
def maker(world: World) -> str:
    return world.fund("maker", USD, 1_000 * UNIT)


def order_of(payer: str, /, **changes: object) -> Order:
    """100 EUR become 108 USD; the maker below asks 99.9 of the EUR for that."""
    return Order(payer, PAYEE, EUR, 100 * UNIT, USD, 108 * UNIT)._replace(**changes)


def quote_of(maker: str, /, **changes: object) -> Quote:
    """Sells up to 540 USD at 0.925 EUR each."""
    return Quote(maker, USD, 540 * UNIT, EUR, 499_500_000)._replace(**changes)


def test_settle__fill__pays_the_maker_its_price(world: World, payer: str, maker: str) -> None:
    quote = quote_of(maker)
    receipt = world.settle(world.batch([order_of(payer)], [quote], [(0, 108 * UNIT)]))
    assert (world.balance(maker, USD), world.balance(maker, EUR)) == (892 * UNIT, 99_900_000)
    assert (world.balance(PAYEE, USD), world.balance(payer, EUR)) == (108 * UNIT, 900 * UNIT)
    assert world.balance(world.treasury, EUR) == 100_000
    digest = world.quote_hash(quote)
    assert world.hub.functions.quoteSold(digest).call() == 108 * UNIT
    assert world.nonce(maker, USD) == 0
    names = [name for name, _ in world.chain.events(receipt)]
    assert names == ["PaymentSettled", "QuoteFilled", "SurplusCollected", "BatchSettled"]
    filled = dict(world.chain.events(receipt))["QuoteFilled"]
    assert filled == {"maker": maker, "quoteHash": digest, "sold": 108 * UNIT, "bought": 99_900_000}


@pytest.mark.parametrize(("sold", "bought"), [(1, 1), (2, 1), (3, 1), (4, 2), (10, 4), (300, 100)])
def test_settle__price_that_does_not_divide__rounds_up_for_the_maker(
    world: World, payer: str, maker: str, sold: int, bought: int
) -> None:
    quote = quote_of(maker, sell_units_max=300, buy_units=100)
    order = order_of(payer, source_units=100, target_units=sold)
    world.settle(world.batch([order], [quote], [(0, sold)]))
    assert world.balance(maker, EUR) == bought


def test_settle__largest_amounts__do_not_overflow(world: World) -> None:
    payer = world.fund("payer", EUR, 10**15)
    maker = world.fund("maker", USD, 10**15)
    quote = quote_of(maker, sell_units_max=UINT128_MAX, buy_units=UINT128_MAX)
    order = order_of(payer, source_units=10**15, target_units=10**15)
    world.settle(world.batch([order], [quote], [(0, 10**15)]))
    assert world.balance(maker, EUR) == 10**15


def test_settle__parts_of_a_quote_in_several_batches__stop_at_its_capacity(
    world: World, payer: str, maker: str
) -> None:
    quote = quote_of(maker)
    for batch_id in (1, 2):
        orders = [order_of(payer, nonce=batch_id, source_units=200 * UNIT, target_units=216 * UNIT)]
        world.settle(world.batch(orders, [quote], [(0, 108 * UNIT), (0, 108 * UNIT)], batch_id=batch_id))
    digest = world.quote_hash(quote)
    assert world.hub.functions.quoteSold(digest).call() == 432 * UNIT
    orders = [order_of(payer, nonce=3)]
    refused = world.settle_refused(world.batch(orders, [quote], [(0, 108 * UNIT + 1)], batch_id=3))
    expected = (0, digest, 432 * UNIT, 108 * UNIT + 1, 540 * UNIT)
    assert refused == Refusal("FillExceedsQuote", expected)
    world.settle(world.batch(orders, [quote], [(0, 108 * UNIT)], batch_id=3))


def test_settle__fill_beyond_capacity__refused(world: World, payer: str, maker: str) -> None:
    quote = quote_of(maker)
    refused = world.settle_refused(world.batch([order_of(payer)], [quote], [(0, 540 * UNIT + 1)]))
    assert refused == Refusal("FillExceedsQuote", (0, world.quote_hash(quote), 0, 540 * UNIT + 1, 540 * UNIT))


def test_settle__fill_of_128_bits__refused_without_overflow(world: World, payer: str, maker: str) -> None:
    quote = quote_of(maker)
    batch = world.batch([order_of(payer)], [quote], [(0, 1), (0, UINT128_MAX)])
    expected = (1, world.quote_hash(quote), 1, UINT128_MAX, 540 * UNIT)
    assert world.settle_refused(batch) == Refusal("FillExceedsQuote", expected)


def test_settle__same_quote_twice_in_a_batch__shares_one_capacity(world: World, payer: str, maker: str) -> None:
    quote = quote_of(maker)
    batch = world.batch([order_of(payer)], [quote, quote], [(0, 500 * UNIT), (1, 41 * UNIT)])
    expected = (1, world.quote_hash(quote), 500 * UNIT, 41 * UNIT, 540 * UNIT)
    assert world.settle_refused(batch) == Refusal("FillExceedsQuote", expected)


def test_settle__quotes_that_differ_by_nonce__have_a_capacity_each(world: World, payer: str, maker: str) -> None:
    quotes = [quote_of(maker, nonce=nonce) for nonce in (1, 2)]
    order = order_of(payer, source_units=1_000 * UNIT, target_units=1_000 * UNIT)
    world.settle(world.batch([order], quotes, [(0, 540 * UNIT), (1, 460 * UNIT)]))
    sold = [world.hub.functions.quoteSold(world.quote_hash(quote)).call() for quote in quotes]
    assert sold == [540 * UNIT, 460 * UNIT]


def test_settle__two_makers_in_a_chain__settles_through_a_third_currency(world: World, payer: str) -> None:
    first, second = world.fund("first", GBP, 500 * UNIT), world.fund("second", USD, 500 * UNIT)
    quotes = [Quote(first, GBP, 86 * UNIT, EUR, 100 * UNIT), Quote(second, USD, 108 * UNIT, GBP, 86 * UNIT)]
    world.settle(world.batch([order_of(payer)], quotes, [(0, 86 * UNIT), (1, 108 * UNIT)]))
    assert world.balance(PAYEE, USD) == 108 * UNIT
    assert (world.balance(first, EUR), world.balance(second, GBP)) == (100 * UNIT, 86 * UNIT)


def test_settle__opposite_payments__need_no_maker(world: World, payer: str) -> None:
    other = world.fund("other", USD, 108 * UNIT)
    back = Order(other, payer, USD, 108 * UNIT, EUR, 100 * UNIT)
    world.settle(world.batch([order_of(payer), back]))
    assert (world.balance(PAYEE, USD), world.balance(payer, EUR)) == (108 * UNIT, 1_000 * UNIT)


def test_settle__quote_without_fill__leaves_its_maker_alone(world: World, payer: str, maker: str) -> None:
    order = order_of(payer, target_currency=EUR, target_units=100 * UNIT)
    world.settle(world.batch([order], [quote_of(maker)]))
    assert (world.balance(maker, USD), world.balance(maker, EUR)) == (1_000 * UNIT, 0)


@pytest.mark.parametrize("field", ["sell_units_max", "buy_units"])
def test_settle__quote_with_amount_zero__refused(world: World, payer: str, maker: str, field: str) -> None:
    batch = world.batch([order_of(payer)], [quote_of(maker, **{field: 0})], [(0, 1)])
    assert world.settle_refused(batch) == Refusal("QuoteAmountZero", (0,))


def test_settle__quote_of_a_currency_for_itself__refused(world: World, payer: str, maker: str) -> None:
    batch = world.batch([order_of(payer)], [quote_of(maker, buy_currency=USD)], [(0, 1)])
    assert world.settle_refused(batch) == Refusal("QuoteCurrenciesEqual", (0, USD))


def test_settle__quote_deadline__is_inclusive(world: World, payer: str, maker: str) -> None:
    now = world.chain.now
    last = world.batch([order_of(payer)], [quote_of(maker, deadline=now)], [(0, 108 * UNIT)])
    world.hub.functions.settle(*last.arguments()).call({"from": world.who["settler"]})
    late = world.batch([order_of(payer)], [quote_of(maker), quote_of(maker, deadline=now - 1)], [(0, 108 * UNIT)])
    assert world.settle_refused(late) == Refusal("QuoteExpired", (1, now - 1, now))


def test_settle__maker_frozen__refused(world: World, payer: str, maker: str) -> None:
    world.send(world.hub.functions.freeze(maker), "compliance")
    batch = world.batch([order_of(payer)], [quote_of(maker)], [(0, 108 * UNIT)])
    assert world.settle_refused(batch) == Refusal("QuoteMakerFrozen", (0, maker))


def test_settle__maker_short_by_one_unit__refused(world: World, payer: str) -> None:
    maker = world.fund("maker", USD, 108 * UNIT - 1)
    batch = world.batch([order_of(payer)], [quote_of(maker)], [(0, 108 * UNIT)])
    expected = (0, maker, USD, 108 * UNIT - 1, 108 * UNIT)
    assert world.settle_refused(batch) == Refusal("FillFundsShort", expected)


def test_settle__maker_keeps_its_order_nonce(world: World, payer: str, maker: str) -> None:
    world.settle(world.batch([Order(maker, PAYEE, USD, 1, USD, 1, nonce=9)]))
    world.settle(world.batch([order_of(payer)], [quote_of(maker)], [(0, 108 * UNIT)], batch_id=2))
    assert world.nonce(maker, USD) == 9


TAMPERED = {
    "maker": account("other").address,
    "sell_currency": GBP,
    "sell_units_max": 540 * UNIT + 1,
    "buy_currency": GBP,
    "buy_units": 499_500_000 - 1,
    "nonce": 2,
    "deadline": FAR + 1,
}


@pytest.mark.parametrize("field", TAMPERED)
def test_settle__quote_changed_after_signing__refused(world: World, payer: str, maker: str, field: str) -> None:
    batch = world.batch([order_of(payer)], [quote_of(maker)], [(0, 108 * UNIT)])
    batch.quotes[0] = quote_of(maker, **{field: TAMPERED[field]})
    expected = (0, batch.quotes[0].maker, world.quote_hash(batch.quotes[0]))
    assert world.settle_refused(batch) == Refusal("QuoteSignatureInvalid", expected)


@pytest.mark.parametrize("other", ["signer", "chain", "hub"])
def test_settle__quote_signed_by_or_for_another__refused(world: World, payer: str, maker: str, other: str) -> None:
    quote = quote_of(maker)
    batch = world.batch([order_of(payer)], [quote], [(0, 108 * UNIT)])
    signer = account("thief" if other == "signer" else "maker")
    chain_id = world.chain.id + (other == "chain")
    hub = account("hub").address if other == "hub" else world.hub.address
    batch.quote_signatures[0] = sign_quote(signer, quote, chain_id=chain_id, hub=hub)
    assert world.settle_refused(batch).name == "QuoteSignatureInvalid"


@pytest.mark.parametrize("index", [1, 65_535])
def test_settle__fill_of_no_quote__refused(world: World, payer: str, maker: str, index: int) -> None:
    batch = world.batch([order_of(payer)], [quote_of(maker)], [(0, 108 * UNIT), (index, 1)])
    assert world.settle_refused(batch) == Refusal("FillQuoteUnknown", (1, index, 1))


def test_settle__fill_behind_the_last_of_several_quotes__refused(world: World, payer: str, maker: str) -> None:
    quotes = [quote_of(maker), quote_of(maker, nonce=2)]
    batch = world.batch([order_of(payer)], quotes, [(0, 108 * UNIT), (2, 1)])
    assert world.settle_refused(batch) == Refusal("FillQuoteUnknown", (1, 2, 2))


def test_settle__quote_longer_than_its_section__refused(world: World, payer: str, maker: str) -> None:
    packed = world.batch([order_of(payer)], [quote_of(maker)]).packed()
    split = len(packed.quotes) - 70  # what is cut off is a whole number of shares
    cut = packed._replace(quotes=packed.quotes[:split], shares=packed.quotes[split:])
    assert world.refused(world.hub.functions.settle(cut.join()), "settler") == Refusal("BatchMalformed")


def test_settle__fill_without_any_quote__refused(world: World, payer: str) -> None:
    assert world.settle_refused(world.batch([order_of(payer)], [], [(0, 1)])) == Refusal("FillQuoteUnknown", (0, 0, 0))


def test_settle__fill_of_nothing__refused(world: World, payer: str, maker: str) -> None:
    batch = world.batch([order_of(payer)], [quote_of(maker)], [(0, 108 * UNIT), (0, 0)])
    assert world.settle_refused(batch) == Refusal("FillAmountZero", (1,))
