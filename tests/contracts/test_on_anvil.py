"""What the contracts' tests show on py-evm they show on anvil too: the same files, run there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import AnvilNotFound

FOLDERS = [str(Path(__file__).with_name(name)) for name in ("AuditAnchor", "CurrencyToken", "SettlementHub", "foreign")]


@pytest.mark.slow
def test_contracts__on_anvil__do_what_they_do_on_py_evm() -> None:
    try:
        find_anvil()
    except AnvilNotFound as error:
        pytest.skip(str(error))
    begun = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not soak", *FOLDERS],
        env=os.environ | {"CHAINWALLET_TEST_CHAIN": "anvil"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:]
    print(f"on anvil: {ran.stdout.splitlines()[-1]} {time.perf_counter() - begun:.0f} s")
