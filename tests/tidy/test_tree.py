"""The tree keeps the house's rules: sizes, words, and nothing that names a machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES_MAX = 450
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "misc"}


def _tracked(*patterns: str) -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_source_files__none_too_long_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _tracked("src/*.py", "scripts/*.py", "contracts/*.sol")
        if "/versions/" not in str(path) and (lines := len(path.read_text().splitlines())) > LINES_MAX
    }
    assert not long, "split by verb"


def test_modules__no_name_that_says_nothing() -> None:
    assert not [path for path in _tracked("src/*.py") if path.stem in FORBIDDEN_NAMES]


def test_locks__name_no_address() -> None:
    for name in ("requirements.lock", "requirements-slither.lock", "package-lock.json"):
        text = (ROOT / name).read_text()
        assert not re.search(r'"resolved"|--index-url|--find-links| @ https?://', text), f"{name} names an address"


def test_text__no_promises_left_behind() -> None:
    promise = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    found = [
        str(path.relative_to(ROOT))
        for path in _tracked("src/*.py", "scripts/*.py", "contracts/*.sol")
        if promise.search(path.read_text())
    ]
    assert not found
