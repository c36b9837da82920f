"""Rebuilding the settled books from the chain, from the command line, and comparing them with the live ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlmodel import Session

from chainwallet.bootstrap import Services, open_services
from chainwallet.entrypoints.cli.reconciling import catch_up
from chainwallet.entrypoints.workers.leadership import LeaderLock
from chainwallet.kit.database import Database
from chainwallet.kit.settings import Settings
from chainwallet.migrations import upgrade
from chainwallet.reconciliation.breaks import BreakKind, close_breaks
from chainwallet.reconciliation.claims import read_claims
from chainwallet.reconciliation.comparison import Difference
from chainwallet.reconciliation.rebuilding import SettledBooks, adopt, differences, read_settled, rebuild, unsound


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the chain made of the books, and where the live ones differ."""

    books: SettledBooks
    differences: tuple[Difference, ...]


def rebuild_now(settings: Settings, *, say: Callable[[str], None], adopt_chain: bool = False) -> Rebuilt:
    """Catch up unless a running service does, then rebuild and compare. Raises what `rebuild` and `adopt` raise."""
    services = open_services(settings, say=say)
    try:
        return rebuild_books(services, say=say, adopt_chain=adopt_chain)
    finally:
        services.close()


def rebuild_books(services: Services, *, say: Callable[[str], None], adopt_chain: bool = False) -> Rebuilt:
    """As `rebuild_now`, with services that are open.

    Without a difference in any claim, breaks about things unknown are closed. With `adopt_chain`, differences in claims
    are booked as the chain has them; the answer says what differed before.
    """
    lock = LeaderLock(services.database)
    if lock.take():
        say("catching up with the chain")
        try:
            catch_up(services)
        finally:
            lock.release()
    with services.database.transaction() as session:
        treasury, confirmations = services.hub.treasury(), services.settings.confirmations
        claims = read_claims(session, treasury=treasury, confirmations=confirmations)
        live = read_settled(session, claims)
    say(f"rebuilding from block {services.deployment.block} to {claims.block_number}")
    with _fresh_database(services.database, f"rebuilt_{claims.block_number}_{claims.block_hash[2:10]}") as fresh:
        found = rebuild(
            fresh,
            services.node,
            services.hub,
            domain=services.domain,
            from_block=services.deployment.block,
            up_to=claims,
        )
        wrong = unsound(fresh, services.hub, found, services.deployment.tokens)
    different = (*wrong, *differences(live, found))
    if adopt_chain and not wrong:
        with services.database.transaction() as session:
            now = read_claims(session, treasury=treasury, confirmations=confirmations)
            say(f"{adopt(session, now, found)} claims booked as the chain has them")
            _close_unknown(session)
    elif not different:
        with services.database.transaction() as session:
            _close_unknown(session)
    return Rebuilt(found, different)


def _close_unknown(session: Session) -> None:
    """Whatever a batch was that these books did not know: they hold what it did."""
    for kind in (BreakKind.UNKNOWN_BATCH, BreakKind.UNKNOWN_PAYMENT, BreakKind.UNKNOWN_QUOTE):
        close_breaks(session, kind, subjects=None, seen=())


@contextmanager
def _fresh_database(beside: Database, name: str) -> Iterator[Database]:
    """An empty, migrated database on the same server, dropped afterwards."""
    _on_server(beside, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')
    fresh = Database(make_url(beside.url).set(database=name).render_as_string(hide_password=False), pool_size=4)
    try:
        upgrade(fresh)
        yield fresh
    finally:
        fresh.close()
        _on_server(beside, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _on_server(database: Database, *statements: str) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
