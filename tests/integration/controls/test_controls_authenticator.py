"""Keys: shown once, stored hashed, revoked at once here and soon elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import event

from chainwallet.controls.identity.api_keys import (
    ApiKeyScopeNotAllowed,
    ApiKeyUnknown,
    Scope,
    create_api_key,
    list_api_keys,
    new_secret,
    revoke_api_key,
)
from chainwallet.controls.identity.authenticator import (
    CACHE_TTL_S,
    Authenticator,
    AuthKeyInvalid,
    AuthScopeMissing,
    operator_key,
)
from chainwallet.controls.identity.customers import Customer, CustomerUnknown
from chainwallet.kit.database import Database
from chainwallet.kit.settings import Settings

OPERATOR = "the-operators-own-key"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(database: Database, clock: Clock) -> Authenticator:
    return Authenticator(database, operator_key=OPERATOR, monotonic=clock)


def make(database: Database, *scopes: Scope, customer_id: str | None = None) -> tuple[str, str]:
    with database.transaction() as session:
        key, secret = create_api_key(session, name="test", scopes=scopes, customer_id=customer_id, actor="operator")
        return key.id, secret


def revoke(database: Database, key_id: str) -> None:
    with database.transaction() as session:
        revoke_api_key(session, key_id, actor="operator")


def test_a_key_opens_what_it_was_made_for(
    database: Database, authenticator: Authenticator, open_customer: Callable[..., Customer]
) -> None:
    customer = open_customer()
    key_id, secret = make(database, Scope.QUOTES, customer_id=customer.id)
    principal = authenticator.authenticate(secret)
    assert (principal.key_id, principal.customer_id, principal.tenant_id) == (key_id, customer.id, customer.id)
    principal.demand(Scope.QUOTES)
    with pytest.raises(AuthScopeMissing):
        principal.demand(Scope.TRANSFERS)


def test_the_operators_key_has_every_scope_and_no_row(database: Database, authenticator: Authenticator) -> None:
    principal = authenticator.authenticate(OPERATOR)
    assert (principal.scopes, principal.customer_id, principal.tenant_id) == (frozenset(Scope), None, "operator")
    with database.transaction() as session:
        assert list_api_keys(session, after=None, limit=10) == []


def test_the_secret_is_nowhere_in_the_database(database: Database) -> None:
    _, secret = make(database, Scope.READ)
    with database.transaction() as session:
        for table in ("api_key", "audit_entry", "outbox_event"):
            dump = str(session.connection().exec_driver_sql(f"SELECT t::text FROM {table} t").all())
            assert secret[10:] not in dump


@pytest.mark.parametrize("wrong", ["", "cw_", "cw_" + "x" * 43, "cw_" + "x" * 44, "x" * 46, "cw_" + "é" * 43, "a\x00b"])
def test_wrong_keys_are_all_refused_in_the_same_words(authenticator: Authenticator, wrong: str) -> None:
    with pytest.raises(AuthKeyInvalid, match="not known or was revoked"):
        authenticator.authenticate(wrong)


def test_what_is_not_shaped_like_a_key_never_reaches_the_database(
    database: Database, authenticator: Authenticator
) -> None:
    asked = []
    listener = lambda *_: asked.append(1)  # noqa: E731
    event.listen(database.engine, "before_cursor_execute", listener)
    try:
        for guess in ("guess", OPERATOR + "x", "cw_short"):
            with pytest.raises(AuthKeyInvalid):
                authenticator.authenticate(guess)
        assert asked == []
        with pytest.raises(AuthKeyInvalid):
            authenticator.authenticate(new_secret())
        assert asked
    finally:
        event.remove(database.engine, "before_cursor_execute", listener)


def test_a_revoked_key_ends_at_once_here_and_within_the_ttl_elsewhere(
    database: Database, authenticator: Authenticator, clock: Clock
) -> None:
    elsewhere = Authenticator(database, operator_key=OPERATOR, monotonic=clock)
    key_id, secret = make(database, Scope.READ)
    for process in (authenticator, elsewhere):
        assert process.authenticate(secret).key_id == key_id
    revoke(database, key_id)
    authenticator.forget(key_id)
    with pytest.raises(AuthKeyInvalid):
        authenticator.authenticate(secret)
    assert elsewhere.authenticate(secret).key_id == key_id
    clock.now += CACHE_TTL_S
    assert elsewhere.cached(secret) is None
    with pytest.raises(AuthKeyInvalid):
        elsewhere.authenticate(secret)


def test_a_bound_key_cannot_be_an_administrator(database: Database, open_customer: Callable[..., Customer]) -> None:
    with pytest.raises(ApiKeyScopeNotAllowed):
        make(database, Scope.ADMIN, customer_id=open_customer().id)
    with pytest.raises(CustomerUnknown):
        make(database, Scope.READ, customer_id="cus_nobody")
    with pytest.raises(ApiKeyUnknown):
        revoke(database, "key_nobody")


def test_the_operators_key_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", operator_key=None)
    first = operator_key(settings)
    assert first == operator_key(settings)
    assert stat.S_IMODE((tmp_path / "data" / "operator.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["operator.key"]
    assert operator_key(Settings(data_dir=tmp_path, operator_key=SecretStr("given"))) == "given"
