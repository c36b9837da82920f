"""Who runs the workers that talk to the chain: the process whose database session holds an advisory lock."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from chainwallet.kit.database import Database

_LOCK = 0x6C656164  # "lead"
# A host that vanishes sends no farewell: PostgreSQL asks it, and lets go of its lock after 5 + 3 * 5 seconds.
_KEEPALIVES = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"


class LeaderLock:
    """Held by a connection of its own, so that it ends with the process, however that ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Whether the lock is ours now. Raises SQLAlchemyError without a database."""
        connection = self._database.engine.connect()
        connection.detach()  # a pooled connection would keep the lock after it was given back
        try:
            connection.exec_driver_sql(_KEEPALIVES)
            taken = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCK})").scalar())
            connection.commit()  # the lock belongs to the session, not to this transaction
        except SQLAlchemyError:
            connection.close()
            raise
        if taken:
            self._connection = connection
        else:
            connection.close()
        return taken

    def is_held(self) -> bool:
        """Whether the session that holds the lock still stands."""
        if self._connection is None:
            return False
        try:
            self._connection.exec_driver_sql("SELECT 1")
            self._connection.commit()
        except SQLAlchemyError:
            return False
        return True

    def release(self) -> None:
        """Let another process lead: at once, where the database can still be told."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
                self._connection.commit()
            self._connection.close()
            self._connection = None
