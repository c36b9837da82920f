"""Reading a packed batch back, as `batch_layout` packs it: what was ordered, from the chain alone.

What is read wrongly here hashes to something nobody signed, so whoever relies on it compares the digests with those
that the hub's events carry.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import Struct
from typing import Any

from chainwallet.chain.contracts.batch_layout import OF_MAKER, Share
from chainwallet.chain.contracts.settlement_hub import SETTLE
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.intents import MakerQuote, PaymentOrder
from chainwallet.kit.errors import ChainwalletError

_HEADER, _CORRIDOR = Struct(">QHIIH"), Struct(">HH")
_ORDER_HEAD, _NUMBERS, _WIDE_NUMBERS = Struct(">BH20s"), Struct(">QQII"), Struct(">16s16sQQ")
_QUOTE = Struct(">B20sH16sH16sQQ")
_KIND, _WIDE, _PAYEE_BY_PLACE = 0x07, 0x40, 0x80
_SHARE = Struct(">HQ")
_SECP256K1_BYTES, _FILL_BYTES = 64, 18


class BatchUnreadable(ChainwalletError):
    code = "CHAIN_BATCH_UNREADABLE"
    status = 422


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """The orders, quotes and shares of a batch, in its sequence, without signatures and fills."""

    batch_id: int
    orders: tuple[PaymentOrder, ...]
    quotes: tuple[MakerQuote, ...]
    shares: tuple[Share, ...] = ()


def read_settle(data: bytes) -> ReadBatch:
    """The batch in the call data of `settle`. CHAIN_BATCH_UNREADABLE for any other bytes."""
    if data[:4] != SETTLE or len(data) < 68:
        raise BatchUnreadable("This is not a call of settle.")
    size = int.from_bytes(data[36:68], "big")
    return read_batch(data[68 : 68 + size])


def read_batch(batch: bytes) -> ReadBatch:
    """The batch in its packed form. CHAIN_BATCH_UNREADABLE where it is cut short or has bytes left over."""
    try:
        return _Reader(batch).read()
    except (struct.error, IndexError) as error:
        raise BatchUnreadable(f"The batch is cut short or malformed: {error}.") from error


class _Reader:
    def __init__(self, batch: bytes) -> None:
        self._batch = batch
        self._at = 0

    def read(self) -> ReadBatch:
        batch_id, corridors, order_bytes, quote_bytes, fills = self._take(_HEADER)
        pairs = [self._take(_CORRIDOR) for _ in range(corridors)]
        end_of_orders = self._at + order_bytes
        orders, quotes = [], []
        while self._at < end_of_orders:
            orders.append(self._order(pairs))
        end_of_quotes = end_of_orders + quote_bytes
        while self._at < end_of_quotes:
            quotes.append(self._quote())
        if self._at != end_of_quotes or self._at + _FILL_BYTES * fills > len(self._batch):
            raise BatchUnreadable("The sections of the batch are not where its header says.")
        self._at += _FILL_BYTES * fills
        shares = []
        while self._at < len(self._batch):
            party, units = self._take(_SHARE)
            if not units:
                raise BatchUnreadable("A share of nothing: these bytes are no part of the batch.")
            shares.append(Share(party & ~OF_MAKER, units, bool(party & OF_MAKER)))
        return ReadBatch(batch_id, tuple(orders), tuple(quotes), tuple(shares))

    def _order(self, pairs: list[tuple[int, int]]) -> PaymentOrder:
        flags, corridor, payer = self._take(_ORDER_HEAD)
        source, target, nonce, deadline = self._take(_WIDE_NUMBERS if flags & _WIDE else _NUMBERS)
        memo = self._bytes(32)
        if flags & _PAYEE_BY_PLACE:
            place = int.from_bytes(self._bytes(3), "big")
            payee = self._batch[place : place + 20]
        else:
            payee = self._bytes(20)
        self._skip_signature(flags & _KIND)
        source_currency, target_currency = pairs[corridor]
        return PaymentOrder(
            payer=checksum_address(payer),
            payee=checksum_address(payee),
            source_currency=source_currency,
            source_units=_number(source),
            target_currency=target_currency,
            target_units=_number(target),
            nonce=nonce,
            deadline=deadline,
            memo=memo,
        )

    def _quote(self) -> MakerQuote:
        kind, maker, sell, most, buy, price, nonce, deadline = self._take(_QUOTE)
        self._skip_signature(kind & _KIND)
        return MakerQuote(checksum_address(maker), sell, _number(most), buy, _number(price), nonce, deadline)

    def _skip_signature(self, kind: int) -> None:
        self._bytes(_SECP256K1_BYTES if kind == 0 else int.from_bytes(self._bytes(2), "big"))

    def _take(self, layout: Struct) -> Any:
        found = layout.unpack_from(self._batch, self._at)
        self._at += layout.size
        return found

    def _bytes(self, size: int) -> bytes:
        found = self._batch[self._at : self._at + size]
        if len(found) != size:
            raise BatchUnreadable("The batch is cut short.")
        self._at += size
        return found


def _number(word: int | bytes) -> int:
    return word if isinstance(word, int) else int.from_bytes(word, "big")
