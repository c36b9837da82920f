"""Where alembic finds the connection and the tables."""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from chainwallet.migrations.tables import import_tables

import_tables()


def _plain_types(kind: str, item: object, _: object) -> str | Literal[False]:
    """Revisions name SQLAlchemy's types: they must stay readable when the models' library changes."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_server_default=True,
    render_item=_plain_types,
)
with context.begin_transaction():
    context.run_migrations()
