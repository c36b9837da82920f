"""makers quote by ladders, and may sign by themselves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_IN_LADDER = "status = 'open' AND ladder_version IS NOT NULL"
_REPLACED = "status = 'withdrawn' AND ladder_version IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "maker_ladder",
        sa.Column("maker_id", sa.String(), nullable=False),
        sa.Column("sell", sa.String(), nullable=False),
        sa.Column("buy", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("levels", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version > 0 AND levels >= 0", name=op.f("ck_maker_ladder_version_positive")),
        sa.PrimaryKeyConstraint("maker_id", "sell", "buy", name=op.f("pk_maker_ladder")),
    )
    op.create_table(
        "maker_rejection",
        sa.Column("maker_id", sa.String(), nullable=False),
        sa.Column("sell", sa.String(), nullable=False),
        sa.Column("buy", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("quote_id", sa.String(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("maker_id", "sell", "buy", "code", name=op.f("pk_maker_rejection")),
    )
    op.add_column("maker_quote", sa.Column("ladder_version", sa.BigInteger(), nullable=True))
    op.add_column("maker_quote", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_maker_quote_ladder", "maker_quote", ["maker_id", "sell", "buy"], postgresql_where=sa.text(_IN_LADDER)
    )
    op.create_index("ix_maker_quote_replaced", "maker_quote", ["withdrawn_at"], postgresql_where=sa.text(_REPLACED))
    op.create_index("ix_batch_fill_maker", "batch_fill", ["maker_id", "batch_id", "quote_id"])
    op.create_index("ix_batch_fill_quote", "batch_fill", ["quote_id"])
    op.add_column("customer", sa.Column("custody", sa.String(), server_default="managed", nullable=False))
    op.create_check_constraint(op.f("ck_customer_custody"), "customer", "custody IN ('managed', 'external')")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_customer_custody"), "customer")
    op.drop_column("customer", "custody")
    op.drop_index("ix_batch_fill_quote", table_name="batch_fill")
    op.drop_index("ix_batch_fill_maker", table_name="batch_fill")
    op.drop_index("ix_maker_quote_replaced", table_name="maker_quote")
    op.drop_index("ix_maker_quote_ladder", table_name="maker_quote")
    op.drop_column("maker_quote", "withdrawn_at")
    op.drop_column("maker_quote", "ladder_version")
    op.drop_table("maker_rejection")
    op.drop_table("maker_ladder")
