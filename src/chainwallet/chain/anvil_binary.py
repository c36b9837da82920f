"""Where anvil is: the executable itself, not npm's wrapper, which when killed leaves the node running."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from chainwallet.chain.errors import AnvilNotFound

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def find_anvil() -> Path:
    """CHAINWALLET_ANVIL, or npm's package in a folder above the current one or the source tree, or PATH.

    Raises AnvilNotFound, which says how to get it.
    """
    named = os.environ.get("CHAINWALLET_ANVIL")
    if named is not None:
        if not os.access(named, os.X_OK):
            raise AnvilNotFound(f"CHAINWALLET_ANVIL names {named}, which is not an executable file.")
        return Path(named)
    for candidate in _candidates():
        if os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which("anvil")
    if found is not None and "node_modules" not in Path(found).resolve().parts:
        return Path(found)
    raise AnvilNotFound(
        "anvil is not installed: run `npm install` in the project's folder, put anvil on PATH, name it in "
        "CHAINWALLET_ANVIL, or run with the chain in process: CHAINWALLET_CHAIN_URL=embedded."
    )


def _candidates() -> Iterator[Path]:
    system = {"Windows": "win32"}.get(platform.system(), platform.system().lower())
    package = f"anvil-{system}-{_MACHINES.get(platform.machine().lower(), platform.machine())}"
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            yield folder / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
