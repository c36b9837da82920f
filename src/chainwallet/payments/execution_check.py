"""Verifying how a payment was priced, from the record alone: no node, and nothing of the service that made it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from chainwallet.chain.receipts import signed_by_payer
from chainwallet.keys.addresses import parse_address
from chainwallet.keys.attestations import MarketCommitment, QuoteAcknowledgement, attestation_digest
from chainwallet.keys.intents import Domain, MakerQuote, PaymentOrder, memo_of, quote_digest, recover
from chainwallet.keys.passkeys import signer_of
from chainwallet.keys.typed_data import parse_typed_data
from chainwallet.kit.checks import Check, Disproved
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency, currency_by_id
from chainwallet.market.commitment import ExecutionRecord, commit, find_withheld, verify_execution
from chainwallet.market.model import Book, Leg, Offer, Route
from chainwallet.market.ranking import rank_alternatives
from chainwallet.payments.executions import ALTERNATIVES, ranking_json

FRESH_S = 60  # a payment is priced on a market that was committed to at most this long before
_NUMBER = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)


class ExecutionMalformed(ChainwalletError):
    code = "EXECUTION_MALFORMED"
    status = 422


@dataclass(frozen=True, slots=True)
class _Evidence:
    """A record as it was read; `quotes` are as their makers signed them."""

    document: Mapping[str, Any]
    domain: Domain
    order: PaymentOrder
    quotes: Mapping[str, MakerQuote]
    record: ExecutionRecord
    commitment: MarketCommitment

    @property
    def operator(self) -> str:
        """Who signed the commitment, as its signature says."""
        signature = _bytes(self.document["market"]["signature"], 65)
        return recover(attestation_digest(self.domain, self.commitment), signature)


def check_execution(
    document: Mapping[str, Any], *, operator: str | None = None, acknowledgement: Mapping[str, Any] | None = None
) -> list[Check]:
    """Check every claim of a record. EXECUTION_MALFORMED for what is not one.

    `operator` is who should have committed to the market, where the reader knows. With a maker's `acknowledgement`,
    also whether that quote was withheld from this payment.
    """
    try:
        evidence = _read(document)
        checks: list[tuple[str, Callable[[], str]]] = [
            (
                "the payer signed this order",
                lambda: signed_by_payer(evidence.domain, evidence.order, evidence.document),
            ),
            ("the order commits to the market that it was priced on", lambda: _market(evidence)),
            ("the operator committed to that market", lambda: _operator(evidence, operator)),
            ("the quotes and stocks are those committed to", lambda: _root(evidence)),
            ("the payer's amounts are those of the route", lambda: _amounts(evidence)),
            ("nothing on offer was cheaper", lambda: _best(evidence)),
            ("the ranking is right", lambda: _ranking(evidence)),
        ]
        if acknowledgement is not None:
            checks.append(("the acknowledged quote was not withheld", lambda: _withheld(evidence, acknowledgement)))
        return [Check.of(claim, find) for claim, find in checks]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExecutionMalformed(f"This is not an execution record of version 1: {error!r}. Fetch it again.") from error


def _read(document: Mapping[str, Any]) -> _Evidence:
    if document["version"] != 1:
        raise ValueError("another version")
    domain, order = parse_typed_data(document["order"])
    if not isinstance(order, PaymentOrder):
        raise ValueError("a record is about a PaymentOrder")
    quotes = {one["id"]: _quote(one) for one in document["quotes"]}
    offers = tuple(_offer(one) for one in document["quotes"])
    if len(quotes) != len(offers):
        raise ValueError("two quotes have one id")
    stock = {(parse_address(one["maker"]), str(one["currency"])): _units(one["units"]) for one in document["stock"]}
    route, market = document["route"], document["market"]
    source, target = currency_by_id(order.source_currency).code, currency_by_id(order.target_currency).code
    by_id = {offer.id: offer for offer in offers}
    legs = tuple(_leg(one, by_id) for one in route["legs"])
    record = ExecutionRecord(
        root=_bytes(market["root"], 32),
        book=Book(0, offers, stock),
        digests={key: quote_digest(domain, quote) for key, quote in quotes.items()},
        route=Route(source, target, _units(route["source_units"]), _units(route["target_units"]), legs),
        prices={str(code): _price(text) for code, text in document["prices"].items()},
        loop=tuple(str(one) for one in document["loop"]),
    )
    return _Evidence(document, domain, order, quotes, record, MarketCommitment(record.root, _units(market["taken_at"])))


def _quote(one: Mapping[str, Any]) -> MakerQuote:
    return MakerQuote(
        maker=parse_address(one["maker"]),
        sell_currency=currency(one["sell"]).id,
        sell_units_max=_units(one["sell_units_max"]),
        buy_currency=currency(one["buy"]).id,
        buy_units=_units(one["buy_units"]),
        nonce=_units(one["nonce"]),
        deadline=_units(one["deadline"]),
    )


def _offer(one: Mapping[str, Any]) -> Offer:
    most, left = _units(one["sell_units_max"]), _units(one["left_units"])
    return Offer(
        str(one["id"]), parse_address(one["maker"]), one["sell"], one["buy"], most, _units(one["buy_units"]), left
    )


def _leg(one: Mapping[str, Any], offers: Mapping[str, Offer]) -> Leg:
    offer = offers[one["quote_id"]]
    return Leg(offer.id, offer.maker, offer.sell, _units(one["sold_units"]), offer.buy, _units(one["bought_units"]))


def _units(text: Any) -> int:
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise ValueError("a number is a string of decimal digits")
    return int(text)


def _price(text: str) -> Fraction:
    numerator, slash, denominator = text.partition("/")
    if not slash or not (numerator.isdecimal() and denominator.isdecimal()) or len(text) > 400:
        raise ValueError("a price is two whole numbers with a stroke between")
    return Fraction(int(numerator), int(denominator) or 1)


def _bytes(text: str, count: int) -> bytes:
    found = bytes.fromhex(text.removeprefix("0x"))
    if len(found) != count:
        raise ValueError(f"{count} bytes are needed")
    return found


def _market(evidence: _Evidence) -> str:
    details, stated = evidence.document["particulars"], evidence.document["market"]
    if memo_of(details) != evidence.order.memo:
        raise Disproved("the particulars were changed after signing")
    named = details["market"]
    if (named["root"], named["taken_at"]) != (stated["root"], stated["taken_at"]):
        raise Disproved(f"the payer signed for the market {named['root']} of {named['taken_at']}")
    priced_at = _units(named["priced_at"])
    waited_s = priced_at - evidence.commitment.stated_at
    if not 0 <= waited_s <= FRESH_S or priced_at > evidence.order.deadline:
        raise Disproved(f"the market was taken {waited_s} s before pricing; 0 to {FRESH_S} s are right")
    return f"root {named['root'][:18]}..., taken {waited_s} s before pricing"


def _operator(evidence: _Evidence, expected: str | None) -> str:
    signer, stated = evidence.operator, evidence.document["market"]["operator"]
    if signer != stated or (expected is not None and signer != parse_address(expected)):
        raise Disproved(f"the commitment is signed by {signer}, not by {expected or stated}")
    return f"EIP-712 signature of {signer}"


def _root(evidence: _Evidence) -> str:
    record = evidence.record
    if commit(record.book, record.digests).root != record.root:
        raise Disproved("they hash to another root")
    late = [key for key, quote in evidence.quotes.items() if quote.deadline <= evidence.commitment.stated_at]
    if late:
        raise Disproved(f"{len(late)} of the quotes had expired by then")
    return f"{len(record.book.offers)} quotes"


def _amounts(evidence: _Evidence) -> str:
    """What people see are whole minor units: that much rounding, and the fee, lie between it and the route."""
    order, route = evidence.order, evidence.record.route
    fee = evidence.document["fee"]
    fee_units = Money.parse(route.source, fee["value"], may_be_zero=True).units
    over_units = order.source_units - fee_units - route.source_units
    short_units = route.target_units - order.target_units
    if fee["currency"] != route.source or not 0 <= over_units < currency(route.source).minor_units:
        raise Disproved(f"{over_units} units of {route.source} are neither fee nor route nor rounding")
    if not 0 <= short_units < currency(route.target).minor_units:
        raise Disproved(f"{short_units} units of {route.target} went elsewhere")
    return f"{Money(route.source, order.source_units)}, of which the fee is {Money(route.source, fee_units)}"


def _best(evidence: _Evidence) -> str:
    verdict = verify_execution(evidence.record)
    if not verdict.is_best:
        raise Disproved("; ".join(verdict.findings))
    route = evidence.record.route
    least = Money(route.source, verdict.source_units_min)
    return f"no combination delivers {Money(route.target, route.target_units)} for less than {least}"


def _ranking(evidence: _Evidence) -> str:
    found = ranking_json(rank_alternatives(evidence.record.book, evidence.record.route, count=ALTERNATIVES))
    if found != evidence.document["ranking"]:
        raise Disproved("the cheapest single paths are others")
    return f"{len(found)} single paths, the cheapest {found[0]['above_route_bps']} bps above" if found else "no path"


def _withheld(evidence: _Evidence, acknowledgement: Mapping[str, Any]) -> str:
    quote = _acknowledged(evidence, acknowledgement)
    received_at, stated_at = _units(acknowledgement["received_at"]), evidence.commitment.stated_at
    if not received_at <= stated_at < quote.deadline:
        return f"it was good from {received_at} to {quote.deadline}, the market is of {stated_at}"
    sell = currency_by_id(quote.sell_currency).code
    offer = Offer(
        "acknowledged",
        quote.maker,
        sell,
        currency_by_id(quote.buy_currency).code,
        quote.sell_units_max,
        quote.buy_units,
        quote.sell_units_max,
    )
    digest = quote_digest(evidence.domain, quote)
    if digest in evidence.record.digests.values():
        return "it is among the quotes committed to"
    found = find_withheld(evidence.record, offer, digest, quote.sell_units_max)
    if found is None:
        return "it is missing, and would have changed nothing"
    saved = Money(evidence.record.route.source, found.saved_units)
    raise Disproved(
        f"with it the payment would have cost {saved} less; where its maker has not withdrawn it and no fill on chain "
        "used it up, it was kept out"
    )


def _acknowledged(evidence: _Evidence, acknowledgement: Mapping[str, Any]) -> MakerQuote:
    domain, quote = parse_typed_data(acknowledgement["quote"])
    if not isinstance(quote, MakerQuote) or domain != evidence.domain:
        raise Disproved("the acknowledgement is of another hub, or not of a quote")
    digest = quote_digest(domain, quote)
    if signer_of(digest, bytes.fromhex(acknowledgement["signature"].removeprefix("0x"))) != quote.maker:
        raise Disproved("the quote is not signed by its maker")
    statement = QuoteAcknowledgement(digest, _units(acknowledgement["received_at"]))
    signer = recover(attestation_digest(domain, statement), _bytes(acknowledgement["operator_signature"], 65))
    if signer != evidence.operator:
        raise Disproved(f"the acknowledgement is signed by {signer}, the market by {evidence.operator}")
    return quote
