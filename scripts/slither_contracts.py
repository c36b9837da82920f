#!/usr/bin/env python3
"""Look the contracts over with slither: nothing of high or medium impact that contracts/slither-ignored.toml leaves.

    python scripts/slither_contracts.py     every finding; exit 1 for one that counts, or an excuse that no longer does

slither lives in an environment of its own (build/slither, `make slither` makes it): it wants an older web3 than the
service. It gets the sources and settings that the artifacts are compiled from, through the same compiler.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from compile_contracts import ROOT, SETTINGS, SHIPPED, compiler, read_closure

SLITHER = ROOT / "build" / "slither" / "bin" / "slither"
IGNORED = ROOT / "contracts" / "slither-ignored.toml"
COUNTING = ("High", "Medium")
TIMEOUT_S = 600


class SlitherFailed(Exception):
    """slither did not run to its end, or could not read a function of ours."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector says: `where` is Contract.function or Contract.variable of its first element."""

    check: str
    impact: str
    where: str
    text: str


def analyse(sources: Mapping[str, str]) -> list[Finding]:
    """Every finding about these source units, those below node_modules left out. SlitherFailed if it does not run."""
    with tempfile.TemporaryDirectory(prefix="slither-") as name:
        folder = Path(name)
        for unit, text in sources.items():  # slither wants to find every unit as a file
            path = folder / unit
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        request = {
            "language": "Solidity",
            "sources": {unit: {"content": text} for unit, text in sources.items()},
            "settings": SETTINGS | {"outputSelection": _OUTPUT},
        }
        (folder / "in.json").write_text(json.dumps(request), encoding="utf-8")
        command = [str(SLITHER), "in.json", "--compile-force-framework", "Solc-json", "--solc", str(compiler())]
        command += ["--json", "out.json", "--filter-paths", "@openzeppelin", "--exclude-informational"]
        done = subprocess.run(
            [*command, "--exclude-optimization"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return _findings(folder / "out.json", done.stdout + done.stderr)


_OUTPUT = {"*": {"*": ["abi", "devdoc", "userdoc", "evm.bytecode", "evm.deployedBytecode"], "": ["ast"]}}


def _findings(path: Path, said: str) -> list[Finding]:
    document: Any = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"success": False, "error": said}
    if not document["success"]:
        raise SlitherFailed(str(document["error"])[-2_000:])
    unread = [
        line for line in said.splitlines() if "Impossible to generate IR" in line and "(@openzeppelin" not in line
    ]
    if unread:
        raise SlitherFailed("\n".join(unread))
    found = document["results"].get("detectors", [])
    return [Finding(one["check"], one["impact"], _where(one["elements"]), one["description"]) for one in found]


def _where(elements: Sequence[Mapping[str, Any]]) -> str:
    """The innermost function or variable of the first element, with its contract."""
    names: list[str] = []
    element: Any = elements[0] if elements else None
    while element and element["type"] != "file":
        if element["type"] in ("function", "variable", "contract", "event", "struct"):
            names.append(element["name"])
        element = element.get("type_specific_fields", {}).get("parent")
    return ".".join(reversed(names))


def judge(findings: Sequence[Finding], ignored: Sequence[Mapping[str, str]]) -> tuple[list[Finding], list[str]]:
    """(the findings that count and are not ignored, the entries that ignore nothing)."""
    counting = [finding for finding in findings if finding.impact in COUNTING]
    excused = {(entry["check"], entry["where"]) for entry in ignored}
    left = [finding for finding in counting if (finding.check, finding.where) not in excused]
    idle = excused - {(finding.check, finding.where) for finding in counting}
    return left, sorted(f"{check} in {where}" for check, where in idle)


def read_ignored() -> list[dict[str, str]]:
    """The entries of contracts/slither-ignored.toml: check, where, why."""
    entries: list[dict[str, str]] = tomllib.loads(IGNORED.read_text(encoding="utf-8"))["ignored"]
    return entries


def main() -> int:
    """The command line; returns the exit code."""
    console = Console(width=140 if not sys.stdout.isatty() else None)
    ours = [unit for unit in SHIPPED.values() if unit.startswith("contracts/")]
    findings = analyse(read_closure(ours))
    left, idle = judge(findings, read_ignored())
    table = Table("impact", "check", "where", "")
    for finding in findings:
        state = "counts" if finding in left else "ignored, with a reason" if finding.impact in COUNTING else ""
        table.add_row(finding.impact, finding.check, finding.where, state)
    console.print(table)
    for finding in left:
        console.print(finding.text, markup=False, highlight=False)
    for entry in idle:
        console.print(f"{IGNORED.name} ignores {entry}, which is not found any more: take it out.", markup=False)
    console.print(f"{len(findings)} findings, {len(left)} of high or medium impact left.")
    return 1 if left or idle else 0


if __name__ == "__main__":
    sys.exit(main())
