"""How a payment was priced, as a document that proves by itself that nothing cheaper was on offer.

The quotes of the market are in it as their makers signed them, with the operator's commitment to them, the route that
was taken, the marginal prices that bound every other one, and the alternatives. `execution_check` verifies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from chainwallet.keys.intents import Domain, memo_of, quote_digest
from chainwallet.keys.typed_data import typed_data
from chainwallet.kit.clock import unix_seconds
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.market.commitment import ExecutionRecord, record_execution
from chainwallet.market.model import Leg, Route
from chainwallet.market.ranking import Alternative, rank_alternatives
from chainwallet.market.routing import Router
from chainwallet.payments.particulars import particulars_of
from chainwallet.payments.quotes import Quote
from chainwallet.payments.transfers import Transfer
from chainwallet.settlement.orders import PlacedOrder
from chainwallet.settlement.snapshots import SnapshotContent, SnapshotName, read_snapshot

ALTERNATIVES = 5


class ExecutionWithoutMarket(ChainwalletError):
    code = "EXECUTION_WITHOUT_MARKET"
    status = 409


class ExecutionNotReady(ChainwalletError):
    code = "EXECUTION_NOT_READY"
    status = 409
    retryable = True


def execution(session: Session, transfer: Transfer, quote: Quote, domain: Domain, *, operator: str) -> dict[str, Any]:
    """The record of how a transfer was priced by its quote. EXECUTION_WITHOUT_MARKET, EXECUTION_NOT_READY."""
    if quote.market_root is None or quote.market_taken_at is None:
        raise ExecutionWithoutMarket("Nothing was exchanged for this payment: no maker's price is in it.")
    order = session.get(PlacedOrder, transfer.id)
    if order is None:
        raise ExecutionNotReady(f"The transfer is {transfer.status}; what its payer signs is proven once it is signed.")
    details = particulars_of(transfer, quote)
    if memo_of(details) != bytes(order.memo):
        raise ExecutionWithoutMarket("The order was signed before orders named the market they were priced on.")
    content = read_snapshot(session, SnapshotName(quote.market_root, quote.market_taken_at))
    if content is None:
        raise ExecutionWithoutMarket("The market that this payment was priced on is not kept here.")
    record, ranking = _explained(quote, content, domain)
    return {
        "version": 1,
        "order": typed_data(domain, order.signed()),
        "order_hash": order.order_hash,
        "signature": "0x" + bytes(order.signature).hex(),
        "particulars": details,
        "fee": {"currency": quote.source_currency, "value": Money(quote.source_currency, quote.fee_units).value},
        "market": {
            "root": quote.market_root,
            "taken_at": str(unix_seconds(quote.market_taken_at)),
            "signature": "0x" + content.signature.hex(),
            "operator": operator,
        },
        **_explanation(record, content, ranking),
    }


def route_of(quote: Quote) -> Route:
    """The route that prices a quote: what its legs take of the source and give of the target."""
    legs = tuple(
        Leg(
            leg["quote_id"],
            leg["maker_id"],
            leg["sell"],
            int(leg["sold_units"]),
            leg["buy"],
            int(leg["bought_units"]),
        )
        for leg in quote.legs
    )
    spent = sum(leg.bought_units for leg in legs if leg.buy == quote.source_currency)
    delivered = sum(leg.sold_units for leg in legs if leg.sell == quote.target_currency)
    return Route(quote.source_currency, quote.target_currency, spent, delivered, legs)


def _explained(
    quote: Quote, content: SnapshotContent, domain: Domain
) -> tuple[ExecutionRecord, tuple[Alternative, ...]]:
    """The certificate is found anew: any prices prove what they prove, and these are the programme's."""
    digests = {key: quote_digest(domain, one) for key, one in content.quotes.items()}
    taken = route_of(quote)
    route = replace(taken, legs=tuple(replace(leg, maker=content.quotes[leg.offer_id].maker) for leg in taken.legs))
    router = Router(content.book)
    solved = router.route_to_target(route.source, route.target, route.target_units)
    record = record_execution(router, replace(route, prices=solved.prices), digests)
    return record, rank_alternatives(content.book, route, count=ALTERNATIVES)


def _explanation(record: ExecutionRecord, content: SnapshotContent, ranking: Sequence[Alternative]) -> dict[str, Any]:
    book, route = record.book, record.route
    quotes = []
    for offer in book.offers:
        signed = content.quotes[offer.id]
        quotes.append(
            {
                "id": offer.id,
                "maker": offer.maker,
                "sell": offer.sell,
                "sell_units_max": str(offer.sell_units_max),
                "buy": offer.buy,
                "buy_units": str(offer.buy_units),
                "nonce": str(signed.nonce),
                "deadline": str(signed.deadline),
                "left_units": str(offer.sell_units_left),
            }
        )
    stock = [
        {"maker": maker, "currency": code, "units": str(units)}
        for (maker, code), units in sorted(book.inventory_units.items())
    ]
    return {
        "quotes": quotes,
        "stock": stock,
        "route": {
            "source_units": str(route.source_units),
            "target_units": str(route.target_units),
            "legs": legs_json(route.legs),
        },
        "prices": {code: f"{price.numerator}/{price.denominator}" for code, price in sorted(record.prices.items())},
        "loop": list(record.loop),
        "ranking": ranking_json(ranking),
    }


def legs_json(legs: Sequence[Leg]) -> list[dict[str, str]]:
    return [
        {"quote_id": leg.offer_id, "sold_units": str(leg.sold_units), "bought_units": str(leg.bought_units)}
        for leg in legs
    ]


def ranking_json(ranking: Sequence[Alternative]) -> list[dict[str, Any]]:
    """The cheapest single paths, each with what the same target would have cost along it."""
    return [
        {
            "source_units": str(one.source_units),
            "above_route_bps": f"{one.above_route_bps:.4f}",
            "legs": legs_json(one.legs),
        }
        for one in ranking
    ]


def summary_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a receipt carries of it: the commitment, the winning path, its prices and the ranking; not every quote."""
    return {key: document[key] for key in ("market", "route", "prices", "ranking")}
