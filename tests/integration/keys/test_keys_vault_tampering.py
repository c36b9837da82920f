"""Attacks 10 and 11: a stolen database shows no key; a changed one is refused. Controls run without the defence."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from chainwallet.keys.envelope import Keyring
from chainwallet.keys.errors import KekUnknown, WalletCorrupt
from chainwallet.keys.hd import new_entropy, phrase_of
from chainwallet.keys.vault import Vault
from chainwallet.keys.wallets import Wallet
from chainwallet.kit.database import Database

KEK = b"\x01" * 32
STRANGER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
FLIP = "set_byte({0}, {1}, get_byte({0}, {1}) # 1)"

# Every column of the table and a way to change it; the address is what the wallet is then asked for.
CHANGES: dict[str, str] = {
    "id": "'wal_other'",
    "owner_id": "'cus_other'",
    "address": f"'{STRANGER}'",
    "path": "'m/44''/60''/0''/0/1'",
    "path to imported": "'imported'",
    "kek_id": "'0000000000000000'",
    "wrapped_key nonce": FLIP.format("wrapped_key", 0),
    "wrapped_key": FLIP.format("wrapped_key", 20),
    "wrapped_key tag": FLIP.format("wrapped_key", 59),
    "nonce": FLIP.format("nonce", 11),
    "ciphertext": FLIP.format("ciphertext", 0),
    "ciphertext of the entropy": FLIP.format("ciphertext", 40),
    "ciphertext tag": FLIP.format("ciphertext", 79),
    "ciphertext cut": "substring(ciphertext FROM 1 FOR 48)",
    "ciphertext empty": "''::bytea",
    "created_at": "created_at + interval '1 microsecond'",
}


@pytest.fixture
def made(wallets: Database) -> list[Wallet]:
    with wallets.transaction() as session:
        return Vault(KEK).create_wallets(session, ["cus_1", "cus_2"])


def change(session: Session, wallet: Wallet, column: str, expression: str) -> None:
    session.execute(text(f"UPDATE keys_wallet SET {column} = {expression} WHERE id = :id"), {"id": wallet.id})


def test_changes__cover_every_column(wallets: Database) -> None:
    with wallets.transaction() as session:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'keys_wallet'"
        columns = set(session.execute(text(query)).scalars())
    assert columns == {name.split()[0] for name in CHANGES}


@pytest.mark.parametrize(("name", "expression"), CHANGES.items(), ids=CHANGES)
def test_signer__changed_column__refused(name: str, expression: str, wallets: Database, made: list[Wallet]) -> None:
    with wallets.transaction() as session:
        vault = Vault(KEK)
        assert vault.signer(session, made[0].address)
        vault.forget(made[0].address)
        change(session, made[0], name.split(maxsplit=1)[0], expression)
        address = STRANGER if name == "address" else made[0].address
        with pytest.raises(KekUnknown if name == "kek_id" else WalletCorrupt) as caught:
            vault.signer(session, address)
        for use in (vault.signers, lambda s, a: vault.export_keystore(s, a[0], password="pw", scrypt_n=2)):
            with pytest.raises(type(caught.value)):
                use(session, [address])
        assert vault.signer(session, made[1].address), "the other wallet still works"
    assert caught.value.status == 500


@pytest.mark.parametrize("columns", [["ciphertext"], ["nonce", "ciphertext"], ["wrapped_key", "nonce", "ciphertext"]])
def test_signer__ciphertexts_of_two_wallets_swapped__both_refused(
    columns: list[str], wallets: Database, made: list[Wallet]
) -> None:
    with wallets.transaction() as session:
        swap(session, columns)
        for wallet in made:
            with pytest.raises(WalletCorrupt, match=wallet.id):
                Vault(KEK).signer(session, wallet.address)


@pytest.mark.parametrize("column", ["owner_id", "address"])
def test_signer__owners_or_addresses_of_two_wallets_swapped__both_refused(
    column: str, wallets: Database, made: list[Wallet]
) -> None:
    with wallets.transaction() as session:
        session.execute(text(f"ALTER TABLE keys_wallet DROP CONSTRAINT uq_keys_wallet_{column}"))
        swap(session, [column])
        for wallet in made:
            with pytest.raises(WalletCorrupt):
                Vault(KEK).signer(session, wallet.address)
        session.rollback()


def swap(session: Session, columns: list[str]) -> None:
    assignments = ", ".join(f"{column} = other.{column}" for column in columns)
    session.execute(
        text(f"UPDATE keys_wallet SET {assignments} FROM keys_wallet other WHERE other.id != keys_wallet.id")
    )


def test_signer__key_of_another_address_sealed_by_the_kek_itself__refused(
    wallets: Database, made: list[Wallet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds the KEK can seal; the derived address must still be the stored one."""
    stranger = b"stranger" * 4
    monkeypatch.setattr(Keyring, "open", lambda *_: stranger)
    with wallets.transaction() as session, pytest.raises(WalletCorrupt) as caught:
        Vault(KEK).signer(session, made[0].address)
    stack = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    shown = [str(frame.locals) for frame in stack if "chainwallet/keys/" in frame.filename]
    assert shown
    assert not any("stranger" in text_shown for text_shown in shown)


@pytest.mark.parametrize("name", ["id", "owner_id", "path", "created_at"])
def test_signer__changed_column_without_associated_data__goes_unnoticed(
    name: str, wallets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with nothing bound to the ciphertext, the same changes are not seen."""
    monkeypatch.setattr("chainwallet.keys.vault.wallet_identity", lambda **_: b"")
    monkeypatch.setattr("chainwallet.keys.vault.row_identity", lambda _: b"")
    with wallets.transaction() as session:
        wallet = Vault(KEK).create_wallet(session, owner_id="cus_1")
        change(session, wallet, name, CHANGES[name])
        assert Vault(KEK).signer(session, wallet.address)


@pytest.mark.parametrize("expression", ["''::bytea", "substring(wrapped_key FROM 1 FOR 28)", "NULL"])
def test_wallet__wrapped_key_of_another_length__refused_by_the_database(
    expression: str, wallets: Database, made: list[Wallet]
) -> None:
    with wallets.transaction() as session, session.begin_nested() as savepoint:
        with pytest.raises(IntegrityError):
            change(session, made[0], "wrapped_key", expression)
        savepoint.rollback()


def test_stolen_database__dump__shows_no_secret(wallets: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 wallets' keys, entropies and phrases, and the KEK, are looked for in all that the table holds."""
    entropies: list[bytes] = []

    def remembered() -> bytes:
        entropies.append(new_entropy())
        return entropies[-1]

    keys: list[bytes] = []
    seal: Callable[..., Any] = Keyring.seal

    def watched(ring: Keyring, secret: bytes, identity: bytes) -> Any:
        keys.append(secret[:32])
        return seal(ring, secret, identity)

    monkeypatch.setattr("chainwallet.keys.vault.new_entropy", remembered)
    monkeypatch.setattr(Keyring, "seal", watched)
    with wallets.transaction() as session:
        Vault(KEK).create_wallets(session, [f"cus_{number}" for number in range(30)])
    with wallets.transaction() as session:
        dump = str(session.execute(text("SELECT string_agg(keys_wallet::text, E'\\n') FROM keys_wallet")).scalar_one())
    assert len(dump) > 30 * 300
    secrets = [*keys, *entropies, KEK]
    assert len(secrets) == 61
    assert [secret for secret in secrets if secret.hex() in dump] == []
    assert [entropy for entropy in entropies if phrase_of(entropy)[:20] in dump] == []


def test_stolen_database__without_the_kek__does_not_open(wallets: Database, made: list[Wallet]) -> None:
    with wallets.transaction() as session, pytest.raises(KekUnknown):
        Vault(b"\x02" * 32).signer(session, made[0].address)
