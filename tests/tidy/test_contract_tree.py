"""The hub's branching tree names a test per leaf, and leaves no test and no function out."""

from __future__ import annotations

import json
import os
import re
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "contracts" / "SettlementHub"
TREE = TESTS / "TREE.md"
OPENING = """# The hub, branch by branch

Each function, what is given, what follows, and the test that says so. A leaf whose test is gone and a test that no
leaf names fail `tests/tidy/test_contract_tree.py`; CHAINWALLET_UPDATE_SNAPSHOTS=1 draws the tree anew from the tests.
"""
FUNCTIONS = {
    "settle": "settle",
    "deposit": "deposit",
    "listCurrency": "list currency",
    "requestExit": "request exit",
    "requestExitFor": "request exit for",
    "cancelExit": "cancel exit",
    "exit": "exit",
    "cancelOrders": "cancel orders",
    "freeze": "freeze",
    "unfreeze": "freeze",
    "pause": "pause",
    "unpause": "pause",
    "setAuthority": "set authority",
    "hashOrder": "hashes",
    "hashQuote": "hashes",
    "hashExitOrder": "request exit for",
    "positionOf": "storage",
    "positionsOf": "positions of",
    "DOMAIN_SEPARATOR": "domain separator",
}


def _leaves() -> list[tuple[str, str, str, str]]:
    """(function, given, it should, test) of every test, by their names: test_<function>__<given>__<should>."""
    found = []
    for path in sorted(TESTS.glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = [part.replace("_", " ") for part in name.removeprefix("test_").split("__")]
            function, given, should = (parts[0], parts[1], parts[-1]) if len(parts) > 2 else (parts[0], "", parts[-1])
            found.append((function, given, should, f"{path.name}::{name}"))
    return sorted(found)


def _drawn() -> str:
    lines = [OPENING]
    for function, branches in groupby(_leaves(), key=lambda leaf: leaf[0]):
        lines.append(f"## {function}\n")
        for given, leaves in groupby(branches, key=lambda leaf: leaf[1]):
            lines.append(f"- given {given}" if given else "- in any state")
            lines += [f"  - then {should} (`{test}`)" for _, _, should, test in leaves]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def test_tree__drawn_from_the_tests__is_the_one_that_is_kept() -> None:
    drawn = _drawn()
    if os.environ.get("CHAINWALLET_UPDATE_SNAPSHOTS"):
        TREE.write_text(drawn, encoding="utf-8")
    assert TREE.read_text(encoding="utf-8") == drawn


def test_tree__every_function_that_changes_state_or_hashes__has_branches() -> None:
    abi = json.loads((ROOT / "src" / "chainwallet" / "chain" / "abi" / "SettlementHub.json").read_text())["abi"]
    external = {entry["name"] for entry in abi if entry["type"] == "function"}
    changing = {
        entry["name"]
        for entry in abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    branches = {function for function, _, _, _ in _leaves()}
    assert changing <= set(FUNCTIONS), "a function without a place in the tree"
    assert set(FUNCTIONS) <= external
    assert {FUNCTIONS[name] for name in FUNCTIONS} <= branches
