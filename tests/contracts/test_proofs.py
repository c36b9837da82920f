"""Every proof about the hub holds, and falls with a bug that it ought to find.

given the proofs of contracts/proofs           each should have a bug, in a line that exists once
given the hub as it is                         halmos should prove each
given the hub with its bug                     halmos should refute each
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from hub_world import ROOT
from tests.running_scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("prove_contracts")


def test_proofs__every_one__has_a_bug_to_refute(script: ModuleType) -> None:
    written = {
        (path.stem, name)
        for path in (ROOT / "contracts" / "proofs").glob("*.sol")
        for name in re.findall(r"function (check_\w+)\(", path.read_text(encoding="utf-8"))
    }
    assert {(proof.contract, proof.name) for proof in script.PROOFS} == written
    assert len(written) >= 8


def test_bugs__each__changes_one_line_that_exists_once(script: ModuleType) -> None:
    for proof in script.PROOFS:
        ((file, text),) = proof.bug().items()
        assert text != (ROOT / file).read_text(encoding="utf-8"), proof.name


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_proofs__halmos__proves_each_and_refutes_each_bug(script: ModuleType, tmp_path: Path) -> None:
    if not script.HALMOS.exists():
        pytest.skip("halmos is not here: `make proofs` makes its environment")
    assert script.main(["--json", str(tmp_path / "proofs.json")]) == 0
    assert len(json.loads((tmp_path / "proofs.json").read_text())) == len(script.PROOFS)
