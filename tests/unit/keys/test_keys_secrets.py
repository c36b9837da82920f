"""Attack 24: canary secrets never show in what this room's objects and errors say of themselves."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from sqlmodel import Session

import chainwallet
from chainwallet.keys import hd
from chainwallet.keys.envelope import EnvelopeRefused, Keyring
from chainwallet.keys.intents import Domain
from chainwallet.keys.keystore import export_keystore, open_keystore
from chainwallet.keys.policy import IntentPolicy
from chainwallet.keys.secret_files import load_kek
from chainwallet.keys.signatures import SecretKey
from chainwallet.keys.signers import LocalSigner, ManagedSigner
from chainwallet.keys.vault import Vault

CANARY = bytes.fromhex("c0ffee" * 10 + "c0ff")
KEK_CANARY = bytes.fromhex("deadbeef" * 8)
PASSWORD_CANARY = "canary-password-4711"
PHRASE_CANARY = "canary " * 11 + "junk"


def spellings(secret: bytes) -> list[str]:
    """How the bytes would look in text, by a few letters that hex, repr and numbers share."""
    return [secret.hex()[:16], repr(secret)[2:18], str(int.from_bytes(secret, "big"))[:16]]


FORBIDDEN = [*spellings(CANARY), *spellings(KEK_CANARY), PASSWORD_CANARY, "canary canary"]

HOLDERS: dict[str, Callable[[], Any]] = {
    "SecretKey": lambda: SecretKey(CANARY),
    "LocalSigner": lambda: LocalSigner(CANARY.hex()),
    "ManagedSigner": lambda: ManagedSigner(SecretKey(CANARY), owner_id="cus_1", policy=IntentPolicy()),
    "Keyring": lambda: Keyring(KEK_CANARY),
    "Vault": lambda: Vault(KEK_CANARY),
}


def assert_clean(text: str) -> None:
    found = [canary for canary in FORBIDDEN if canary.lower() in text.lower()]
    assert not found, "a secret shows"


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_holders__printed_and_logged__show_nothing(make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    holder = make()
    out = io.StringIO()
    structlog.wrap_logger(
        structlog.PrintLogger(out), processors=[structlog.processors.JSONRenderer(default=repr)]
    ).info("event", holder=holder, nested={"list": [holder]})
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("canary").warning("%s %r", holder, holder)
    assert_clean(out.getvalue() + caplog.text)
    assert_clean(f"{holder} {holder!r} {holder!s:>80} {[holder]}")
    assert not hasattr(holder, "__dict__"), "vars() would show the members"


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_holders__pickled_or_copied__refused(make: Callable[[], Any]) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(make(), protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            duplicate(make())
    with pytest.raises(TypeError, match="secret"):
        make().__getstate__()


def test_holders__without_the_seal__would_pickle() -> None:
    """The control: a plain object with the same bytes leaks through pickle."""
    assert CANARY in pickle.dumps({"secret": CANARY})


def bad_keystore() -> Any:
    document = export_keystore(SecretKey(CANARY), PASSWORD_CANARY, scrypt_n=2)
    document["crypto"]["cipherparams"]["iv"] = "00" * 16
    return document


def refused_intent() -> Any:
    return ManagedSigner(SecretKey(CANARY), owner_id="c", policy=IntentPolicy()).sign_order(None, None)  # type: ignore[arg-type]


FAILURES: dict[str, Callable[[], Any]] = {
    "key outside the group": lambda: SecretKey(b"\xff" * 16 + CANARY[:16]),
    "key of another length": lambda: SecretKey(CANARY + b"\x01"),
    "malformed hex given to the key": lambda: SecretKey.from_hex(CANARY.hex() + "0"),
    "malformed hex": lambda: LocalSigner(CANARY.hex() + "0"),
    "malformed hex in the settings": lambda: LocalSigner(SecretStr(CANARY.hex() + "0")),
    "malformed KEK in the settings": lambda: load_kek(SecretStr(KEK_CANARY.hex()[:-1]), Path("/nonexistent")),
    "KEK of another length": lambda: Vault(KEK_CANARY[:-1]),
    "words that are no phrase": lambda: hd.seed_of_phrase(PHRASE_CANARY),
    "seed with a wrong path": lambda: hd.private_key_of_seed(CANARY * 2, "m/x"),
    "tampered keystore": lambda: open_keystore(bad_keystore(), PASSWORD_CANARY),
    "tampered keystore given to the vault": lambda: Vault(KEK_CANARY).import_keystore(
        Session(), owner_id="cus_1", keystore=bad_keystore(), password=PASSWORD_CANARY
    ),
    "malformed key given to the vault": lambda: Vault(KEK_CANARY).import_private_key(
        Session(), owner_id="cus_1", private_key=CANARY.hex()[1:]
    ),
    "rotation to half a KEK": lambda: Vault(KEK_CANARY).rotate_kek(Session(), KEK_CANARY[:16]),
    "retired KEK of another length": lambda: Vault(bytes(32), retired=[KEK_CANARY + b"!"]),
    "refused intent": refused_intent,
}


def assert_nothing_shows(error: BaseException | None) -> None:
    """In the message, the whole chain of causes, and the local variables of every frame inside the room."""
    while error is not None:
        assert_clean(f"{error} {error!r} {getattr(error, 'context', '')}")
        stack = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        room = [frame for frame in stack if "chainwallet/keys/" in frame.filename]
        assert room
        assert_clean(" ".join(value for frame in room for value in (frame.locals or {}).values()))
        error = error.__context__


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_errors__of_this_room__show_no_secret(fail: Callable[[], Any]) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        fail()
    assert_nothing_shows(caught.value)


def test_errors__of_a_changed_envelope__do_not_show_its_data_key() -> None:
    ring = Keyring(KEK_CANARY)
    envelope = ring.seal(b"s" * 32, b"identity")
    with pytest.raises(EnvelopeRefused) as caught:
        ring.open(replace(envelope, nonce=bytes(12)), b"identity")
    stack = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    shown = [value for frame in stack for name, value in (frame.locals or {}).items() if name == "data_key"]
    assert shown == []


def test_secret_key__outside_the_room__not_imported() -> None:
    """Other rooms get signers; a key that signs digests stays behind this room's door."""
    root = Path(chainwallet.__file__).parent
    outside = [path for path in root.rglob("*.py") if "keys" not in path.relative_to(root).parts[:1]]
    pattern = re.compile(r"SecretKey|sign_digest|\breveal\(|chainwallet\.keys\.(?:hd|envelope|sealed)\b")
    assert outside
    assert [str(path.relative_to(root)) for path in outside if pattern.search(path.read_text("utf-8"))] == []


def test_intents__are_no_secret_and_may_be_pickled() -> None:
    domain = Domain(1, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
    assert pickle.loads(pickle.dumps(domain)) == domain
    assert pickle.loads(pickle.dumps(domain)).separator() == domain.separator()
