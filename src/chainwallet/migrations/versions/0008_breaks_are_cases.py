"""breaks are cases"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account", sa.Column("frozen", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_account_frozen", "account", ["id"], postgresql_where=sa.text("frozen"))
    for name in ("assignee", "cause", "closed_by"):
        op.add_column("reconciliation_break", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("closed_by", "cause", "assignee"):
        op.drop_column("reconciliation_break", name)
    op.drop_index("ix_account_frozen", "account")
    op.drop_column("account", "frozen")
