"""Writes the batches that the machine sends: payments that can settle, and now and then something that should not."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from eth_utils import keccak
from hub_model import Signed, SignedBatch
from hub_packing import OF_MAKER
from hub_world import FAR, ORDER_TYPE, Order, Quote

if TYPE_CHECKING:
    from hub_machine import Machine

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HOSTILE_SHARE = 0.3


class Author:
    """Writes one batch: payments that can settle, and then, in one of three, something that should not."""

    def __init__(self, machine: Machine, draw: Random) -> None:
        self.machine, self.model, self.draw = machine, machine.model, draw
        self.nonces = dict(machine.model.nonces)
        self.left = dict(machine.model.balances)
        self.orders: list[Signed] = []
        self.quotes: list[Signed] = []
        self.fills: list[tuple[int, int]] = []

    def batch(self) -> SignedBatch:
        """One to four payments, signed."""
        self.machine.last_id += self.draw.choice([1, 1, 1, 2, 300])
        for _ in range(self.draw.randint(1, 4)):
            self._pay()
        honest = SignedBatch(self.machine.last_id, tuple(self.orders), tuple(self.quotes), tuple(self.fills))
        honest = _with(honest, shares=tuple(self._shares(honest))) if self.draw.random() < 0.5 else honest
        return self._spoil(honest) if self.draw.random() < HOSTILE_SHARE else honest

    def _shares(self, batch: SignedBatch) -> list[tuple[int, int]]:
        """Parts of what is left over, now and then all of it, for some of the parties."""
        left = _left_over(batch)
        parties = [(index, signed.intent.source_currency) for index, signed in enumerate(batch.orders)]
        parties += [(OF_MAKER | index, signed.intent.buy_currency) for index, signed in enumerate(batch.quotes)]
        shares = []
        for party, currency in parties:
            most = min(left.get(currency, 0), 2**64 - 1)
            if most > 0 and self.draw.random() < 0.7:
                units = most if self.draw.random() < 0.2 else self.draw.randint(1, most)
                left[currency] -= units
                shares.append((party, units))
        return shares

    def _pay(self) -> None:
        rich = [pair for pair in self.machine.pairs if self.left.get(pair, 0) > 10 and pair[0] not in self.model.frozen]
        payer, currency = self.draw.choice(rich or self.machine.pairs)
        units = self.draw.randint(1, max(1, self.left.get((payer, currency), 0) // 2))
        payee = self.draw.choice(self.machine.actors)
        if self.draw.random() < 0.5:
            self._order(payer, payee, currency, units, currency, max(1, units - self.draw.randint(0, 3)))
        else:
            self._exchange(payer, payee, currency, units)

    def _exchange(self, payer: str, payee: str, currency: int, units: int) -> None:
        offer = self._offer(currency)
        if offer is None:
            self._order(payer, payee, currency, units, currency, units)
            return
        quote = offer.intent
        assert isinstance(quote, Quote)
        left = quote.sell_units_max - self.model.sold.get(quote, 0)
        sold = min(units * quote.sell_units_max // quote.buy_units, left, self.left[quote.maker, quote.sell_currency])
        if sold < 1:
            self._order(payer, payee, currency, units, currency, units)
            return
        bought = -(-sold * quote.buy_units // quote.sell_units_max)
        self.left[quote.maker, quote.sell_currency] -= sold
        self.quotes.append(offer)
        parts = [sold] if sold == 1 or self.draw.random() < 0.7 else [sold // 2, sold - sold // 2]
        self.fills += [(len(self.quotes) - 1, part) for part in parts]
        cost = bought + len(parts) + self.draw.randint(0, 2)  # each part may be rounded up by a unit
        self._order(payer, payee, currency, cost, quote.sell_currency, sold)

    def _offer(self, currency: int) -> Signed | None:
        """A quote that buys the currency: one that stands, or a new one."""
        standing: list[Signed] = [
            signed
            for signed in self.machine.quotes
            if signed.intent.buy_currency == currency
            and (signed.intent.maker not in self.model.frozen or self.draw.random() < 0.1)
        ]
        if standing and self.draw.random() < 0.6:
            return self.draw.choice(standing)
        makers = [
            (who_, of)
            for (who_, of), units in self.left.items()
            if of != currency and units > 10 and who_ not in self.model.frozen
        ]
        if not makers:
            return None
        maker, sells = self.draw.choice(makers)
        sell_max = self.draw.randint(2, self.left[maker, sells])
        price = max(1, sell_max * self.draw.randint(1, 300) // 100)
        offer = self.machine.sign(Quote(maker, sells, sell_max, currency, price, self.draw.randint(0, 2**64 - 1), FAR))
        self.machine.quotes = [*self.machine.quotes[-30:], offer]
        return offer

    def _order(self, payer: str, payee: str, source: int, units: int, target: int, target_units: int) -> None:
        nonce = self.nonces.get((payer, source), 0) + self.draw.choice([1, 1, 2, 1000])
        self.nonces[payer, source] = nonce
        self.left[payer, source] = self.left.get((payer, source), 0) - units
        memo = self.draw.randbytes(32)
        self.orders.append(
            self.machine.sign(
                Order(payer, payee, source, units, target, target_units, nonce, self.draw.choice([FAR, FAR + 1]), memo)
            )
        )

    def _spoil(self, batch: SignedBatch) -> SignedBatch:
        ways = [
            self._replay,
            self._repeat,
            self._reuse_id,
            self._forge,
            self._resign,
            self._cut,
            self._empty,
            self._overshare,
            self._missshare,
        ]
        if batch.quotes:
            ways += [
                self._requote,
                self._requote,
                self._forge_quote,
                self._overfill,
                self._overfill,
                self._underfill,
                self._misfill,
            ]
        return self.draw.choice(ways)(batch)

    def _replay(self, batch: SignedBatch) -> SignedBatch:
        """A batch that settled before, under a new id."""
        return _with(self.draw.choice(self.machine.past), id=batch.id) if self.machine.past else batch

    def _repeat(self, batch: SignedBatch) -> SignedBatch:
        return _with(batch, orders=(*batch.orders, self.draw.choice(batch.orders)))

    def _reuse_id(self, batch: SignedBatch) -> SignedBatch:
        return _with(batch, id=self.draw.choice([past.id for past in self.machine.past] or [batch.id]))

    def _forge(self, batch: SignedBatch) -> SignedBatch:
        """One order's field is changed under its signature."""
        place = self.draw.randrange(len(batch.orders))
        signed = batch.orders[place]
        change = self._change(signed.intent)
        forged = Signed(
            signed.intent._replace(**change), signed.signature, signed.intent._replace(**change) == signed.intent
        )
        return _with(batch, orders=(*batch.orders[:place], forged, *batch.orders[place + 1 :]))

    def _forge_quote(self, batch: SignedBatch) -> SignedBatch:
        place = self.draw.randrange(len(batch.quotes))
        signed = batch.quotes[place]
        changed = signed.intent._replace(buy_units=max(1, signed.intent.buy_units // 2))
        forged = Signed(changed, signed.signature, changed == signed.intent)
        return _with(batch, quotes=(*batch.quotes[:place], forged, *batch.quotes[place + 1 :]))

    def _requote(self, batch: SignedBatch) -> SignedBatch:
        """One quote is signed anew by its maker: for more than it holds, too late, for nothing, or for itself."""
        place = self.draw.randrange(len(batch.quotes))
        quote: Any = batch.quotes[place].intent
        more = 2 * self.model.balances.get((quote.maker, quote.sell_currency), 0) + 1
        changes: list[dict[str, int]] = [
            {"sell_units_max": more, "buy_units": more},
            {"deadline": 1},
            {"buy_units": 0},
            {"sell_units_max": 0},
            {"buy_currency": quote.sell_currency},
        ]
        chosen = self.draw.choice(changes)
        spoiled = self.machine.sign(quote._replace(**chosen))
        fills = ((place, more), *batch.fills) if chosen is changes[0] else batch.fills
        return _with(batch, quotes=(*batch.quotes[:place], spoiled, *batch.quotes[place + 1 :]), fills=fills)

    def _empty(self, batch: SignedBatch) -> SignedBatch:
        return _with(batch, orders=())

    def _change(self, order: Any) -> dict[str, Any]:
        thief = self.draw.choice(self.machine.actors)
        changes = {
            "payee": thief,
            "source_units": order.source_units + 1,
            "target_units": max(1, order.target_units - 1),
            "nonce": order.nonce + 1,
            "memo": bytes(32),
            "payer": thief,
        }
        name = self.draw.choice(sorted(changes))
        return {name: changes[name]}

    def _resign(self, batch: SignedBatch) -> SignedBatch:
        """One order signed by someone else, over another domain, as its high-s twin, expired or with odd amounts."""
        place = self.draw.randrange(len(batch.orders))
        order: Any = batch.orders[place].intent
        other = self.draw.choice([key for key in self.machine.actors if key != order.payer])
        spoiled = self.draw.choice(
            [
                self.machine.sign(order, signer=other),
                self.machine.sign(order, digest=keccak(b"another domain")),
                self.machine.sign(order, digest=self.machine.digest(ORDER_TYPE, order, hub=other)),
                self.machine.sign(order, digest=self.machine.digest(ORDER_TYPE, order, chain_id=10)),
                _high_s(batch.orders[place]),
                self.machine.sign(order._replace(deadline=1)),
                self.machine.sign(order._replace(target_units=0)),
                self.machine.sign(order._replace(payee="0x" + "00" * 20)),
                self.machine.sign(order._replace(nonce=0)),
                self.machine.sign(order._replace(source_units=2**127, target_units=2**127)),
                self.machine.sign(
                    order._replace(target_units=order.source_units + 5, target_currency=order.source_currency)
                ),
                self.machine.sign(order._replace(target_units=2**128 - 1)),
            ]
        )
        return _with(batch, orders=(*batch.orders[:place], spoiled, *batch.orders[place + 1 :]))

    def _cut(self, batch: SignedBatch) -> SignedBatch:
        return _with(batch, bytes_off=self.draw.choice([-71, -2, -1, 1, 18, 99]))

    def _overfill(self, batch: SignedBatch) -> SignedBatch:
        number, _ = self.draw.choice(batch.fills)
        more: Any = batch.quotes[number].intent
        return _with(batch, fills=(*batch.fills, (number, more.sell_units_max)))

    def _underfill(self, batch: SignedBatch) -> SignedBatch:
        number, units = batch.fills[-1]
        return _with(batch, fills=(*batch.fills[:-1], (number, units - 1)))

    def _overshare(self, batch: SignedBatch) -> SignedBatch:
        """A unit more than is left over, or far more, to the first payer or, in its place, a maker."""
        currency = batch.orders[0].intent.source_currency
        given = _left_over(_with(batch, shares=())).get(currency, 0) + self.draw.choice([1, 1, 2**63])
        return _with(batch, shares=((0, max(1, min(given, 2**64 - 1))),))

    def _missshare(self, batch: SignedBatch) -> SignedBatch:
        """Of nothing, to nobody, or twice."""
        last = len(batch.orders) - 1
        quotes = OF_MAKER | len(batch.quotes)
        wrong = self.draw.choice([[(0, 0)], [(last + 1, 1)], [(quotes, 1)], [(2**16 - 1, 1)], [(last, 1), (0, 1)]])
        return _with(batch, shares=(*batch.shares, *wrong))

    def _misfill(self, batch: SignedBatch) -> SignedBatch:
        wrong = self.draw.choice([(len(batch.quotes), 1), (0, 0), (2**16 - 1, 1)])
        return _with(batch, fills=(*batch.fills, wrong))


def _left_over(batch: SignedBatch) -> dict[int, int]:
    """Debits less credits of each currency, by the orders' and fills' numbers alone."""
    left: dict[int, int] = {}

    def count(currency: int, units: int) -> None:
        left[currency] = left.get(currency, 0) + units

    for signed in batch.orders:
        order: Any = signed.intent
        count(order.source_currency, order.source_units)
        count(order.target_currency, -order.target_units)
    for number, units in batch.fills:
        quote: Any = batch.quotes[number].intent
        count(quote.sell_currency, units)
        count(quote.buy_currency, units * -quote.buy_units // quote.sell_units_max)
    return left


def _with(batch: SignedBatch, **changes: Any) -> SignedBatch:
    return replace(batch, **changes)


def _high_s(signed: Signed) -> Signed:
    signature = signed.signature
    if len(signature) > 65:  # a passkey's: s stands behind key and r
        twin = P256_ORDER - int.from_bytes(signature[96:128], "big")
        return Signed(signed.intent, signature[:96] + twin.to_bytes(32, "big") + signature[128:], False)
    twin = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return Signed(signed.intent, signature[:32] + twin.to_bytes(32, "big") + bytes([55 - signature[64]]), False)
