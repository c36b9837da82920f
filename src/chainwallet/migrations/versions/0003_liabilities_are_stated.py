"""liabilities are stated, each statement with its tree"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "liabilities_statement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("totals", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_liabilities_statement")),
        sa.UniqueConstraint("period", name=op.f("uq_liabilities_statement_period")),
    )
    op.create_table(
        "liability_leaf",
        sa.Column("statement_id", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Numeric(precision=39, scale=0), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("statement_id", "account", "currency", name=op.f("pk_liability_leaf")),
    )
    op.create_table(
        "liability_node",
        sa.Column("statement_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("units", sa.Numeric(precision=39, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("statement_id", "currency", "level", "place", name=op.f("pk_liability_node")),
    )


def downgrade() -> None:
    op.drop_table("liability_node")
    op.drop_table("liability_leaf")
    op.drop_table("liabilities_statement")
