"""markets are committed to before payments are priced on them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "market_snapshot",
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("quotes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("stock", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("root", "taken_at", name=op.f("pk_market_snapshot")),
    )
    op.create_index("ix_market_snapshot_taken_at", "market_snapshot", ["taken_at"])
    op.add_column("quote", sa.Column("market_root", sa.Text(), nullable=True))
    op.add_column("quote", sa.Column("market_taken_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_quote_market", "quote", ["market_root", "market_taken_at"])


def downgrade() -> None:
    op.drop_index("ix_quote_market", "quote")
    op.drop_column("quote", "market_taken_at")
    op.drop_column("quote", "market_root")
    op.drop_table("market_snapshot")
