"""slither finds nothing of high or medium impact in the contracts that is not excused, and would if it were there.

given the contracts as shipped                 nothing should be left, and no excuse should be idle
given a contract with a known flaw             it should be found, named by contract and function
given findings and excuses                     an excuse should hold for its own check and place only
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from tests.running_scripts import load_script

FLAWED = """// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;
contract Flawed {
    mapping(address => uint256) public held;
    function take() external {
        (bool done, ) = msg.sender.call{value: held[msg.sender]}("");
        require(done);
        held[msg.sender] = 0;
    }
    function put() external payable { held[msg.sender] += msg.value; }
}
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("slither_contracts")


@pytest.fixture
def slither(script: ModuleType) -> Path:
    """Skipped only where `make slither`, and `make test`, which makes it first, did not make its environment."""
    path: Path = script.SLITHER
    if not (path.parents[1] / ".ready").exists():
        pytest.skip("slither is not here: `make slither` makes its environment")
    return path


@pytest.mark.slow
def test_contracts__nothing_of_high_or_medium_impact__is_left(
    script: ModuleType, slither: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main() == 0, capsys.readouterr().out


@pytest.mark.slow
def test_reentrancy__seeded__is_found(script: ModuleType, slither: Path) -> None:
    found = script.analyse({"contracts/Flawed.sol": FLAWED})
    assert ("reentrancy-eth", "High", "Flawed.take") in {(one.check, one.impact, one.where) for one in found}
    left, _ = script.judge(found, script.read_ignored())
    assert [one.check for one in left] == ["reentrancy-eth"]


@pytest.mark.slow
def test_source__that_does_not_compile__is_no_clean_bill(script: ModuleType, slither: Path) -> None:
    with pytest.raises(script.SlitherFailed):
        script.analyse({"contracts/Broken.sol": "contract Broken {"})


def test_judge__excuse__holds_for_its_own_check_and_place(script: ModuleType) -> None:
    def finding(check: str, where: str, impact: str = "High") -> object:
        return script.Finding(check, impact, where, "")

    findings = [finding("a", "X.f"), finding("a", "X.g"), finding("b", "X.f", "Medium"), finding("c", "X.f", "Low")]
    left, idle = script.judge(findings, [{"check": "a", "where": "X.f", "why": "so"}])
    assert left == findings[1:3]
    assert idle == []
    left, idle = script.judge([], [{"check": "a", "where": "X.f", "why": "so"}])
    assert (left, idle) == ([], ["a in X.f"])


def test_ignored__each__says_why(script: ModuleType) -> None:
    for entry in script.read_ignored():
        assert set(entry) == {"check", "where", "why"}
        assert len(entry["why"]) > 10
