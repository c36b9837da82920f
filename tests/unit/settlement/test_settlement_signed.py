"""What a stored order and a stored quote say is what was signed, and what the hub is sent."""

from __future__ import annotations

from datetime import UTC, datetime

from chainwallet.kit.money import currency
from chainwallet.market.model import Clearing, Leg
from chainwallet.settlement.batches import GAS_MAX, Draft, legs_of
from chainwallet.settlement.makers import MakerQuote
from chainwallet.settlement.orders import PlacedOrder

PAYER, PAYEE = "0x" + "11" * 20, "0x" + "22" * 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_order(order_id: str = "trf_1", **changes: object) -> PlacedOrder:
    fields: dict[str, object] = {
        "id": order_id,
        "payer": PAYER,
        "payee": PAYEE,
        "source_currency": "EUR",
        "source_units": 5,
        "target_currency": "USD",
        "target_units": 6,
        "fee_units": 1,
        "nonce": 7,
        "deadline": 8,
        "memo": b"m" * 32,
        "signature": b"s" * 65,
        "order_hash": "0x",
        "legs": [],
        "placed_at": NOW,
    }
    return PlacedOrder(**(fields | changes))


def a_quote(quote_id: str) -> MakerQuote:
    return MakerQuote(
        id=quote_id,
        maker_id="cus_1",
        maker=PAYER,
        sell="USD",
        sell_units=100,
        buy="EUR",
        buy_units=90,
        nonce=1,
        expires_at=NOW,
        signature=b"q" * 65,
        quote_hash=quote_id,
        created_at=NOW,
    )


def test_order__signed__carries_every_field() -> None:
    signed = an_order().signed()
    assert (signed.payer, signed.payee, signed.nonce, signed.deadline, signed.memo) == (PAYER, PAYEE, 7, 8, b"m" * 32)
    assert (signed.source_currency, signed.source_units) == (currency("EUR").id, 5)
    assert (signed.target_currency, signed.target_units) == (currency("USD").id, 6)


def test_quote__signed__ends_when_it_says() -> None:
    signed = a_quote("mkq_1").signed()
    assert signed.deadline == int(NOW.timestamp())
    assert (signed.sell_units_max, signed.buy_units) == (100, 90)


def test_legs_of__adds_up_what_is_reserved_of_each_quote() -> None:
    legs = [
        [{"quote_id": "a", "sold_units": "3"}, {"quote_id": "b", "sold_units": "4"}],
        [{"quote_id": "a", "sold_units": "5"}],
    ]
    orders = [an_order(f"trf_{n}", legs=found) for n, found in enumerate(legs)]
    assert legs_of(orders) == {"a": 8, "b": 4}


def _draft(orders: int, quotes: list[str]) -> Draft:
    fills = tuple(Leg(quote_id, "cus_1", "USD", 10, "EUR", 9) for quote_id in quotes)
    clearing = Clearing(fills=fills, surplus_units={}, settled=(), set_aside={})
    return Draft(tuple(an_order(f"trf_{n}") for n in range(orders)), clearing, {one: a_quote(one) for one in quotes})


def test_gas_limit__grows_with_the_batch_within_the_chains_bound() -> None:
    assert _draft(2, ["a"]).gas_limit > _draft(1, ["a"]).gas_limit > _draft(1, []).gas_limit
    assert _draft(500, ["a"]).gas_limit == GAS_MAX


def test_encode__names_each_quote_once_however_often_it_is_filled() -> None:
    once, twice = _draft(1, ["a"]).encode(1), _draft(1, ["a", "a"]).encode(1)
    packed_once, packed_twice = (int.from_bytes(call[36:68], "big") for call in (once, twice))
    assert packed_twice - packed_once == 18, "a fill more, and no quote more"
