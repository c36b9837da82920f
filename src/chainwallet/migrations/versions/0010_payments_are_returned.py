"""payments are returned"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transfer", sa.Column("return_of", sa.String(), nullable=True))
    op.add_column("transfer", sa.Column("return_reason", sa.String(), nullable=True))
    op.create_index(
        "uq_transfer_return",
        "transfer",
        ["return_of", "payer_id", "payee_id"],
        unique=True,
        postgresql_where=sa.text("return_of IS NOT NULL AND status NOT IN ('declined', 'failed', 'cancelled')"),
    )


def downgrade() -> None:
    op.drop_index("uq_transfer_return", table_name="transfer")
    op.drop_column("transfer", "return_reason")
    op.drop_column("transfer", "return_of")
