"""Secrets in files of the data folder: readable by their owner only, written once, never half-written."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from pydantic import SecretStr

from chainwallet.keys.envelope import KEY_BYTES
from chainwallet.keys.errors import KekRefused, SecretFileRefused

_HEX_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


def load_kek(key_encryption_key: SecretStr | str | None, data_dir: Path) -> bytes:
    """The key-encryption key: the setting (64 hexadecimal digits), or data_dir/keys/kek, made on first use.

    Whoever loses it loses every managed wallet: back it up apart from the database. KekRefused if it is not 32 bytes
    in hex, SecretFileRefused if others may read the file.
    """
    if key_encryption_key is not None:
        given = SecretStr(key_encryption_key) if isinstance(key_encryption_key, str) else key_encryption_key
        return _parse(given, source="CHAINWALLET_KEY_ENCRYPTION_KEY")
    path = data_dir / "keys" / "kek"
    return _parse(read_or_create_secret(path, bytes_new=KEY_BYTES), source=str(path))


def read_or_create_secret(path: Path, *, bytes_new: int = KEY_BYTES) -> SecretStr:
    """The text of a secret file; without one, `bytes_new` fresh random bytes in hex are stored there first (0600).

    Of several processes that start at once one creates the file and all read the same secret. SecretFileRefused if
    users other than its owner and group may touch it.
    """
    if not path.exists():
        _create(path, secrets.token_hex(bytes_new))
    mode = path.stat().st_mode
    if mode & 0o007:
        raise SecretFileRefused(f"{path} can be read by every user of this machine; run: chmod 600 {path}")
    return SecretStr(path.read_text(encoding="ascii", errors="replace").strip())


def _create(path: Path, text: str) -> None:
    """Write a new file completely, then give it its name; leave an existing one as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails when the name exists: of two starters one wins, and neither reads half a file.
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(text: SecretStr, *, source: str) -> bytes:
    match = _HEX_KEY.fullmatch(text.get_secret_value().strip())
    if match is None:
        raise KekRefused(f"{source} must hold 32 bytes as 64 hexadecimal digits. Make one with: openssl rand -hex 32")
    return bytes.fromhex(match.group(1))
