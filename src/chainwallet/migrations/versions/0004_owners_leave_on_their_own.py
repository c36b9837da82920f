"""owners leave on their own"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KIND = "kind IN ('customer', {exit}'treasury', 'clearing', 'hub')"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_account_kind"), "account")
    op.create_check_constraint(op.f("ck_account_kind"), "account", _KIND.format(exit="'exit', "))
    op.add_column("account", sa.Column("cancelled_nonce", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint(
        op.f("ck_account_cancelled_nonce_was_passed"), "account", "cancelled_nonce BETWEEN 0 AND last_nonce"
    )
    op.create_table(
        "owner_exit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column("failure_detail", sa.String(), nullable=True),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owner_exit")),
        sa.UniqueConstraint("requested_by", name=op.f("uq_owner_exit_requested_by")),
    )
    op.create_index("ix_owner_exit_customer", "owner_exit", ["customer_id", sa.text("id DESC")])
    op.create_index("ix_owner_exit_due", "owner_exit", ["try_at"], postgresql_where=sa.text(_DUE))
    op.create_index(
        "uq_owner_exit_live", "owner_exit", ["customer_id", "currency"], unique=True, postgresql_where=sa.text(_LIVE)
    )


_DUE = "status IN ('placed', 'waiting')"
_LIVE = "status IN ('placed', 'submitted', 'waiting', 'paying')"


def downgrade() -> None:
    op.drop_table("owner_exit")
    op.drop_constraint(op.f("ck_account_cancelled_nonce_was_passed"), "account")
    op.drop_column("account", "cancelled_nonce")
    op.drop_constraint(op.f("ck_account_kind"), "account")
    op.create_check_constraint(op.f("ck_account_kind"), "account", _KIND.format(exit=""))
