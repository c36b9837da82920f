"""The contracts' tests notice small wrong changes of the contracts.

given a piece of Solidity                      each kind of change should be made, in code and nowhere else
given the excuses                              each should be a mutant, and say why it is the same
given a sample of the contracts' mutants       nine of ten should be killed
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from tests.running_scripts import load_script

MUTANTS = int(os.environ.get("CHAINWALLET_MUTANTS", "120"))
SOLIDITY = """// a < b
contract Example {
    uint256 constant LIMIT = 30;
    error TooMuch(uint256 given, uint256 limit);

    function add(uint256 given, uint256 other) external restricted returns (uint256 sum) {
        if (given > LIMIT) revert TooMuch(given, LIMIT);
        total += given; // total -= given
        emit Added("a + b", given);
        assembly {
            sum := add(given, 0x20)
        }
    }
}
"""
CHANGES = {
    "30 -> 31",
    "30 -> 29",
    "> -> >=",
    "> -> <=",
    "if (given > LIMIT) revert TooMuch(given, LIMIT); ->",
    "given, LIMIT -> LIMIT, given",
    "+= -> -=",
    "+= -> =",
    "total += given; ->",
    'emit Added("a + b", given); ->',
    "sum := add(given, 0x20) ->",
    "add( -> sub(",
    "add( -> or(",
    "0x20 -> 0x21",
    "0x20 -> 0x1f",
    "restricted ->",
}


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    return load_script("mutations")


@pytest.fixture(scope="module")
def script(mutations: ModuleType) -> ModuleType:
    return load_script("mutate_contracts")


def test_mutations__each_kind__is_made_in_code_alone(mutations: ModuleType, script: ModuleType) -> None:
    found = mutations.mutations("Example.sol", SOLIDITY)
    assert {script.change_of(mutation) for mutation in found} == CHANGES
    assert len({mutation.apply(SOLIDITY) for mutation in found}) == len(CHANGES), "no two make the same text"


def test_sample__same_seed__is_the_same(script: ModuleType) -> None:
    every = script.all_mutations()
    assert script.sample_of(every, 20, 7) == script.sample_of(every, 20, 7)
    assert script.sample_of(every, 0, 7) == every


def test_equivalents__each__is_a_mutant_with_a_reason(script: ModuleType) -> None:
    entries = tomllib.loads(script.EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    assert all(len(entry["why"].strip()) > 20 for entry in entries)
    assert len(script.equivalents(script.all_mutations())) >= len(entries)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_mutants__a_sample__nine_of_ten_are_killed(script: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "mutants.json"
    options = ["--sample", str(MUTANTS), "--seed", "2", "--workers", "1", "--json", str(report)]
    assert script.main(options) == 0, report.read_text()[:300]
    assert json.loads(report.read_text())["judged"] > MUTANTS * 0.7
