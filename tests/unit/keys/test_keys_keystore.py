"""Attack 12: keystore files that were changed, or that would cost too much to open."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json

from chainwallet.keys.errors import KeystoreRefused
from chainwallet.keys.keystore import PBKDF2_ROUNDS_MAX, SCRYPT_N, export_keystore, open_keystore
from chainwallet.keys.signatures import SecretKey

SECRET = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
PASSWORD = "testpassword"
KEY = SecretKey(SECRET)
FILE = export_keystore(KEY, PASSWORD, scrypt_n=2)

# The PBKDF2 test vector of the Web3 Secret Storage Definition, with the address it leaves out.
VECTOR: dict[str, Any] = {
    "address": "008aeeda4d805471df9b2a5b0f38a0c3bcba786b",
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(FILE)
    *parents, name = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    return document


def flip_hex(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def test_open_keystore__published_vector__is_its_key() -> None:
    assert open_keystore(VECTOR, PASSWORD).reveal() == SECRET


def test_export_keystore__opened_by_eth_account__is_the_key() -> None:
    assert bytes(Account.decrypt(json.loads(json.dumps(FILE)), PASSWORD)) == SECRET
    assert open_keystore(FILE, PASSWORD).address == KEY.address


def test_open_keystore__made_by_eth_account_with_either_kdf__opens() -> None:
    for kdf in ("scrypt", "pbkdf2"):
        document = create_keyfile_json(SECRET, PASSWORD.encode(), kdf=kdf, iterations=2)
        assert open_keystore(document, PASSWORD).address == KEY.address


def test_open_keystore__geth_spelling__opens() -> None:
    document = {**FILE, "address": "0x" + FILE["address"].lower()}
    document["Crypto"] = document.pop("crypto")
    assert open_keystore(document, PASSWORD).address == KEY.address


def test_open_keystore__changed_iv__refused() -> None:
    document = changed("crypto.cipherparams.iv", flip_hex(FILE["crypto"]["cipherparams"]["iv"]))
    with pytest.raises(KeystoreRefused, match="was changed"):
        open_keystore(document, PASSWORD)


def test_open_keystore__changed_iv_in_eth_account__another_key_without_our_check() -> None:
    document = changed("crypto.cipherparams.iv", flip_hex(FILE["crypto"]["cipherparams"]["iv"]))
    assert bytes(Account.decrypt(document, PASSWORD)) != SECRET


def test_open_keystore__every_bit_of_the_iv__refused() -> None:
    iv = bytes.fromhex(FILE["crypto"]["cipherparams"]["iv"])
    for bit in range(128):
        other = (int.from_bytes(iv, "big") ^ 1 << bit).to_bytes(16, "big")
        with pytest.raises(KeystoreRefused):
            open_keystore(changed("crypto.cipherparams.iv", other.hex()), PASSWORD)


CHANGES: list[tuple[str, Any]] = [
    ("address", "0x" + "00" * 20),
    ("address", flip_hex(FILE["address"])),
    ("address", ""),
    ("address", None),
    ("version", 4),
    ("version", "3"),
    ("version", True),
    ("crypto", None),
    ("crypto", "x"),
    ("crypto.cipher", "aes-256-ctr"),
    ("crypto.cipherparams", {}),
    ("crypto.cipherparams.iv", ""),
    ("crypto.cipherparams.iv", "zz"),
    ("crypto.ciphertext", flip_hex(FILE["crypto"]["ciphertext"])),
    ("crypto.ciphertext", ""),
    ("crypto.ciphertext", 5),
    ("crypto.mac", flip_hex(FILE["crypto"]["mac"])),
    ("crypto.mac", None),
    ("crypto.kdf", "argon2"),
    ("crypto.kdf", "pbkdf2"),
    ("crypto.kdf", ["scrypt"]),
    ("crypto.kdfparams", None),
    ("crypto.kdfparams.salt", flip_hex(FILE["crypto"]["kdfparams"]["salt"])),
    ("crypto.kdfparams.n", 4),
    ("crypto.kdfparams.n", 3),
    ("crypto.kdfparams.n", 0),
    ("crypto.kdfparams.n", "2"),
    ("crypto.kdfparams.n", True),
    ("crypto.kdfparams.r", 1),
    ("crypto.kdfparams.p", 2),
    ("crypto.kdfparams.dklen", 64),
    ("crypto.kdfparams.dklen", 2**40),
]


@pytest.mark.parametrize(
    ("path", "value"), CHANGES, ids=[f"{number}-{path}" for number, (path, _) in enumerate(CHANGES)]
)
def test_open_keystore__changed_member__refused(path: str, value: Any) -> None:
    with pytest.raises(KeystoreRefused):
        open_keystore(changed(path, value), PASSWORD)


def test_open_keystore__wrong_password__refused() -> None:
    for password in ("", "Testpassword", PASSWORD + " "):
        with pytest.raises(KeystoreRefused):
            open_keystore(FILE, password)


def test_open_keystore__too_much_work__refused_before_any_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainwallet.keys.keystore.decode_keyfile_json", lambda *_: pytest.fail("work was done"))
    costly = [
        changed("crypto.kdfparams.n", SCRYPT_N * 2),
        changed("crypto.kdfparams.r", 2**30),
        changed("crypto.kdfparams.p", 2**30),
        {**VECTOR, "crypto": {**VECTOR["crypto"], "kdfparams": {"c": PBKDF2_ROUNDS_MAX + 1, "dklen": 32}}},
    ]
    for document in costly:
        with pytest.raises(KeystoreRefused, match="rounds"):
            open_keystore(document, PASSWORD)


@pytest.mark.parametrize("path", ["CRYPTO", "crypto.KDFPARAMS", "crypto.kdfparams.N", "Address"])
def test_open_keystore__member_in_two_spellings__refused(path: str) -> None:
    """The decoder lower-cases names and takes the last one: the checked member and the used one would differ."""
    with pytest.raises(KeystoreRefused, match="twice"):
        open_keystore(changed(path, 2**30), PASSWORD)


@pytest.mark.parametrize("document", [None, [], "{}", {}, {"version": 3}])
def test_open_keystore__not_a_keystore__refused(document: Any) -> None:
    with pytest.raises(KeystoreRefused):
        open_keystore(document, PASSWORD)


def test_export_keystore__no_password__refused() -> None:
    with pytest.raises(KeystoreRefused, match="password"):
        export_keystore(KEY, "")
