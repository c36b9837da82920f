"""Gas and bytecode size, measured on anvil by scripts/gas.py and compared with tests/snapshots/gas.json.

CHAINWALLET_UPDATE_SNAPSHOTS=1 writes the file anew; the commit that does so says why a figure rose.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import pytest
from hub_world import ROOT, artifact

SNAPSHOT = ROOT / "tests" / "snapshots" / "gas.json"
RISE_MAX = 0.002  # figures are deterministic; this forgives rounding
BYTES_MAX = 24_576  # EIP-170


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Everything that scripts/gas.py measures, and the size of each contract."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        gas = importlib.import_module("gas")
        found: dict[str, Any] = gas.measure(gas.compiled())
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    for name in ("SettlementHub", "CurrencyToken"):
        found[f"bytes_{name}"] = len(artifact(name)["deployedBytecode"]) // 2 - 1
    if os.environ.get("CHAINWALLET_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_gas_and_size__measured_afresh__do_not_exceed_the_snapshot(measured: dict[str, Any]) -> None:
    expected = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    risen = {
        name: (was, measured[name])
        for name, was in expected.items()
        if name in measured and not name.endswith("_most") and measured[name] > was * (1 + RISE_MAX)
    }
    assert risen == {}, "rose; if that is the price of something worth it, run with CHAINWALLET_UPDATE_SNAPSHOTS=1"
    assert set(measured) <= set(expected), "figures without a snapshot"


def test_gas__the_page__states_the_figures_of_the_snapshot() -> None:
    page = (ROOT / "docs" / "gas.md").read_text(encoding="utf-8")
    figures = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    absent = {name: value for name, value in figures.items() if f"{value:,}" not in page}
    assert absent == {}, "docs/gas.md is older than the snapshot"


def test_size__deployed_bytecode__stays_within_the_chain_limit() -> None:
    sizes = {name: len(artifact(name)["deployedBytecode"]) // 2 - 1 for name in ("SettlementHub", "CurrencyToken")}
    assert max(sizes.values()) <= BYTES_MAX, sizes
