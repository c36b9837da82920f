"""quotes are used by the transfers that name them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("quote", "used_by")


def downgrade() -> None:
    op.add_column("quote", sa.Column("used_by", sa.Text(), nullable=True))
    op.execute("UPDATE quote q SET used_by = t.id FROM transfer t WHERE t.quote_id = q.id")
