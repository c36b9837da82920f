"""Order nonces: given anew where orders are signed again, and lifted above what owners cancelled on chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlmodel import Session

from chainwallet.ledger.accounts import lock_accounts
from chainwallet.ledger.errors import HoldNotOpen
from chainwallet.ledger.holds import HoldView, holds_of, nonces_spent
from chainwallet.ledger.models import NONCE_MAX, HoldStatus
from chainwallet.ledger.seals import sql_hold_seal
from chainwallet.ledger.sql import int_array, run

_RENEW = f"""
WITH renewed AS (
  UPDATE hold SET nonce = u.fresh, seal = {sql_hold_seal(nonce="u.fresh")}
  FROM unnest(%(renewed)s::text[], %(ids)s::bigint[], %(nonces)s::bigint[]) AS u(held_under, held_on, fresh)
  WHERE reference = u.held_under AND account_id = u.held_on AND status = 'open'
  RETURNING account_id, nonce
)
UPDATE account a SET last_nonce = r.nonce
FROM (SELECT account_id, max(nonce) AS nonce FROM renewed GROUP BY account_id) r
WHERE a.id = r.account_id
"""


def renew_nonces(session: Session, references: Sequence[str]) -> dict[str, int]:
    """Give the orders of these open holds fresh nonces, in this order, because they will be signed again.

    For orders that were overtaken: the hub takes only nonces above the last one it saw. Raises
    LEDGER_HOLD_NOT_OPEN for a reference without an open hold that has a nonce, LEDGER_NONCES_SPENT. Three statements.
    """
    return _number(session, references, lambda hold: hold.nonce is not None)


def number_holds(session: Session, references: Sequence[str]) -> dict[str, int]:
    """As `renew_nonces`, for open holds on a single account each that have had no nonce so far, or have had one."""
    return _number(session, references, lambda _: True)


def _number(session: Session, references: Sequence[str], is_lane: Callable[[HoldView], bool]) -> dict[str, int]:
    if not references:
        return {}
    accounts = lock_accounts(session, (), references=references)
    lanes = {
        hold.reference: hold.account_id
        for hold in holds_of(session, references)
        if is_lane(hold) and hold.status is HoldStatus.OPEN
    }
    if missing := sorted(set(references) - lanes.keys()):
        raise HoldNotOpen("Only an open hold with a nonce can have it renewed.", references=missing)
    nonces = {}
    for reference in dict.fromkeys(references):
        lane = accounts[lanes[reference]]
        if not lane.has_nonces_left:
            raise nonces_spent(lane.id)
        nonces[reference] = lane.last_nonce = lane.last_nonce + 1
    run(
        session,
        _RENEW,
        renewed=list(nonces),
        ids=int_array(lanes[reference] for reference in nonces),
        nonces=int_array(nonces.values()),
    )
    return nonces


_LIFT = """
UPDATE account a SET last_nonce = greatest(a.last_nonce, u.nonce),
                     cancelled_nonce = greatest(a.cancelled_nonce, u.nonce)
FROM unnest(%(ids)s::bigint[], %(nonces)s::bigint[]) AS u(id, nonce)
WHERE a.id = u.id
"""


def lift_nonces(session: Session, nonces: Mapping[int, int]) -> None:
    """Number the orders of these accounts, by id, above these nonces from now on: their owners cancelled up to there.

    Lower nonces than before change nothing. Two statements.
    """
    if not nonces:
        return
    lock_accounts(session, nonces)
    passed = int_array(min(nonce, NONCE_MAX) for nonce in nonces.values())
    run(session, _LIFT, ids=int_array(nonces), nonces=passed)
