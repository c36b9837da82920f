"""The vault on a real PostgreSQL: wallets are made, kept, used, exported."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from eth_account import Account
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlmodel import Session

from chainwallet.keys.errors import (
    InvalidPrivateKey,
    KeystoreRefused,
    PolicyRefused,
    WalletExists,
    WalletNotFound,
)
from chainwallet.keys.intents import Domain, MakerQuote, PaymentOrder, Transaction, order_digest, quote_digest
from chainwallet.keys.keystore import export_keystore
from chainwallet.keys.signatures import SecretKey, recover
from chainwallet.keys.signers import Signer
from chainwallet.keys.vault import Vault
from chainwallet.kit.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
KEK = b"\x01" * 32
SECRET = "11" * 32
OWN = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
DOMAIN = Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")


def new_vault(**options: Any) -> Vault:
    vault = Vault(KEK, clock=lambda: NOW, **options)
    vault.pin(DOMAIN)
    return vault


def order_of(address: str, **changes: Any) -> PaymentOrder:
    fields: dict[str, Any] = {
        "payer": address,
        "payee": BOB,
        "source_currency": 978,
        "source_units": 100_000_000,
        "target_currency": 840,
        "target_units": 108_000_000,
        "nonce": 1,
        "deadline": NOW_S + 600,
        "memo": bytes(32),
    }
    return PaymentOrder(**(fields | changes))


def count(session: Session) -> int:
    return int(session.execute(text("SELECT count(*) FROM keys_wallet")).scalar_one())


def test_create_wallet__then_a_new_process__signs_as_the_same_address(wallets: Database) -> None:
    with wallets.transaction() as session:
        wallet = new_vault().create_wallet(session, owner_id="cus_1")
    assert wallet.id.startswith("wal_")
    assert wallet.owner_id == "cus_1"
    with wallets.transaction() as session:
        signer: Signer = new_vault().signer(session, wallet.address, owner_id="cus_1")
    order = order_of(wallet.address)
    quote = MakerQuote(wallet.address, 978, 10, 840, 11, 1, NOW_S + 60)
    assert recover(order_digest(DOMAIN, order), signer.sign_order(DOMAIN, order)) == wallet.address
    assert recover(quote_digest(DOMAIN, quote), signer.sign_quote(DOMAIN, quote)) == wallet.address


def test_create_wallet__path_and_time__are_stored(wallets: Database) -> None:
    with wallets.transaction() as session:
        new_vault().create_wallet(session, owner_id="cus_1")
        row = session.execute(text("SELECT path, created_at, octet_length(ciphertext) FROM keys_wallet")).one()
    assert tuple(row) == ("m/44'/60'/0'/0/0", NOW, 32 + 32 + 16)


def test_create_wallet__owner_has_one__refused_and_transaction_usable(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        first = vault.create_wallet(session, owner_id="cus_1")
        with pytest.raises(WalletExists) as caught:
            vault.create_wallet(session, owner_id="cus_1")
        assert count(session) == 1
        assert vault.signer(session, first.address)
    assert (caught.value.code, caught.value.status) == ("KEYS_WALLET_EXISTS", 409)


def test_create_wallet__two_at_once_for_one_owner__one_wins(wallets: Database) -> None:
    barrier, outcomes = threading.Barrier(8), []

    def create() -> None:
        vault = new_vault()
        barrier.wait()
        try:
            with wallets.transaction() as session:
                outcomes.append(vault.create_wallet(session, owner_id="cus_1").address)
        except WalletExists:
            outcomes.append("exists")

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("exists") == 7


def test_create_wallet__rolled_back__leaves_no_wallet_and_no_signer(wallets: Database) -> None:
    vault, made = new_vault(), []

    class Abandoned(Exception):
        pass

    def abandon() -> None:
        with wallets.transaction() as session:
            made.append(vault.create_wallet(session, owner_id="cus_1").address)
            raise Abandoned

    with pytest.raises(Abandoned):
        abandon()
    with wallets.transaction() as session, pytest.raises(WalletNotFound):
        vault.signer(session, made[0])


def test_create_wallets__many__in_the_order_of_their_owners(wallets: Database) -> None:
    vault = new_vault()
    owners = [f"cus_{number}" for number in range(50)]
    with wallets.transaction() as session:
        made = vault.create_wallets(session, owners)
        assert vault.create_wallets(session, []) == []
    assert [wallet.owner_id for wallet in made] == owners
    with wallets.transaction() as session:
        signers = new_vault().signers(session, [wallet.address for wallet in made])
    for wallet in made:
        assert signers[wallet.address].owner_id == wallet.owner_id
        order = order_of(wallet.address)
        signature = signers[wallet.address].sign_order(DOMAIN, order)
        assert recover(order_digest(DOMAIN, order), signature) == wallet.address


def test_create_wallets__one_owner_has_a_wallet__none_made(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        vault.create_wallet(session, owner_id="cus_2")
        with pytest.raises(WalletExists, match="cus_2"):
            vault.create_wallets(session, ["cus_1", "cus_2", "cus_3"])
        assert count(session) == 1


def test_import_private_key__known_key__is_its_address(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        wallet = vault.import_private_key(session, owner_id="cus_1", private_key=SecretStr("0x" + SECRET))
        order = order_of(OWN)
        signature = new_vault().signer(session, OWN).sign_order(DOMAIN, order)
    assert wallet.address == OWN
    assert recover(order_digest(DOMAIN, order), signature) == OWN


def test_import_private_key__address_of_another_owner__refused(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        vault.import_private_key(session, owner_id="cus_1", private_key=SECRET)
        with pytest.raises(WalletExists):
            vault.import_private_key(session, owner_id="cus_2", private_key=SECRET)
        with pytest.raises(InvalidPrivateKey):
            vault.import_private_key(session, owner_id="cus_2", private_key="00" * 32)
        assert count(session) == 1


def test_keystore__export_then_import_elsewhere__same_wallet(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        made = vault.create_wallet(session, owner_id="cus_1")
        document = vault.export_keystore(session, made.address, password="secret words", scrypt_n=2)
        session.execute(text("TRUNCATE keys_wallet"))
        again = vault.import_keystore(session, owner_id="cus_9", keystore=document, password="secret words")
    assert again.address == made.address
    assert Account.from_key(Account.decrypt(document, "secret words")).address == made.address


def test_import_keystore__changed_iv__refused_and_nothing_stored(wallets: Database) -> None:
    document = export_keystore(SecretKey.from_hex(SECRET), "pw", scrypt_n=2)
    document["crypto"]["cipherparams"]["iv"] = "00" * 16
    with wallets.transaction() as session:
        with pytest.raises(KeystoreRefused):
            new_vault().import_keystore(session, owner_id="cus_1", keystore=document, password="pw")
        assert count(session) == 0


@pytest.mark.slow
def test_export_keystore__default_work__is_the_standards(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        made = vault.create_wallet(session, owner_id="cus_1")
        document = vault.export_keystore(session, made.address, password="pw")
        assert document["crypto"]["kdfparams"]["n"] == 2**18
        session.execute(text("TRUNCATE keys_wallet"))
        assert (
            vault.import_keystore(session, owner_id="cus_1", keystore=document, password="pw").address == made.address
        )


def test_signer__unknown_address__not_found(wallets: Database) -> None:
    with wallets.transaction() as session:
        with pytest.raises(WalletNotFound) as caught:
            new_vault().signer(session, BOB)
        with pytest.raises(WalletNotFound, match=BOB):
            new_vault().signers(session, [BOB])
    assert (caught.value.code, caught.value.status) == ("KEYS_WALLET_NOT_FOUND", 404)


def test_signer__another_owner__refused_cold_and_warm(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        wallet = vault.create_wallet(session, owner_id="cus_1")
        for _ in range(2):
            with pytest.raises(PolicyRefused, match="cus_2"):
                vault.signer(session, wallet.address, owner_id="cus_2")
        assert vault.signer(session, wallet.address, owner_id="cus_1")


def test_signer__of_a_customer__signs_no_transaction_and_for_no_other(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        signer = vault.signer(session, vault.create_wallet(session, owner_id="cus_1").address)
    with pytest.raises(PolicyRefused):
        signer.sign_transaction(Transaction(31337, 0, BOB, b"", 21_000, 1, 1))
    with pytest.raises(PolicyRefused):
        signer.sign_order(DOMAIN, order_of(BOB))
    with pytest.raises(PolicyRefused):
        signer.sign_order(Domain(1, DOMAIN.hub), order_of(signer.address))


def test_signer__vault_not_pinned__signs_nothing(wallets: Database) -> None:
    vault = Vault(KEK, clock=lambda: NOW)
    with wallets.transaction() as session:
        signer = vault.signer(session, vault.create_wallet(session, owner_id="cus_1").address)
    with pytest.raises(PolicyRefused, match="pin"):
        signer.sign_order(DOMAIN, order_of(signer.address))
    vault.pin(DOMAIN)
    assert signer.sign_order(DOMAIN, order_of(signer.address))
    with pytest.raises(PolicyRefused):
        vault.pin(Domain(1, DOMAIN.hub))


class Statements:
    """How many statements an engine ran."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        event.listen(database.engine, "before_cursor_execute", self._seen)

    def _seen(self, *_: Any) -> None:
        self.count += 1


def test_signer__warm__no_sql(wallets: Database) -> None:
    vault = new_vault()
    with wallets.transaction() as session:
        address = vault.create_wallet(session, owner_id="cus_1").address
        first = vault.signer(session, address)
        statements = Statements(wallets)
        assert vault.signer(session, address) is first
        assert vault.signers(session, [address]) == {address: first}
        assert statements.count == 0
        vault.forget(address)
        assert vault.signer(session, address) is not first
        assert statements.count == 1


def test_signer__more_than_the_cache_holds__least_recently_used_goes(wallets: Database) -> None:
    vault = new_vault(cache_size=2)
    with wallets.transaction() as session:
        first, second, third = (wallet.address for wallet in vault.create_wallets(session, ["a", "b", "c"]))
        for address in (first, second, first, third):
            vault.signer(session, address)
        statements = Statements(wallets)
        vault.signer(session, first)
        vault.signer(session, third)
        assert statements.count == 0, "kept: used last"
        vault.signer(session, second)
        assert statements.count == 1, "gone: used longest ago"
        assert len(vault.signers(session, [first, second, third])) == 3, "more than fit, and still all of them"


def test_signer__many_threads_and_a_small_cache__always_the_right_one(wallets: Database) -> None:
    vault = new_vault(cache_size=3)
    with wallets.transaction() as session:
        addresses = [wallet.address for wallet in vault.create_wallets(session, [f"c{n}" for n in range(8)])]
    wrong: list[str] = []

    def use(offset: int) -> None:
        with wallets.transaction() as session:
            for turn in range(60):
                address = addresses[(turn * 3 + offset) % len(addresses)]
                order = order_of(address, nonce=turn)
                signature = vault.signer(session, address).sign_order(DOMAIN, order)
                if recover(order_digest(DOMAIN, order), signature) != address:
                    wrong.append(address)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
