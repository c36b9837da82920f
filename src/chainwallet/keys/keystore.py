"""Keystore v3 files (the "Web3 Secret Storage Definition"): how a key enters and leaves, under a password.

The format authenticates its ciphertext only: with another IV it decrypts to another key and does not notice, and its
address is not covered at all. So a file must name its address, and the key must derive it. Its own parameters say how
much work opening it is, so those are bounded, and one file is opened at a time.
"""

from __future__ import annotations

import re
from math import prod
from threading import Lock
from typing import Any

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from pydantic import SecretStr

from chainwallet.keys.errors import InvalidPrivateKey, KeystoreRefused
from chainwallet.keys.sealed import hidden
from chainwallet.keys.signatures import SecretKey

SCRYPT_N = 2**18
SCRYPT_WORK_MAX = SCRYPT_N * 8  # n x r x p: 256 MiB and about 0.7 s
PBKDF2_ROUNDS_MAX = 2_000_000

_WORK = {"scrypt": (("n", "r", "p"), SCRYPT_WORK_MAX), "pbkdf2": (("c",), PBKDF2_ROUNDS_MAX)}
_ADDRESS = re.compile(r"(?:0x)?[0-9a-fA-F]{40}", re.ASCII)
_one_at_a_time = Lock()


def export_keystore(key: SecretKey, password: str | SecretStr, *, scrypt_n: int = SCRYPT_N) -> dict[str, Any]:
    """The key in a v3 keystore that any Ethereum wallet opens; takes 0.7 s and 256 MiB on purpose."""
    password = hidden(password)
    if not password:
        raise KeystoreRefused("A keystore needs a password.")
    encoded = password.get_secret_value().encode()
    with _one_at_a_time:
        return dict(create_keyfile_json(key.reveal(), encoded, iterations=scrypt_n, kdf="scrypt"))


def open_keystore(keystore: dict[str, Any], password: str | SecretStr) -> SecretKey:
    """The key of a v3 keystore; KeystoreRefused if anything does not fit, the derived address above all."""
    password = hidden(password)
    file = _lower_keys(keystore)
    stated = _stated_address(file)
    _check_work(file)
    with _one_at_a_time:
        key = _decrypt(file, password)
    if key is None:
        raise KeystoreRefused("The password is wrong, or the file was damaged.")
    if key.address[2:].lower() != stated:
        raise KeystoreRefused("The file's key does not belong to the file's address: the file was changed.")
    return key


def _lower_keys(value: Any) -> Any:
    """The document with lower-case names, as the decoder reads it; two spellings of one name are refused.

    Otherwise the work that is checked here and the work that the decoder does could come from different members.
    """
    if not isinstance(value, dict):
        return value
    lowered = {str(name).lower(): _lower_keys(inner) for name, inner in value.items()}
    if len(lowered) != len(value):
        raise KeystoreRefused("The file names a member twice.")
    return lowered


def _stated_address(file: Any) -> str:
    """The address that the file states, as lower-case hex without 0x."""
    if not isinstance(file, dict) or type(file.get("version")) is not int or file["version"] != 3:
        raise KeystoreRefused("Only keystore files of version 3 can be read.")
    address = file.get("address")
    if not isinstance(address, str) or _ADDRESS.fullmatch(address) is None:
        raise KeystoreRefused("The file does not state its address; without it a changed file would go unnoticed.")
    return address[-40:].lower()


def _check_work(file: dict[str, Any]) -> None:
    """Refuse other ciphers and derivations, and those that would take more than a second or 256 MiB."""
    crypto = file.get("crypto")
    params = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(crypto, dict) or not isinstance(params, dict) or crypto.get("cipher") != "aes-128-ctr":
        raise KeystoreRefused("The file's crypto section must use aes-128-ctr and state its kdfparams.")
    factors, most = _WORK.get(str(crypto.get("kdf")), ((), 0))
    numbers: list[int] = [params[name] for name in factors if type(params.get(name)) is int and params[name] > 0]
    if not numbers or len(numbers) != len(factors):
        raise KeystoreRefused("The file's kdf must be scrypt or pbkdf2 with whole-number parameters.")
    if prod(numbers) > most or params.get("dklen") != 32:
        raise KeystoreRefused(f"Opening the file takes more than {most} rounds, or another key length: export it anew.")


def _decrypt(file: dict[str, Any], password: SecretStr) -> SecretKey | None:
    try:
        return SecretKey(decode_keyfile_json(file, password.get_secret_value().encode()))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, InvalidPrivateKey):
        return None  # the library's errors are not ours to explain, and may quote what they were given
