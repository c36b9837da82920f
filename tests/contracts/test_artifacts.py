"""The committed artifacts are what the sources compile to.

given unchanged sources
  the artifacts' source hashes should be those of the sources (fast, no compiler)
  compiling afresh should give the artifacts byte for byte (slow)
given a changed source or artifact             --check should name it and exit 1
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hub_world import ROOT, artifact, load_compiler_script

NAMES = ("AccessManager", "AuditAnchor", "CurrencyToken", "SettlementHub")


@pytest.mark.parametrize("name", NAMES)
def test_artifact__source_hash__is_that_of_the_sources(name: str) -> None:
    script = load_compiler_script()
    version = artifact(name)["compiler"]["version"]
    assert artifact(name)["sourceHash"] == script.source_hash([script.SHIPPED[name]], version)


@pytest.mark.parametrize("name", NAMES)
def test_artifact__content__names_no_place_on_a_machine(name: str) -> None:
    text = (ROOT / "src" / "chainwallet" / "chain" / "abi" / f"{name}.json").read_text(encoding="utf-8")
    assert set(json.loads(text)) == {"contractName", "abi", "bytecode", "deployedBytecode", "sourceHash", "compiler"}
    assert not re.search(r"/home/|/root/|/work|/tmp|/Users/|node_modules", text)


@pytest.mark.slow
def test_check__compiled_afresh__equals_the_artifacts() -> None:
    load_compiler_script().check()


def test_check__artifact_changed__is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = load_compiler_script()
    fresh = {tmp_path / "SettlementHub.json": "new\n", tmp_path / "CurrencyToken.json": "same\n"}
    (tmp_path / "SettlementHub.json").write_text("old\n", encoding="utf-8")
    (tmp_path / "CurrencyToken.json").write_text("same\n", encoding="utf-8")
    monkeypatch.setattr(script, "artifacts", lambda *, is_cached=True: fresh)
    with pytest.raises(script.ContractsStale, match=r"^SettlementHub\.json: run "):
        script.check()
    assert script.main(["--check"]) == 1
    assert (tmp_path / "SettlementHub.json").read_text(encoding="utf-8") == "old\n", "--check writes nothing"
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
