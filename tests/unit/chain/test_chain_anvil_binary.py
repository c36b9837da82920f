"""Where anvil is looked for, and what is said when it is nowhere."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from chainwallet.chain import anvil_binary
from chainwallet.chain.errors import AnvilNotFound


def _executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without anvil: another working directory, source tree and PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CHAINWALLET_ANVIL", raising=False)
    monkeypatch.setattr(anvil_binary, "__file__", str(tmp_path / "src" / "anvil_binary.py"))
    return tmp_path


def test_find_anvil__nowhere__says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(AnvilNotFound, match="npm install") as caught:
        anvil_binary.find_anvil()
    assert "embedded" in caught.value.detail


def test_find_anvil__named__that_one(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = _executable(nowhere / "elsewhere" / "anvil")
    monkeypatch.setenv("CHAINWALLET_ANVIL", str(named))
    assert anvil_binary.find_anvil() == named


def test_find_anvil__named_but_absent__refused(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINWALLET_ANVIL", str(nowhere / "absent"))
    with pytest.raises(AnvilNotFound, match="CHAINWALLET_ANVIL"):
        anvil_binary.find_anvil()


def test_find_anvil__package_above_the_working_directory__the_binary_itself(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    package = f"anvil-{platform.system().lower()}-{machine}"
    real = _executable(nowhere / "node_modules" / "@foundry-rs" / package / "bin" / "anvil")
    below = nowhere / "deep" / "down"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert anvil_binary.find_anvil() == real


def test_find_anvil__on_path__but_never_npms_wrapper(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = _executable(nowhere / "other" / "node_modules" / ".bin" / "anvil")
    monkeypatch.setenv("PATH", str(wrapper.parent))
    with pytest.raises(AnvilNotFound):
        anvil_binary.find_anvil()
    found = _executable(nowhere / "bin" / "anvil")
    monkeypatch.setenv("PATH", os.pathsep.join([str(wrapper.parent), str(nowhere / "bin")]))
    with pytest.raises(AnvilNotFound):  # PATH order decides, as everywhere: the wrapper is first
        anvil_binary.find_anvil()
    monkeypatch.setenv("PATH", str(nowhere / "bin"))
    assert anvil_binary.find_anvil() == found
