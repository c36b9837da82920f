#!/usr/bin/env python3
"""Compile the contracts and write the artifacts that the package ships: src/chainwallet/chain/abi/<Contract>.json.

    python scripts/compile_contracts.py            write what changed
    python scripts/compile_contracts.py --check    compile afresh and compare; exit 1 when an artifact is stale

The compiler is npm's solc behind scripts/solc.cjs; CHAINWALLET_SOLC names a native one of the same version instead.
Output is cached under build/solc/ by everything that determines it: sources, imports, settings, compiler version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import posixpath
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import solcx
from rich.console import Console
from solcx.exceptions import SolcError
from solcx.wrapper import get_version_str_from_solc_binary

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
LIBRARIES = ROOT / "node_modules"
CACHE = ROOT / "build" / "solc"
ARTIFACTS = ROOT / "src" / "chainwallet" / "chain" / "abi"

SHIPPED = {
    "AccessManager": "@openzeppelin/contracts/access/manager/AccessManager.sol",
    "AuditAnchor": "contracts/AuditAnchor.sol",
    "CurrencyToken": "contracts/CurrencyToken.sol",
    "SettlementHub": "contracts/SettlementHub.sol",
}
SETTINGS: dict[str, Any] = {
    "evmVersion": "prague",  # what eth-tester and anvil both run; solc's own default is newer
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "viaIR": True,
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},  # bytecode depends on code alone, not on comments
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
}
IGNORED_WARNINGS = {"2394"}  # transient storage at large; the reentrancy guard's use of it is the one it calls safe
IMPORT = re.compile(r'^import\s+(?:[^"\';]*?from\s+)?["\']([^"\']+)["\']\s*;', re.MULTILINE)


class ContractsStale(Exception):
    """The committed artifacts are not what the sources compile to."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One contract as compiled; bytecode as 0x-prefixed hex."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    deployed_bytecode: str


def compiler() -> Path:
    """The executable that speaks solc's command line: CHAINWALLET_SOLC, or npm's solc behind scripts/solc.cjs."""
    return Path(os.environ.get("CHAINWALLET_SOLC") or ROOT / "scripts" / "solc.cjs")


@cache
def compiler_version() -> str:
    """The version without the platform, so that a native compiler and npm's give the same artifacts."""
    return get_version_str_from_solc_binary(compiler())


def read_closure(units: list[str]) -> dict[str, str]:
    """The text of the source units and of everything they import, by source unit name."""
    texts: dict[str, str] = {}
    pending = list(units)
    while pending:
        unit = pending.pop()
        if unit in texts:
            continue
        path = ROOT / unit if unit.startswith("contracts/") else LIBRARIES / unit
        texts[unit] = path.read_text(encoding="utf-8")
        for target in IMPORT.findall(texts[unit]):
            is_relative = target.startswith(".")
            pending.append(
                posixpath.normpath(posixpath.join(posixpath.dirname(unit), target)) if is_relative else target
            )
    return dict(sorted(texts.items()))


def source_hash(units: list[str], version: str) -> str:
    """SHA-256 over everything that determines the output: texts of the closure, settings, compiler version."""
    content = json.dumps([read_closure(units), SETTINGS, version], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def compile_units(units: list[str], *, is_cached: bool = True) -> dict[str, Compiled]:
    """Every contract that the source units define, by name.

    A unit is named "contracts/..." or "@openzeppelin/...". Errors: solcx.exceptions.SolcError with solc's messages.
    """
    version = compiler_version()
    cached = CACHE / f"{source_hash(units, version)}.json"
    if is_cached and cached.exists():
        output = json.loads(cached.read_text(encoding="utf-8"))
    else:
        output = _run_compiler(units)
        cached.parent.mkdir(parents=True, exist_ok=True)
        scratch = cached.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(output), encoding="utf-8")
        scratch.replace(cached)
    return {name: Compiled(**contract) for name, contract in output.items()}


def _run_compiler(units: list[str]) -> dict[str, dict[str, Any]]:
    sources = {unit: {"content": text} for unit, text in read_closure(units).items()}
    request = {"language": "Solidity", "sources": sources, "settings": SETTINGS}
    output = solcx.compile_standard(request, solc_binary=compiler(), base_path=LIBRARIES)
    for message in output.get("errors", []):
        if message["errorCode"] not in IGNORED_WARNINGS:
            Console(stderr=True).print(message["formattedMessage"], markup=False)
    return {name: _contract(name, found) for unit in units for name, found in output["contracts"][unit].items()}


def _contract(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "abi": found["abi"],
        "bytecode": "0x" + found["evm"]["bytecode"]["object"],
        "deployed_bytecode": "0x" + found["evm"]["deployedBytecode"]["object"],
    }


def artifacts(*, is_cached: bool = True) -> dict[Path, str]:
    """The text of each artifact by its path: sorted keys, no path or date of the machine in it."""
    version = compiler_version()
    compiled = compile_units(list(SHIPPED.values()), is_cached=is_cached)
    return {ARTIFACTS / f"{name}.json": _artifact(compiled[name], version) for name in SHIPPED}


def _artifact(contract: Compiled, version: str) -> str:
    content = {
        "contractName": contract.name,
        "abi": contract.abi,
        "bytecode": contract.bytecode,
        "deployedBytecode": contract.deployed_bytecode,
        "sourceHash": source_hash([SHIPPED[contract.name]], version),
        "compiler": {"version": version, "settings": {k: v for k, v in SETTINGS.items() if k != "outputSelection"}},
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def check() -> None:
    """Compile without the cache and compare with the committed artifacts. Errors: ContractsStale names them."""
    stale = [path.name for path, text in artifacts(is_cached=False).items() if not _holds(path, text)]
    if stale:
        raise ContractsStale(f"{', '.join(stale)}: run scripts/compile_contracts.py and commit the result")


def write() -> list[Path]:
    """Compile and write the artifacts that differ; returns their paths."""
    changed = [(path, text) for path, text in artifacts().items() if not _holds(path, text)]
    for path, text in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compile the contracts into the artifacts that the package ships.")
    parser.add_argument("--check", action="store_true", help="compile afresh, compare, write nothing")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    with console.status(f"compiling {', '.join(SHIPPED)} with solc {compiler_version()}"):
        try:
            outcome = _check_outcome() if options.check else _write_outcome()
        except (ContractsStale, SolcError) as error:
            console.print(getattr(error, "message", str(error)), style="red", markup=False)
            return 1
    console.print(outcome, style="green", markup=False)
    return 0


def _check_outcome() -> str:
    check()
    return "artifacts match the sources"


def _write_outcome() -> str:
    written = write()
    return f"wrote {', '.join(path.name for path in written)}" if written else "artifacts were up to date"


if __name__ == "__main__":
    sys.exit(main())
