"""anvil's state file, and copies beside it, because what anvil writes cannot be relied on.

It writes in place, without a rename or a sync, so that the file may be cut off. And it writes the accounts as they
are when a block that is being executed is done, but the blocks as they were before: such a state is ahead of its own
chain, with transactions in no block (tried with anvil 1.7; anvil.py finds out by the state's root).
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

from chainwallet.chain.blocks import to_bytes

STATE, COPY, TORN = "anvil.json", "anvil.last-whole.json", "anvil.torn.json"
STARTED_FROM = "anvil.started-from.json"  # consistent for sure: a node was started from it and checked
OLDER = tuple(f"anvil.last-whole.{age}.json" for age in (1, 2, 3))

# The file's last field, in anvil's order. A write that was cut off cannot end with it.
_ENDS_WITH = b'"historical_states":'


def write_first_state(folder: Path, dump: str) -> None:
    """Where there is no state yet, make it what `anvil_dumpState` returned (the same JSON, in gzip, in hex)."""
    if (folder / STATE).exists():
        return
    draft = folder / f".{STATE}"
    draft.write_bytes(gzip.decompress(to_bytes(dump)))
    draft.replace(folder / STATE)


def copy_whole_state(folder: Path) -> bool:
    """Copy the state aside if it is whole and newer than the copy. False if there was nothing to copy."""
    state, copy = folder / STATE, folder / COPY
    try:
        before = state.stat()
        if copy.exists() and copy.stat().st_mtime_ns >= before.st_mtime_ns:
            return False
        draft = folder / f".{COPY}"
        shutil.copy2(state, draft)
    except FileNotFoundError:
        return False
    after = state.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or not _ends_whole(draft):
        return False
    descriptor = os.open(draft, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    _make_room(folder)
    draft.replace(copy)
    return True


def _make_room(folder: Path) -> None:
    names = (COPY, *OLDER)
    for newer, older in reversed(list(pairwise(names))):
        if (folder / newer).exists():
            (folder / newer).replace(folder / older)


def keep_started_from(folder: Path) -> None:
    """Remember the state that a node was started from and found consistent."""
    if (folder / STATE).exists():
        draft = folder / f".{STARTED_FROM}"
        shutil.copy2(folder / STATE, draft)
        draft.replace(folder / STARTED_FROM)


def copies(folder: Path) -> list[Path]:
    """What there is to start from instead of the state, newest first."""
    return [folder / name for name in (COPY, *OLDER, STARTED_FROM) if (folder / name).exists()]


def set_aside(folder: Path) -> Path:
    """Move the state out of the way; where it is now."""
    (folder / STATE).replace(folder / TORN)
    return folder / TORN


def start_from(folder: Path, other: Path) -> None:
    """Make a copy the state."""
    shutil.copy2(other, folder / STATE)


def restore_whole_state(folder: Path) -> bool:
    """Before a start: if the state is torn, set it aside and take the copy. True if the copy was taken."""
    state, copy = folder / STATE, folder / COPY
    if not state.exists() or _is_whole(state):
        return False
    state.replace(folder / TORN)
    if not copy.exists() or not _is_whole(copy):
        return False
    shutil.copy2(copy, state)
    return True


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        tail = file.read()
    return tail.rstrip().endswith(b"}") and _ENDS_WITH in tail


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False
