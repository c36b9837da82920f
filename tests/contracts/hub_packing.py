"""The packed form of a batch, written a second time from its byte table, plainly: one field after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from eth_utils import keccak

SECP256K1, CONTRACT_ACCOUNT, PASSKEY = 0, 1, 2
WIDE, PAYEE_BY_PLACE = 0x40, 0x80
OF_MAKER = 0x8000
PASSKEY_MARK = keccak(text="chainwallet passkey signature")


class Packed(NamedTuple):
    """A batch in its parts, so that a test can spoil one; `join` makes the bytes that `settle` takes."""

    batch_id: int
    corridors: list[tuple[int, int]]
    orders: bytes
    quotes: bytes
    fills: list[bytes]
    shares: bytes = b""

    def join(self) -> bytes:
        header = number(self.batch_id, 8) + number(len(self.corridors), 2)
        header += number(len(self.orders), 4) + number(len(self.quotes), 4) + number(len(self.fills), 2)
        pairs = b"".join(number(source, 2) + number(target, 2) for source, target in self.corridors)
        return header + pairs + self.orders + self.quotes + b"".join(self.fills) + self.shares


def number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "big")


def address(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def sized(content: bytes) -> bytes:
    return number(len(content), 2) + content


def pack_signature(signature: bytes) -> tuple[int, bytes]:
    """A secp256k1 signature of 65 or 64 bytes as 64; anything else for the account's contract."""
    if len(signature) == 65 and signature[64] in (27, 28) and signature[32] < 128:
        parity = signature[64] - 27
        s = int.from_bytes(signature[32:64], "big") | parity << 255
        return SECP256K1, signature[:32] + number(s, 32)
    if len(signature) == 64:
        return SECP256K1, signature
    if signature[-32:] == PASSKEY_MARK:
        return PASSKEY, sized(signature[:-32])
    return CONTRACT_ACCOUNT, sized(signature)


def is_wide(order: Any) -> bool:
    amounts, times = (order.source_units, order.target_units), (order.nonce, order.deadline)
    return any(amount >= 2**64 for amount in amounts) or any(time >= 2**32 for time in times)


def pack_order(
    order: Any, signature: bytes, corridor: int, *, place: int | None = None, wide: bool | None = None
) -> bytes:
    """An order, its payee inline or, with `place`, where it stands in the batch already."""
    kind, signed = pack_signature(signature)
    wide = is_wide(order) if wide is None else wide
    amount, time = (16, 8) if wide else (8, 4)
    flags = kind | (WIDE if wide else 0) | (PAYEE_BY_PLACE if place is not None else 0)
    return b"".join(
        (
            number(flags, 1),
            number(corridor, 2),
            address(order.payer),
            number(order.source_units, amount),
            number(order.target_units, amount),
            number(order.nonce, time),
            number(order.deadline, time),
            order.memo,
            address(order.payee) if place is None else number(place, 3),
            signed,
        )
    )


def pack_quote(quote: Any, signature: bytes) -> bytes:
    kind, signed = pack_signature(signature)
    fields = number(kind, 1) + address(quote.maker) + number(quote.sell_currency, 2)
    fields += number(quote.sell_units_max, 16) + number(quote.buy_currency, 2) + number(quote.buy_units, 16)
    return fields + number(quote.nonce, 8) + number(quote.deadline, 8) + signed


def pack_batch(
    batch_id: int,
    orders: Sequence[tuple[Any, bytes]],
    quotes: Sequence[tuple[Any, bytes]],
    fills: Sequence[tuple[int, int]],
    shares: Sequence[tuple[int, int]] = (),
) -> Packed:
    """A batch in which a payee is written out where it stands first, and named by its place afterwards."""
    corridors: list[tuple[int, int]] = []
    for order, _ in orders:
        pair = (order.source_currency, order.target_currency)
        if pair not in corridors:
            corridors.append(pair)
    packed, seen = b"", {}
    for order, signature in orders:
        corridor = corridors.index((order.source_currency, order.target_currency))
        start = 20 + 4 * len(corridors) + len(packed)
        place = seen.get(order.payee)
        if place is None:
            seen[order.payee] = start + 3 + 20 + (48 if is_wide(order) else 24) + 32
        packed += pack_order(order, signature, corridor, place=place)
    offers = b"".join(pack_quote(quote, signature) for quote, signature in quotes)
    taken = [number(index, 2) + number(sold, 16) for index, sold in fills]
    given = b"".join(number(party, 2) + number(units, 8) for party, units in shares)
    return Packed(batch_id, corridors, packed, offers, taken, given)
