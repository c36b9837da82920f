"""A torn state file is never started from, and what it was last whole is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chainwallet.chain.anvil_state import (
    COPY,
    STATE,
    TORN,
    copies,
    copy_whole_state,
    keep_started_from,
    restore_whole_state,
)


def _whole(number: int) -> bytes:
    return json.dumps(
        {"block": {"number": number}, "blocks": ["x" * 500], "historical_states": None}, separators=(",", ":")
    ).encode()


def _write(folder: Path, content: bytes, *, at_ns: int) -> None:
    (folder / STATE).write_bytes(content)
    os.utime(folder / STATE, ns=(at_ns, at_ns))


def test_copy__whole_state__is_copied_once(tmp_path: Path) -> None:
    _write(tmp_path, _whole(1), at_ns=1_000)
    assert copy_whole_state(tmp_path)
    assert not copy_whole_state(tmp_path)
    assert (tmp_path / COPY).read_bytes() == _whole(1)


@pytest.mark.parametrize("cut", [0, 1, 10, 300])
def test_copy__torn_state__keeps_the_former_copy(tmp_path: Path, cut: int) -> None:
    _write(tmp_path, _whole(1), at_ns=1_000)
    copy_whole_state(tmp_path)
    torn = _whole(2)[: -cut or None] if cut else b""
    _write(tmp_path, torn, at_ns=2_000)
    assert not copy_whole_state(tmp_path)
    assert (tmp_path / COPY).read_bytes() == _whole(1)


def test_restore__torn_state__takes_the_copy_and_keeps_the_torn_one_aside(tmp_path: Path) -> None:
    _write(tmp_path, _whole(1), at_ns=1_000)
    copy_whole_state(tmp_path)
    _write(tmp_path, _whole(2)[:100], at_ns=2_000)
    assert restore_whole_state(tmp_path)
    assert (tmp_path / STATE).read_bytes() == _whole(1)
    assert (tmp_path / TORN).read_bytes() == _whole(2)[:100]


def test_restore__whole_state__is_left_alone(tmp_path: Path) -> None:
    _write(tmp_path, _whole(1), at_ns=1_000)
    copy_whole_state(tmp_path)
    _write(tmp_path, _whole(2), at_ns=2_000)
    assert not restore_whole_state(tmp_path)
    assert (tmp_path / STATE).read_bytes() == _whole(2)


def test_restore__torn_and_no_copy__starts_afresh(tmp_path: Path) -> None:
    _write(tmp_path, b'{"block":', at_ns=1_000)
    assert not restore_whole_state(tmp_path)
    assert not (tmp_path / STATE).exists()


def test_copy_and_restore__nothing_there__nothing_done(tmp_path: Path) -> None:
    assert not copy_whole_state(tmp_path)
    assert not restore_whole_state(tmp_path)


def test_copies__newest_first_and_what_a_node_was_started_from_last(tmp_path: Path) -> None:
    _write(tmp_path, _whole(0), at_ns=500)
    keep_started_from(tmp_path)
    for number in range(1, 7):
        _write(tmp_path, _whole(number), at_ns=number * 1_000)
        assert copy_whole_state(tmp_path)
    assert [json.loads(path.read_bytes())["block"]["number"] for path in copies(tmp_path)] == [6, 5, 4, 3, 0]
