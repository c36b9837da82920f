"""What everybody is owed, by address and currency, at a block that is final and that the books stand at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session

from chainwallet.chain.indexer import booked_up_to, final_block, followed_hash
from chainwallet.controls.identity import ids_to_addresses
from chainwallet.kit.errors import ChainwalletError
from chainwallet.ledger import MAY_GO_NEGATIVE
from chainwallet.reconciliation.drafts import TREASURY

Claim = tuple[str, str]
"""(checksummed address, ISO 4217 code)."""


class BooksNotFollowing(ChainwalletError):
    code = "RECONCILIATION_NO_FINAL_BLOCK"
    status = 503
    retryable = True


@dataclass(frozen=True, slots=True)
class Claims:
    """`units` above zero by claim, as the books stood at the block; what waits to leave the hub is still owed."""

    block_number: int
    block_hash: str
    units: Mapping[Claim, int]

    def totals(self) -> Counter[str]:
        """Units owed in each currency."""
        sums: Counter[str] = Counter()
        for (_, code), units in self.units.items():
            sums[code] += units
        return sums


def read_claims(session: Session, *, treasury: str, confirmations: int) -> Claims:
    """The claims in one snapshot: call it first in a transaction of its own. RECONCILIATION_NO_FINAL_BLOCK.

    The block is the last final one, or an earlier one if the books are behind it; of later ones nothing is booked.
    """
    session.connection().exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    booked, final = booked_up_to(session), final_block(session, confirmations)
    block_hash = None if booked is None or final is None else followed_hash(session, min(booked, final))
    if booked is None or final is None or block_hash is None:
        raise BooksNotFollowing("The books have not come to a final block of the chain yet; ask again shortly.")
    rows = session.connection().exec_driver_sql(
        """SELECT owner_id, currency, sum(posted_units) FROM account WHERE NOT kind = ANY(%(outside)s)
           GROUP BY owner_id, currency HAVING sum(posted_units) > 0""",
        {"outside": [str(kind) for kind in MAY_GO_NEGATIVE]},
    )
    owed = [(owner, code, int(units)) for owner, code, units in rows]
    addresses = ids_to_addresses(session, {owner for owner, _, _ in owed}) | {TREASURY: treasury}
    units: Counter[Claim] = Counter()
    for owner, code, owned in owed:
        units[addresses.get(owner, owner), code] += owned
    return Claims(min(booked, final), block_hash, units)
