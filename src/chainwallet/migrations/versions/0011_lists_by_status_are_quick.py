"""lists by status are quick, however long the table is"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_transfer_status", table_name="transfer")
    op.create_index("ix_transfer_status", "transfer", ["status", sa.text("id DESC")])
    op.create_index("ix_deposit_status", "deposit", ["status", sa.text("id DESC")])


def downgrade() -> None:
    op.drop_index("ix_deposit_status", table_name="deposit")
    op.drop_index("ix_transfer_status", table_name="transfer")
    op.create_index("ix_transfer_status", "transfer", ["status"])
