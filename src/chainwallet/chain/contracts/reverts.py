"""Revert data as the custom error it encodes: a name and arguments by name."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from chainwallet.chain.contracts.artifacts import error_types
from chainwallet.chain.errors import CallReverted
from chainwallet.keys.addresses import parse_address


def reverted(data: bytes) -> CallReverted:
    """The error to raise for this revert data; unknown or malformed data keeps its selector as the name."""
    known = error_types().get(data[:4])
    if known is not None:
        try:
            values = decode(known.argument_types, data[4:])
        except (DecodingError, OverflowError, UnicodeDecodeError):
            pass
        else:
            named = zip(known.argument_names, known.argument_types, values, strict=True)
            return CallReverted(
                data=data, name=known.name, args_by_name={name: _readable(kind, value) for name, kind, value in named}
            )
    return CallReverted(data=data, name=f"0x{data[:4].hex()}" if data else "without a reason", args_by_name={})


def _readable(kind: str, value: Any) -> Any:
    if kind == "address":
        return parse_address(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value
