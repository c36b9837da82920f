"""The compiled contracts that the package ships: ABI and bytecode, read once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from chainwallet.keys.keccak import keccak

CONTRACTS = ("AccessManager", "AuditAnchor", "CurrencyToken", "SettlementHub")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract as compiled. `bytecode` is what creates it, constructor arguments not included."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    source_hash: str


@dataclass(frozen=True, slots=True)
class ErrorType:
    """A custom error: its name and its arguments' names and ABI types."""

    name: str
    argument_names: tuple[str, ...]
    argument_types: tuple[str, ...]


@cache
def artifact(name: str) -> Artifact:
    """The artifact of one of CONTRACTS."""
    document = json.loads(files("chainwallet.chain").joinpath("abi", f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=document["contractName"],
        abi=tuple(document["abi"]),
        bytecode=bytes.fromhex(document["bytecode"].removeprefix("0x")),
        source_hash=document["sourceHash"],
    )


def selector(signature: str) -> bytes:
    """The 4 bytes that a call or an error starts with, such as of "mint(address,uint256)"."""
    return keccak(signature.encode())[:4]


def topic(signature: str) -> bytes:
    """The 32 bytes that an event's first topic is, such as of "Transfer(address,address,uint256)"."""
    return keccak(signature.encode())


@cache
def error_types() -> dict[bytes, ErrorType]:
    """Every custom error of our contracts, and Solidity's own two, by selector."""
    found = {
        selector("Error(string)"): ErrorType("Error", ("message",), ("string",)),
        selector("Panic(uint256)"): ErrorType("Panic", ("code",), ("uint256",)),
    }
    for entry in _entries("error"):
        types = tuple(argument["type"] for argument in entry["inputs"])
        names = tuple(argument["name"] or f"argument{i}" for i, argument in enumerate(entry["inputs"]))
        found[selector(f"{entry['name']}({','.join(types)})")] = ErrorType(entry["name"], names, types)
    return found


def _entries(kind: str) -> Iterator[dict[str, Any]]:
    for name in CONTRACTS:
        yield from (entry for entry in artifact(name).abi if entry["type"] == kind)
