"""A block's bloom filter: most blocks of a busy chain need no look at their receipts."""

from __future__ import annotations

from functools import lru_cache

from chainwallet.chain.blocks import to_bytes
from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.keccak import keccak

_BITS = 2048


def may_have_logs_of(logs_bloom: str, address: str) -> bool:
    """False only if no log of the block is the contract's (Yellow Paper, 4.3.1: three 11-bit numbers of the hash)."""
    wanted = _bits_of(address)
    return int.from_bytes(to_bytes(logs_bloom), "big") & wanted == wanted


@lru_cache(maxsize=64)
def _bits_of(address: str) -> int:
    digest, bits = keccak(address_bytes(address)), 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") % _BITS)
    return bits
