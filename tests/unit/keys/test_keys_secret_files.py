"""Key files: private, complete, made once."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from chainwallet.keys.errors import KekRefused, SecretFileRefused
from chainwallet.keys.secret_files import load_kek, read_or_create_secret
from chainwallet.keys.signers import create_operator_key

HEX = "0123456789abcdef" * 4


def test_load_kek__setting__is_its_bytes(tmp_path: Path) -> None:
    for setting in (HEX, "0x" + HEX, SecretStr(HEX), HEX.upper(), f" {HEX}\n"):
        assert load_kek(setting, tmp_path) == bytes.fromhex(HEX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["", "00", HEX[:-2], HEX + "00", "z" * 64, "correct horse battery staple"])
def test_load_kek__not_32_bytes__refused_without_quoting_it(setting: str, tmp_path: Path) -> None:
    with pytest.raises(KekRefused) as caught:
        load_kek(SecretStr(setting), tmp_path)
    assert "openssl rand -hex 32" in str(caught.value)
    assert not setting or setting not in str(caught.value)


def test_load_kek__no_setting__made_once_with_mode_0600(tmp_path: Path) -> None:
    kek = load_kek(None, tmp_path)
    path = tmp_path / "keys" / "kek"
    assert len(kek) == 32
    assert load_kek(None, tmp_path) == kek
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["kek"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_load_kek__any_umask__mode_0600(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        load_kek(None, tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys" / "kek").stat().st_mode) == 0o600


def test_load_kek__many_starters__all_read_one_secret(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(16), []

    def start() -> None:
        barrier.wait()
        found.append(load_kek(None, tmp_path))

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert [entry.name for entry in (tmp_path / "keys").iterdir()] == ["kek"]


def test_load_kek__damaged_file__refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "kek"
    path.parent.mkdir()
    path.write_text("half a key")
    path.chmod(0o600)
    with pytest.raises(KekRefused, match="keys/kek"):
        load_kek(None, tmp_path)
    assert path.read_text() == "half a key"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666, 0o777])
def test_read_or_create_secret__open_to_everyone__refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    read_or_create_secret(path)
    path.chmod(mode)
    with pytest.raises(SecretFileRefused, match="chmod 600"):
        read_or_create_secret(path)


def test_create_operator_key__twice__same_address(tmp_path: Path) -> None:
    first = create_operator_key(tmp_path)
    assert create_operator_key(tmp_path).address == first.address
    assert stat.S_IMODE((tmp_path / "keys" / "operator").stat().st_mode) == 0o600
    assert create_operator_key(tmp_path / "elsewhere").address != first.address


def test_create_operator_key__damaged_file__refused_by_path(tmp_path: Path) -> None:
    create_operator_key(tmp_path)
    (tmp_path / "keys" / "operator").write_text("0" * 64)
    with pytest.raises(SecretFileRefused, match="keys/operator"):
        create_operator_key(tmp_path)
