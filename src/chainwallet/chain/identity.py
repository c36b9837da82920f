"""Which chain this database belongs to: pinned at the first start, checked at every later one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime
from sqlmodel import Field, Session, SQLModel

from chainwallet.chain.errors import ChainIdentityMismatch
from chainwallet.chain.node import Node
from chainwallet.kit.clock import utc_now

_ONLY = 1


class ChainIdentity(SQLModel, table=True):
    """The one chain and hub that the books are kept for. A single row."""

    __tablename__ = "chain_identity"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: int = Field(default=_ONLY, primary_key=True)
    chain_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    genesis_hash: str
    hub: str
    pinned_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


def pin(session: Session, node: Node, hub: str) -> None:
    """Bind the database to this chain and hub, or check that it is bound to them: ChainIdentityMismatch if not.

    Idempotent. Asks the node nothing: chain id and genesis hash were read when it was opened.
    """
    pinned = session.get(ChainIdentity, _ONLY, with_for_update=True)
    if pinned is None:
        session.add(ChainIdentity(chain_id=node.chain_id, genesis_hash=node.genesis_hash, hub=hub, pinned_at=utc_now()))
        session.flush()
        return
    for what, theirs, ours in (
        ("chain id", node.chain_id, pinned.chain_id),
        ("genesis block", node.genesis_hash, pinned.genesis_hash),
        ("settlement hub", hub, pinned.hub),
    ):
        if theirs != ours:
            raise ChainIdentityMismatch(
                f"This database keeps the books of another chain: its {what} is {ours}, the one at hand has {theirs}. "
                "Point CHAINWALLET_CHAIN_URL at the chain that the database belongs to, or CHAINWALLET_DATA_DIR and "
                "CHAINWALLET_DATABASE_URL at a new one.",
                what=what,
                expected=ours,
                found=theirs,
            )
