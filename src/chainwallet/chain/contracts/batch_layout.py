"""The packed form of a batch, byte for byte as contracts/libraries/BatchLayout.sol has it.

A batch of 500 packs in about a millisecond. Numbers are big-endian and as wide as the types that are signed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct

from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.intents import MakerQuote, PaymentOrder
from chainwallet.keys.passkeys import passkey_assertion
from chainwallet.keys.signatures import compact_signature

_HEADER = Struct(">QHIIH")  # batch id, corridors, bytes of orders, bytes of quotes, fills
_CORRIDOR = Struct(">HH")  # source currency, target currency
_ORDER_HEAD = Struct(">BH20s")  # flags, corridor, payer
_NUMBERS = Struct(">QQII")  # source amount, target amount, nonce, deadline
_WIDE_NUMBERS = Struct(">16s16sQQ")
_QUOTE = Struct(">B20sH16sH16sQQ")  # kind, maker, sell currency, most sold, buy currency, its price, nonce, deadline
_FILL = Struct(">H16s")  # quote, amount sold
_SHARE = Struct(">HQ")  # whose, amount

_SECP256K1, _CONTRACT_ACCOUNT, _PASSKEY = 0, 1, 2
_WIDE, _PAYEE_BY_PLACE = 0x40, 0x80
OF_MAKER = 0x8000
SHARE_UNITS_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Fill:
    """Takes `sold_units` from the quote at index `quote` of the batch."""

    quote: int
    sold_units: int


@dataclass(frozen=True, slots=True)
class Share:
    """Gives `units` of what the batch leaves over to the payer of the order at an index, in its source currency.

    Or to the maker of the quote at `index`, in the currency that it buys. Orders' shares stand in the orders' sequence,
    one at most for each.
    """

    index: int
    units: int
    is_makers: bool = False

    @property
    def party(self) -> int:
        """The index as the layout has it."""
        return self.index | OF_MAKER if self.is_makers else self.index


def pack_batch(
    batch_id: int,
    orders: Sequence[tuple[PaymentOrder, bytes]],
    quotes: Sequence[tuple[MakerQuote, bytes]],
    fills: Sequence[Fill],
    shares: Sequence[Share] = (),
) -> bytes:
    """The bytes that `settle` takes; ValueError if a list is longer than the layout can count.

    A payee that stood earlier in the batch is given by its place, 3 bytes instead of 20.
    """
    corridors: dict[tuple[int, int], int] = {}
    for order, _ in orders:
        corridors.setdefault((order.source_currency, order.target_currency), len(corridors))
    start = _HEADER.size + _CORRIDOR.size * len(corridors)
    order_bytes = _pack_orders(orders, corridors, start)
    quote_bytes = b"".join(_pack_quote(quote, signature) for quote, signature in quotes)
    try:
        header = _HEADER.pack(batch_id, len(corridors), len(order_bytes), len(quote_bytes), len(fills))
        pairs = [_CORRIDOR.pack(*pair) for pair in corridors]
        taken = [_FILL.pack(fill.quote, _u128(fill.sold_units)) for fill in fills]
        given = [_SHARE.pack(share.party, share.units) for share in shares]
    except struct.error as failed:
        raise ValueError(f"This batch is larger than its layout can say: {failed}.") from failed
    return b"".join((header, *pairs, order_bytes, quote_bytes, *taken, *given))


def pack_signature(signature: bytes) -> tuple[int, bytes]:
    """The kind of a signature, and its bytes as they stand in a batch.

    65 bytes r, s, v become 64; anything that is no secp256k1 signature goes to the account's contract as it is, and
    where the account has none, the hub refuses it by name.
    """
    compact = compact_signature(signature)
    if compact is not None:
        return _SECP256K1, compact
    assertion = passkey_assertion(signature)
    if assertion is not None:
        return _PASSKEY, _sized(assertion)
    return _CONTRACT_ACCOUNT, _sized(signature)


def _pack_orders(
    orders: Iterable[tuple[PaymentOrder, bytes]], corridors: dict[tuple[int, int], int], start: int
) -> bytes:
    places: dict[bytes, bytes] = {}
    packed = bytearray()
    for order, signature in orders:
        kind, signed = pack_signature(signature)
        wide, numbers = _pack_numbers(order)
        payee = address_bytes(order.payee)
        place = places.get(payee)
        if place is None:
            places[payee] = (start + len(packed) + _ORDER_HEAD.size + len(numbers) + 32).to_bytes(3, "big")
        else:
            kind, payee = kind | _PAYEE_BY_PLACE, place
        corridor = corridors[order.source_currency, order.target_currency]
        packed += _ORDER_HEAD.pack(kind | wide, corridor, address_bytes(order.payer))
        packed += numbers + order.memo + payee + signed
    return bytes(packed)


def _pack_numbers(order: PaymentOrder) -> tuple[int, bytes]:
    """Narrow where they fit: below 18 trillion currency units, 2**32 orders and the year 2106."""
    if (order.source_units | order.target_units) >> 64 or (order.nonce | order.deadline) >> 32:
        wide = _WIDE_NUMBERS.pack(_u128(order.source_units), _u128(order.target_units), order.nonce, order.deadline)
        return _WIDE, wide
    return 0, _NUMBERS.pack(order.source_units, order.target_units, order.nonce, order.deadline)


def _pack_quote(quote: MakerQuote, signature: bytes) -> bytes:
    kind, signed = pack_signature(signature)
    head = _QUOTE.pack(
        kind,
        address_bytes(quote.maker),
        quote.sell_currency,
        _u128(quote.sell_units_max),
        quote.buy_currency,
        _u128(quote.buy_units),
        quote.nonce,
        quote.deadline,
    )
    return head + signed


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def _u128(number: int) -> bytes:
    return number.to_bytes(16, "big")
