"""Documentation is an interface: what it must cover, it covers."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import chainwallet
from chainwallet.kit.errors import known_errors
from chainwallet.kit.settings import Settings

ROOT = Path(__file__).parents[2]


def _import_everything() -> None:
    for module in pkgutil.walk_packages(chainwallet.__path__, "chainwallet."):
        if not module.name.endswith(("__main__", "migrations.env")) and ".versions" not in module.name:
            importlib.import_module(module.name)


def test_settings_page__lists_every_setting_as_it_is() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else f"`{field.default}`"
        row = f"| `CHAINWALLET_{name.upper()}` | {default} | {field.description} |"
        assert row in page, f"docs/settings.md lacks or misstates {name}"


def test_errors_page__explains_every_code_and_no_other() -> None:
    _import_everything()
    documented = set(
        re.findall(r"^#{2,4} `?([A-Z][A-Z0-9_]+)`?", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    )
    assert documented == set(known_errors()), "docs/errors.md and the code name the same errors"


def test_invariants_page__every_test_it_names_exists() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text()
    named = set(re.findall(r"tests/[\w/]+\.py", page))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "demo",
        "deploy",
        "govern",
        "reconcile",
        "rebuild",
        "verify-receipt",
        "anchor-reserves",
        "verify-proof",
        "maker",
    ],
)
def test_readme__names_every_command(command: str) -> None:
    assert f"chainwallet {command}" in (ROOT / "README.md").read_text() or command == "demo"


def test_rooms__each_opens_with_its_charter() -> None:
    for room in sorted((ROOT / "src" / "chainwallet").iterdir()):
        if room.is_dir() and (room / "__init__.py").exists():
            charter = (room / "__init__.py").read_text()
            for word in ("Owns:", "Never:", "Invariants:"):
                assert word in charter, f"{room.name} opens without {word}"
