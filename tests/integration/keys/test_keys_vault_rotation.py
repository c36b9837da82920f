"""Rotating the key-encryption key, with wallets in use (attack 12: rotate 100 keys live, the old one refused)."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from chainwallet.keys.envelope import kek_id
from chainwallet.keys.errors import KekRefused, KekUnknown, WalletCorrupt
from chainwallet.keys.vault import Vault
from chainwallet.kit.database import Database

OLD, NEW = b"\x01" * 32, b"\x02" * 32
OWNERS = [f"cus_{number}" for number in range(100)]


def test_rotate_kek__100_wallets__new_opens_all_old_opens_none(
    wallets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainwallet.keys.vault.ROTATION_BATCH", 7)
    vault = Vault(OLD)
    with wallets.transaction() as session:
        made = vault.create_wallets(session, OWNERS)
        before = session.execute(text("SELECT id, nonce, ciphertext FROM keys_wallet ORDER BY id")).all()
    with wallets.transaction() as session:
        assert vault.rotate_kek(session, NEW) == 100
        assert vault.rotate_kek(session, NEW) == 0
    assert vault.kek_id == kek_id(NEW)
    addresses = [wallet.address for wallet in made]
    with wallets.transaction() as session:
        assert session.execute(text("SELECT id, nonce, ciphertext FROM keys_wallet ORDER BY id")).all() == before
        assert len(Vault(NEW).signers(session, addresses)) == 100
        for address in addresses:
            with pytest.raises(KekUnknown):
                Vault(OLD).signer(session, address)


def test_rotate_kek__rolled_back__nothing_lost(wallets: Database) -> None:
    vault = Vault(OLD)
    with wallets.transaction() as session:
        wallet = vault.create_wallet(session, owner_id="cus_1")
    with wallets.transaction() as session:
        vault.rotate_kek(session, NEW)
        session.rollback()
    with wallets.transaction() as session:
        assert vault.signer(session, wallet.address), "this process knows both"
        assert Vault(OLD).signer(session, wallet.address), "the old one still opens what is stored"
        assert vault.rotate_kek(session, NEW) == 1
    with wallets.transaction() as session:
        assert Vault(NEW).signer(session, wallet.address)


def test_rotate_kek__as_an_operator_does_it__new_first_old_retired(wallets: Database) -> None:
    with wallets.transaction() as session:
        wallet = Vault(OLD).create_wallet(session, owner_id="cus_1")
    vault = Vault(NEW, retired=[OLD])
    with wallets.transaction() as session:
        vault.ensure_readable(session)
        assert vault.signer(session, wallet.address)
        assert vault.rotate_kek(session, NEW) == 1
    with wallets.transaction() as session:
        Vault(NEW).ensure_readable(session)


def test_rotate_kek__wallet_written_by_another_process_with_the_old__next_run_takes_it(wallets: Database) -> None:
    vault = Vault(OLD)
    with wallets.transaction() as session:
        assert vault.rotate_kek(session, NEW) == 0
        late = Vault(OLD).create_wallet(session, owner_id="cus_late")
        assert vault.signer(session, late.address)
        assert vault.rotate_kek(session, NEW) == 1


def test_rotate_kek__corrupt_wallet__stops_and_names_it(wallets: Database) -> None:
    vault = Vault(OLD)
    with wallets.transaction() as session:
        made = vault.create_wallets(session, ["cus_1", "cus_2"])
        session.execute(text("UPDATE keys_wallet SET owner_id = 'cus_9' WHERE owner_id = 'cus_2'"))
        with pytest.raises(WalletCorrupt, match=made[1].id):
            vault.rotate_kek(session, NEW)
    assert vault.kek_id == kek_id(OLD)


def test_rotate_kek__not_a_kek__refused(wallets: Database) -> None:
    with wallets.transaction() as session, pytest.raises(KekRefused):
        Vault(OLD).rotate_kek(session, b"short")


def test_ensure_readable__kek_lost__says_how_many_and_which(wallets: Database) -> None:
    with wallets.transaction() as session:
        Vault(NEW).ensure_readable(session)
        Vault(OLD).create_wallets(session, ["cus_1", "cus_2"])
        Vault(OLD).ensure_readable(session)
        with pytest.raises(KekUnknown, match=f"2 wallets.*{kek_id(OLD)}"):
            Vault(NEW).ensure_readable(session)


def test_wallets_of_a_new_vault__after_rotation__use_the_new_kek(wallets: Database) -> None:
    vault = Vault(OLD)
    with wallets.transaction() as session:
        vault.rotate_kek(session, NEW)
        wallet = vault.create_wallet(session, owner_id="cus_1")
        assert Vault(NEW).signer(session, wallet.address)
