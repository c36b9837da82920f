"""The database's shape over time: alembic revisions, carried in the package so that any process can apply them.

Owns: the order in which tables, checks and triggers came to be.
Never: moves money or rewrites history; a revision that has landed is not edited.
Invariants: after `upgrade`, the database has exactly the tables that the models declare.
"""

from __future__ import annotations

from pathlib import Path

from chainwallet.kit.database import Database

_VERSIONS = Path(__file__).parent / "versions"
_LOCK = 0x6D696772  # "migr": one process upgrades, the others wait


def upgrade(database: Database) -> None:
    """Bring the database to the newest revision; processes that start together do it once."""
    if _revision(database) == newest_revision():
        return  # most starts: alembic alone would be a good part of them
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
            connection.commit()


def newest_revision() -> str:
    """The revision that `upgrade` leads to: they are numbered, in the names of their files."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
