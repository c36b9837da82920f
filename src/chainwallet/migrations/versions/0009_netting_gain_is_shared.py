"""netting's gain is shared"""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BATCH = ("gain_usd_units", "gain_payers_usd_units", "gain_makers_usd_units")


def _units(name: str) -> sa.Column[Decimal]:
    return sa.Column(name, sa.Numeric(precision=38, scale=0), server_default="0", nullable=False)


def upgrade() -> None:
    op.add_column("quote", _units("spread_units"))
    op.add_column("payment_order", _units("spread_units"))
    for name in _BATCH:
        op.add_column("batch", _units(name))
    op.create_table(
        "batch_share",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("party", sa.String(), nullable=False),
        sa.Column("is_makers", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "party", name=op.f("pk_batch_share")),
    )


def downgrade() -> None:
    op.drop_table("batch_share")
    for name in reversed(_BATCH):
        op.drop_column("batch", name)
    op.drop_column("payment_order", "spread_units")
    op.drop_column("quote", "spread_units")
