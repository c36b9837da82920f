"""corridors are data"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "corridor_revision",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_corridor_revision")),
    )
    op.execute(
        "CREATE TRIGGER corridor_revision_append_only BEFORE UPDATE OR DELETE ON corridor_revision"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('revisions are only ever added')"
    )
    for table in ("quote", "transfer"):
        op.add_column(table, sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=True))


def downgrade() -> None:
    for table in ("transfer", "quote"):
        op.drop_column(table, "terms")
    op.drop_table("corridor_revision")
