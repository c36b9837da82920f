#!/usr/bin/env python3
"""Prove the hub's accounting: contracts/proofs/*.sol through halmos, and one bug each that the proof has to refute.

    python scripts/prove_contracts.py                    every proof, and every bug; exit 1 if one comes out otherwise
    python scripts/prove_contracts.py --only exit        those whose name contains this
    python scripts/prove_contracts.py --json FILE        the report as JSON too

halmos runs compiled code on symbols for arguments: the proofs are about the whole hub as it is deployed, same compiler
and settings, assembly included. It lives in an environment of its own (build/halmos, `make proofs` makes it). Bugs are
put into a copy of the source; a proof that does not fall with its bug would prove nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import solcx
from rich.console import Console

from compile_contracts import CONTRACTS, LIBRARIES, ROOT, SETTINGS, compiler, read_closure

HALMOS = ROOT / "build" / "halmos" / "bin" / "halmos"
TIMEOUT_S = 900
# Bugs are compiled without via-IR, in a fifth of the time; proofs as the hub is deployed.
FAST: dict[str, Any] = {"viaIR": False, "optimizer": {"enabled": True, "runs": 1}}
_CODES = ("evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers")
_OUTPUT = {"*": {"*": ["abi", "metadata", "storageLayout", *_CODES], "": ["ast"]}}
# halmos has forge build what is built already.
_FORGE = "#!/bin/sh\nexit 0\n"


class ProverFailed(Exception):
    """halmos did not run to its end."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A function of contracts/proofs, and a bug: `before` in `file` becomes `after`."""

    contract: str
    name: str
    file: str
    before: str
    after: str

    def bug(self) -> dict[str, str]:
        """The file with the bug in it."""
        text = (CONTRACTS / self.file).read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ProverFailed(f"{self.name}: not exactly once in {self.file}: {self.before}")
        return {f"contracts/{self.file}": text.replace(self.before, self.after)}


_HUB, _FRAME, _CUSTODY = "SettlementHub.sol", "libraries/OrderFrame.sol", "hub/Custody.sol"
_IN_TIME = "revert ExitNotYet(request.availableAt, block.timestamp);\n        "
_IS_FROZEN = "if (_frozen.isMember[account]) revert AccountIsFrozen(account);"

PROOFS = (
    Proof(
        "SettleProof",
        "check_order_movesExactlyWhatWasSigned",
        _FRAME,
        "add(position, mload(TARGET_AMOUNT))",
        "add(position, mload(SOURCE_AMOUNT))",
    ),
    Proof(
        "SettleProof",
        "check_order_needsItsOwnSignature",
        _HUB,
        "if (!isSigned) revert OrderSignatureInvalid(index, OrderFrame.payer(), OrderFrame.orderHash());",
        "isSigned;",
    ),
    Proof(
        "SettleProof",
        "check_order_raisesTheNonceAndSettlesOnce",
        _FRAME,
        "gt(gt(used, shr(128, position)), lt(held, amount))",
        "gt(iszero(lt(used, shr(128, position))), lt(held, amount))",
    ),
    Proof(
        "SettleProof",
        "check_share_isTakenFromTheSurplusAlone",
        "libraries/Shares.sol",
        "mstore(add(entry, 32), sub(mload(add(entry, 32)), amount))",
        "",
    ),
    Proof("SettleProof", "check_batch_settlesOnce", _HUB, "_settledBatches.set(sections.batchId);", ""),
    Proof(
        "SettleProof",
        "check_order_settlesInTimeOnly",
        _FRAME,
        "gt(timestamp(), mload(DEADLINE))",
        "gt(timestamp(), add(mload(DEADLINE), 1))",
    ),
    Proof(
        "SettleProof",
        "check_freeze_stopsExactlyTheFrozen",
        "libraries/FrozenAccounts.sol",
        "if (--set.members[_lastByte(account)] == 0) set.filter",
        "set.filter",
    ),
    Proof(
        "SettleProof",
        "check_order_createsNoOtherCurrency",
        _HUB,
        "if (delta < 0) revert CurrencyNotConserved(currency, uint256(-delta));",
        "if (delta < 0) continue;",
    ),
    Proof(
        "FillProof",
        "check_fill_paysTheMakerItsPrice",
        _HUB,
        "Math.ceilDiv(uint256(fill.sold) * quote.buyAmount, quote.sellAmountMax)",
        "uint256(fill.sold) * quote.buyAmount / quote.sellAmountMax",
    ),
    Proof(
        "FillProof",
        "check_fill_staysWithinTheQuote",
        _HUB,
        "_quoteSold[quoteHash] = sold + given;",
        "_quoteSold[quoteHash] = given;",
    ),
    Proof(
        "FillProof",
        "check_fill_needsTheMakersSignature",
        _HUB,
        "if (!isSigned) revert QuoteSignatureInvalid(i, quote.maker, quoteHash);",
        "",
    ),
    Proof(
        "CustodyProof",
        "check_deposit_isBackedToTheUnit",
        _CUSTODY,
        "_totals[currency] = total;",
        "_totals[currency] = sum;",
    ),
    Proof(
        "CustodyProof",
        "check_request_setsAsideWhatIsThere",
        _CUSTODY,
        "if (position.balanceOf() < amount) {",
        "if (position.balanceOf() < amount - 1) {",
    ),
    Proof(
        "CustodyProof",
        "check_request_oneAtATime",
        _CUSTODY,
        "if (request.amount != 0) revert ExitAlreadyRequested(account, currency);",
        "",
    ),
    Proof(
        "CustodyProof",
        "check_exit_paysWhatIsPendingOnceAndInTime",
        _CUSTODY,
        "delete _exits[positionKey(account, currency)];",
        "",
    ),
    Proof(
        "CustodyProof",
        "check_cancel_putsEverythingBack",
        _CUSTODY,
        "_credit(msg.sender, currency, request.amount);",
        "",
    ),
    Proof(
        "CustodyProof", "check_exit_isStoppedByItsOwnFreezeOnly", _CUSTODY, _IN_TIME + _IS_FROZEN, _IN_TIME.rstrip(" ")
    ),
    Proof(
        "CustodyProof",
        "check_cancelOrders_onlyRaisesTheNonce",
        "hub/Positions.sol",
        "if (nonce <= position.nonceOf())",
        "if (nonce < position.nonceOf())",
    ),
)


def compile_proofs(contract: str, changed: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """solc's output for a contract of contracts/proofs, with the texts of `changed` in the place of the files'."""
    closure = read_closure([f"contracts/proofs/{contract}.sol"])
    sources = {unit: {"content": changed.get(unit, text)} for unit, text in closure.items()}
    request = {"language": "Solidity", "sources": sources, "settings": dict(settings) | {"outputSelection": _OUTPUT}}
    output: dict[str, Any] = solcx.compile_standard(request, solc_binary=compiler(), base_path=LIBRARIES)
    return output


def prove(contract: str, output: Mapping[str, Any], functions: Sequence[str]) -> dict[str, tuple[bool, float]]:
    """Whether each function's assertions hold, and the seconds that took. Errors: ProverFailed."""
    with tempfile.TemporaryDirectory(prefix="proofs-") as name:
        folder = Path(name)
        _write_build(folder, output)
        told = folder / "told.json"
        pattern = "|".join(f"{function}(?=[(])" for function in functions)
        command = [str(HALMOS), "--root", name, "--contract", contract, "--match-test", f"^({pattern})"]
        command += ["--solver-timeout-assertion", "0", "--json-output", str(told)]
        paths = os.pathsep.join([str(folder / "bin"), str(HALMOS.parent), os.environ.get("PATH", "")])
        ran = subprocess.run(
            command,
            env=os.environ | {"PATH": paths},
            cwd=name,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if not told.is_file():
            raise ProverFailed((ran.stdout + ran.stderr)[-2_000:])
        results = [found for group in json.loads(told.read_text())["test_results"].values() for found in group]
    answers = {found["name"].split("(")[0]: _answer(found) for found in results}
    if missing := set(functions) - set(answers):
        raise ProverFailed(f"{sorted(missing)} were not run: {ran.stdout[-1_000:]}")
    return answers


def _answer(found: Mapping[str, Any]) -> tuple[bool, float]:
    """Proven or refuted; a proof that was cut short is neither."""
    if found["exitcode"] not in (0, 1) or found.get("num_bounded_loops"):
        raise ProverFailed(f"{found['name']} is undecided: {found}")
    return found["exitcode"] == 0, round((found["time"] or [0.0])[0], 2)


def _write_build(folder: Path, output: Mapping[str, Any]) -> None:
    """What forge would have built, where halmos looks for it."""
    for unit, contracts in output["contracts"].items():
        for name, found in contracts.items():
            evm, path = found["evm"], folder / "out" / Path(unit).name / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            kinds = ("bytecode", "deployedBytecode")
            codes = {kind: {"object": "0x" + evm[kind]["object"], "linkReferences": {}} for kind in kinds}
            rest = {"metadata": json.loads(found["metadata"] or '{"compiler": {"version": "-"}}')}
            rest |= {"abi": found["abi"], "storageLayout": found["storageLayout"], "id": 0}
            rest |= {"methodIdentifiers": evm["methodIdentifiers"], "ast": output["sources"][unit]["ast"]}
            path.write_text(json.dumps(codes | rest), encoding="utf-8")
    forge = folder / "bin" / "forge"
    forge.parent.mkdir()
    forge.write_text(_FORGE)
    forge.chmod(0o755)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out for a proof and for its bug."""

    contract: str
    name: str
    is_proven: bool
    is_bug_refuted: bool
    seconds: float
    bug_seconds: float


def verdicts(proofs: Sequence[Proof], console: Console) -> list[Verdict]:
    """Each proof, and each bug, in turn. Errors: ProverFailed."""
    found = []
    for contract in dict.fromkeys(proof.contract for proof in proofs):
        ours = [proof for proof in proofs if proof.contract == contract]
        with console.status(f"proving {contract}"):
            proven = prove(contract, compile_proofs(contract, {}, SETTINGS), [proof.name for proof in ours])
        for proof in ours:
            begun = time.monotonic()
            with console.status(f"refuting a bug with {proof.name}"):
                buggy = prove(contract, compile_proofs(contract, proof.bug(), SETTINGS | FAST), [proof.name])
            is_proven, seconds = proven[proof.name]
            took = round(time.monotonic() - begun, 2)
            found.append(Verdict(contract, proof.name, is_proven, not buggy[proof.name][0], seconds, took))
            said = ("proven" if is_proven else "REFUTED", "refuted" if found[-1].is_bug_refuted else "NOT NOTICED")
            console.print(f"{proof.name}: {said[0]} in {seconds} s; the bug: {said[1]} in {took} s", markup=False)
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Prove the hub's accounting.")
    parser.add_argument("--only", default="", help="only proofs whose name contains this")
    parser.add_argument("--json", type=Path, help="write the report here")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        found = verdicts([proof for proof in PROOFS if options.only in proof.name], console)
    except ProverFailed as error:
        console.print(str(error), style="red", markup=False)
        return 2
    if options.json:
        options.json.write_text(json.dumps([asdict(verdict) for verdict in found], indent=1) + "\n", encoding="utf-8")
    good = [verdict for verdict in found if verdict.is_proven and verdict.is_bug_refuted]
    console.print(f"{len(good)} of {len(found)} hold, and fall with their bug", markup=False)
    return 0 if len(good) == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
