"""From a bearer key to a principal: who asks, what they may do and for whom."""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chainwallet.controls.identity.api_keys import Scope, digest, find_live_key, is_secret, new_secret
from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.settings import Settings

OPERATOR_ID = "operator"
CACHE_TTL_S = 5.0
CACHE_ENTRIES_MAX = 10_000


class AuthKeyMissing(ChainwalletError):
    code = "AUTH_KEY_MISSING"
    status = 401


class AuthKeyInvalid(ChainwalletError):
    code = "AUTH_KEY_INVALID"
    status = 401


class AuthScopeMissing(ChainwalletError):
    code = "AUTH_SCOPE_MISSING"
    status = 403


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Without `customer_id` the key is the operator's own and speaks for every customer."""

    key_id: str
    scopes: frozenset[Scope]
    customer_id: str | None

    @property
    def tenant_id(self) -> str:
        """Whose idempotency keys these are: the same for all keys of a customer, so that a key can be rotated."""
        return self.customer_id or OPERATOR_ID

    def demand(self, scope: Scope) -> None:
        """AuthScopeMissing unless the key has `scope`."""
        if scope not in self.scopes:
            raise AuthScopeMissing(f"This key lacks the scope '{scope}'; ask the operator for one that has it.")


class Authenticator:
    """Principals by bearer key, kept in memory for CACHE_TTL_S.

    A revocation takes effect at once in the process that `forget`s the key, and within CACHE_TTL_S in
    every other one.
    """

    def __init__(
        self, database: Database, *, operator_key: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._operator_digest = digest(operator_key)
        self._operator = Principal(OPERATOR_ID, frozenset(Scope), None)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._cache: dict[bytes, tuple[float, Principal]] = {}
        self._forgotten = 0  # how often `forget` ran: a look-up that overlaps one is not kept

    def cached(self, secret: str) -> Principal | None:
        """The principal if it is known without asking the database: what the event loop may call."""
        secret_sha256 = digest(secret)
        if hmac.compare_digest(secret_sha256, self._operator_digest):
            return self._operator
        found = self._cache.get(secret_sha256)
        return found[1] if found is not None and found[0] > self._monotonic() else None

    def authenticate(self, secret: str) -> Principal:
        """The principal of a live key; AuthKeyInvalid for anything else. May ask the database."""
        known = self.cached(secret)
        if known is not None:
            return known
        # What does not look like a key cannot be one: guessing costs the database nothing.
        principal = self._look_up(digest(secret)) if is_secret(secret) else None
        if principal is None:
            raise AuthKeyInvalid("This API key is not known or was revoked; ask the operator for a new one.")
        return principal

    def forget(self, key_id: str) -> None:
        """Drop a key from memory, so that its revocation holds in this process from now on."""
        with self._lock:
            self._forgotten += 1
            self._cache = {known: entry for known, entry in self._cache.items() if entry[1].key_id != key_id}

    def _look_up(self, secret_sha256: bytes) -> Principal | None:
        asked_at, forgotten = self._monotonic(), self._forgotten
        with self._database.transaction() as session:
            key = find_live_key(session, secret_sha256)
            if key is None or not hmac.compare_digest(key.secret_sha256, secret_sha256):
                return None
            principal = Principal(key.id, frozenset(Scope(scope) for scope in key.scopes), key.customer_id)
        with self._lock:
            if len(self._cache) >= CACHE_ENTRIES_MAX:
                self._cache.clear()
            if self._forgotten == forgotten:
                self._cache[secret_sha256] = (asked_at + CACHE_TTL_S, principal)
        return principal


def operator_key(settings: Settings) -> str:
    """The first operator's key: from the settings, else from `operator.key` in the data folder, made on first use.

    The file is readable by its owner only.
    """
    if settings.operator_key is not None:
        return settings.operator_key.get_secret_value()
    path = settings.data_dir / "operator.key"
    if not path.exists():
        _write_once(path, new_secret())
    return path.read_text(encoding="ascii").strip()


def _write_once(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(content + "\n")
    try:
        os.link(draft, path)  # whole or not at all, and the first of several processes wins
    except FileExistsError:
        return
    finally:
        draft.unlink()
