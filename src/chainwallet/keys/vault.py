"""The vault: customers' keys, encrypted in the database and unlocked in memory while they are in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Table, Text, any_, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlmodel import Session

from chainwallet.keys.envelope import EnvelopeRefused, Keyring
from chainwallet.keys.errors import (
    InvalidPrivateKey,
    KekUnknown,
    PolicyRefused,
    WalletCorrupt,
    WalletExists,
    WalletNotFound,
)
from chainwallet.keys.hd import account_path, new_entropy, private_key_at
from chainwallet.keys.intents import Domain
from chainwallet.keys.keystore import SCRYPT_N, export_keystore, open_keystore
from chainwallet.keys.policy import DEADLINE_HORIZON_S, IntentPolicy
from chainwallet.keys.sealed import Sealed, hidden
from chainwallet.keys.secret_files import load_kek
from chainwallet.keys.signatures import SecretKey
from chainwallet.keys.signers.managed import ManagedSigner
from chainwallet.keys.wallets import IMPORTED, Wallet, WalletRow, row_envelope, row_identity, wallet_identity
from chainwallet.kit.clock import utc_now
from chainwallet.kit.ids import new_id

__all__ = ["Vault", "Wallet", "load_kek"]

CACHE_SIZE = 10_000
ROTATION_BATCH = 1_000

_TABLE: Table = WalletRow.__table__  # type: ignore[attr-defined]


class Vault(Sealed):
    """Creates, imports, unlocks and exports wallets. Safe to share between threads.

    `retired` are earlier key-encryption keys that still open what they wrapped; new wallets use `kek`.
    At most `cache_size` unlocked signers are kept, the least recently used go first.
    """

    __slots__ = ("_cache_size", "_clock", "_keyring", "_lock", "_policy", "_signers")

    def __init__(
        self,
        kek: bytes,
        *,
        retired: Sequence[bytes] = (),
        horizon_s: int = DEADLINE_HORIZON_S,
        clock: Callable[[], datetime] = utc_now,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        try:
            self._keyring = Keyring(kek, retired=retired)
        finally:
            del kek, retired
        self._policy = IntentPolicy(horizon_s=horizon_s, clock=clock)
        self._clock = clock
        self._cache_size = cache_size
        self._signers: OrderedDict[str, ManagedSigner] = OrderedDict()
        self._lock = Lock()

    @property
    def kek_id(self) -> str:
        """The public name of the key-encryption key in use."""
        return self._keyring.current_id

    def pin(self, domain: Domain) -> None:
        """Let this vault's signers sign for this hub, and for no other. Before it they sign nothing."""
        self._policy.pin(domain)

    def create_wallet(self, session: Session, *, owner_id: str) -> Wallet:
        """A fresh HD wallet for this owner; WalletExists if the owner has one. About 1 ms and one statement."""
        return self._store(session, [self._new_row(owner_id)])[0]

    def create_wallets(self, session: Session, owner_ids: Iterable[str]) -> list[Wallet]:
        """Fresh HD wallets, in the order of their owners: all of them or, after WalletExists, none."""
        rows = [self._new_row(owner_id) for owner_id in owner_ids]
        with session.begin_nested():
            return self._store(session, rows)

    def import_private_key(self, session: Session, *, owner_id: str, private_key: str | SecretStr) -> Wallet:
        """Keep a key that the owner brought, in hex; WalletExists if the owner or the address has a wallet."""
        private_key = hidden(private_key)
        return self._import(session, owner_id, SecretKey.from_hex(private_key))

    def import_keystore(
        self, session: Session, *, owner_id: str, keystore: dict[str, Any], password: str | SecretStr
    ) -> Wallet:
        """Keep the key of a v3 keystore file whose address it derives; KeystoreRefused otherwise. Up to 0.7 s."""
        password = hidden(password)
        return self._import(session, owner_id, open_keystore(keystore, password))

    def export_keystore(
        self, session: Session, address: str, *, password: str | SecretStr, scrypt_n: int = SCRYPT_N
    ) -> dict[str, Any]:
        """The wallet's key as a v3 keystore under `password`, for its owner to take away. 0.7 s and 256 MiB."""
        password = hidden(password)
        return export_keystore(self._unlock(_row_at(session, address)), password, scrypt_n=scrypt_n)

    def signer(self, session: Session, address: str, *, owner_id: str | None = None) -> ManagedSigner:
        """The signer of a managed wallet: from memory without SQL, or unlocked from the database.

        With `owner_id` the wallet must be this owner's (PolicyRefused), which the encrypted row vouches for: a
        changed customer record cannot lead to another customer's key. WalletNotFound and WalletCorrupt otherwise.
        """
        signer = self._cached(address) or self._remember(self._signer_of(_row_at(session, address)))
        if owner_id is not None and signer.owner_id != owner_id:
            raise PolicyRefused(f"Wallet {address} does not belong to {owner_id}.")
        return signer

    def signers(self, session: Session, addresses: Iterable[str]) -> dict[str, ManagedSigner]:
        """Signers by address, with one query for those not in memory; WalletNotFound names a missing one."""
        found = {address: self._cached(address) for address in addresses}
        missing = [address for address, signer in found.items() if signer is None]
        rows = session.execute(_ROWS_AT, {"addresses": missing}).all() if missing else []
        found.update({row.address: self._remember(self._signer_of(row)) for row in rows})
        ready = {address: signer for address, signer in found.items() if signer is not None}
        for address in found.keys() - ready.keys():
            raise _not_found(address)
        return ready

    def rotate_kek(self, session: Session, new: bytes) -> int:
        """Wrap every data key with `new` and use it from now on; the number of wallets that were wrapped anew.

        The old KEK stays in this process, so a rollback loses nothing. Run it again to finish what was interrupted,
        or what another process has written since with the old KEK; retire the old one when it returns 0 everywhere.
        """
        try:
            keyring = self._keyring.with_current(new)
        finally:
            del new
        session.execute(text("LOCK TABLE keys_wallet IN SHARE ROW EXCLUSIVE MODE"))
        rewrapped = 0
        while rows := session.execute(_rows_of_other_keks(keyring.current_id)).all():
            session.connection().execute(_REWRAP, [_rewrapped(keyring, row) for row in rows])
            rewrapped += len(rows)
        self._keyring = keyring
        return rewrapped

    def ensure_readable(self, session: Session) -> None:
        """KekUnknown if any wallet is wrapped under a KEK that this vault lacks. Call it at start-up."""
        known = self._keyring.ids
        query = select(_TABLE.c.kek_id, func.count()).where(_TABLE.c.kek_id.not_in(known)).group_by(_TABLE.c.kek_id)
        unreadable = {row[0]: row[1] for row in session.execute(query)}
        if unreadable:
            raise KekUnknown(
                f"{sum(unreadable.values())} wallets are wrapped under key-encryption keys {sorted(unreadable)}; this "
                f"process has {known}. Restore the key that wrote them before going on.",
                unreadable=unreadable,
            )

    def forget(self, address: str) -> None:
        """Drop the unlocked signer from memory; the next use unlocks it again."""
        with self._lock:
            self._signers.pop(address, None)

    def _new_row(self, owner_id: str) -> dict[str, Any]:
        entropy, path = new_entropy(), account_path()
        key = SecretKey(private_key_at(entropy, path))
        return self._sealed_row(owner_id, key, path=path, entropy=entropy)

    def _import(self, session: Session, owner_id: str, key: SecretKey) -> Wallet:
        return self._store(session, [self._sealed_row(owner_id, key, path=IMPORTED, entropy=b"")])[0]

    def _sealed_row(self, owner_id: str, key: SecretKey, *, path: str, entropy: bytes) -> dict[str, Any]:
        # Plaintext: private key 32 | BIP-39 entropy 32, absent in an imported key. The key itself is kept beside the
        # entropy that it derives from because the derivation takes 1 ms and unlocking so takes 0.1 ms.
        wallet_id, created_at = new_id("wal"), self._clock()
        identity = wallet_identity(
            wallet_id=wallet_id, owner_id=owner_id, address=key.address, path=path, created_at=created_at
        )
        envelope = self._keyring.seal(key.reveal() + entropy, identity)
        return {
            "id": wallet_id,
            "owner_id": owner_id,
            "address": key.address,
            "path": path,
            "kek_id": envelope.kek_id,
            "wrapped_key": envelope.wrapped_key,
            "nonce": envelope.nonce,
            "ciphertext": envelope.ciphertext,
            "created_at": created_at,
        }

    def _store(self, session: Session, rows: list[dict[str, Any]]) -> list[Wallet]:
        if not rows:
            return []
        statement = insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.id)
        stored = set(session.execute(statement, rows).scalars())
        for row in rows:
            if row["id"] not in stored:
                raise WalletExists(
                    f"{row['owner_id']} has a wallet already, or {row['address']} belongs to another owner.",
                    owner_id=row["owner_id"],
                )
        return [Wallet(row["id"], row["owner_id"], row["address"]) for row in rows]

    def _signer_of(self, row: Any) -> ManagedSigner:
        return ManagedSigner(self._unlock(row), owner_id=row.owner_id, policy=self._policy)

    def _unlock(self, row: Any) -> SecretKey:
        try:
            key = SecretKey(self._keyring.open(row_envelope(row), row_identity(row))[:32])
        except (EnvelopeRefused, InvalidPrivateKey):
            raise _corrupt(row) from None
        if key.address != row.address:
            raise _corrupt(row)
        return key

    def _cached(self, address: str) -> ManagedSigner | None:
        with self._lock:
            signer = self._signers.get(address)
            if signer is not None:
                self._signers.move_to_end(address)
            return signer

    def _remember(self, signer: ManagedSigner) -> ManagedSigner:
        with self._lock:
            kept = self._signers.setdefault(signer.address, signer)
            self._signers.move_to_end(signer.address)
            while len(self._signers) > self._cache_size:
                self._signers.popitem(last=False)
            return kept

    def _public_name(self) -> str:
        return f"with KEK {self.kek_id}"


_ROWS_AT = select(_TABLE).where(_TABLE.c.address == any_(bindparam("addresses", type_=ARRAY(Text))))
_REWRAP = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("wallet_id"))
    .values(kek_id=bindparam("new_kek_id"), wrapped_key=bindparam("new_wrapped_key"))
)


def _rows_of_other_keks(kek_id: str) -> Any:
    return select(_TABLE).where(_TABLE.c.kek_id != kek_id).order_by(_TABLE.c.id).limit(ROTATION_BATCH)


def _rewrapped(keyring: Keyring, row: Any) -> dict[str, Any]:
    try:
        envelope = keyring.rewrap(row_envelope(row), row_identity(row))
    except EnvelopeRefused:
        raise _corrupt(row) from None
    return {"wallet_id": row.id, "new_kek_id": envelope.kek_id, "new_wrapped_key": envelope.wrapped_key}


def _row_at(session: Session, address: str) -> Any:
    row = session.execute(select(_TABLE).where(_TABLE.c.address == address)).one_or_none()
    if row is None:
        raise _not_found(address)
    return row


def _not_found(address: str) -> WalletNotFound:
    return WalletNotFound(f"{address} is not a wallet that this service manages.", address=address)


def _corrupt(row: Any) -> WalletCorrupt:
    return WalletCorrupt(
        f"Wallet {row.id} was changed outside the vault and will not be used. Restore its row from a backup and find "
        "out who wrote to the database.",
        wallet_id=row.id,
    )
