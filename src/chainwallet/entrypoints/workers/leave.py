"""Exits: those asked for here go to the hub, and those whose delay has passed are paid out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from sqlmodel import Session

from chainwallet.bootstrap import Services
from chainwallet.chain.errors import CallReverted
from chainwallet.chain.indexer import followed_tip
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.payments.exits import (
    TRY_AGAIN_S,
    Exit,
    ExitStatus,
    SignedExit,
    due_exits,
    fail_exit,
    payout_of,
    put_off,
    sign_request,
    store_exit_call,
)
from chainwallet.settlement.lanes import Fees

_log = structlog.get_logger(__name__)

SOON_S = 1.0  # a request that waits for payments ahead of it, or for a chain that is behind
# A chain that mines only when asked dates what is called by its last block: a payout goes out this long after its time.
CLOCKS_DIFFER_S = 15.0


def find_due(session: Session) -> list[Exit]:
    """Exits with something to send now."""
    tip = followed_tip(session)
    chain_time = datetime.fromtimestamp(0 if tip is None else tip.timestamp, UTC)
    return due_exits(session, chain_time=chain_time)


def leave_step(
    services: Services, due: list[Exit], *, fees: Callable[[], Fees], is_behind: Callable[[datetime], bool]
) -> bool:
    """Send what is due, each after a simulation; whether any was. `is_behind` says that the chain lacks what we booked.

    Before batches: what a request's nonce passes over has settled, and what comes after it goes out after it.
    """
    sent = 0
    for row in due:
        signed = _sign(services, row) if row.status == ExitStatus.PLACED else payout_of(row)
        if signed is not None and _may_go(services, row, signed, is_behind):
            sent += _store(services, signed, fees())
    if sent:
        services.wake("submit")
    return bool(sent)


def _sign(services: Services, row: Exit) -> SignedExit | None:
    with services.database.transaction() as session:
        try:
            signed = sign_request(session, row.id, vault=services.vault, domain=services.domain)
        except ChainwalletError as error:
            fail_exit(session, row.id, code=error.code, detail=error.detail)
            return None
        if signed is None:
            put_off(session, row.id, delay_s=SOON_S)
    return signed


def _may_go(services: Services, row: Exit, signed: SignedExit, is_behind: Callable[[datetime], bool]) -> bool:
    """Whether the hub would take the call now; otherwise the exit is put off, or a request that is in vain fails."""
    try:
        services.node.call(services.hub.address, signed.data, sender=services.operator.address)
    except CallReverted as reverted:
        return _is_refusal_of_an_old_clock(row, reverted) or _refused(services, row, reverted, is_behind)
    return True


def _is_refusal_of_an_old_clock(row: Exit, reverted: CallReverted) -> bool:
    ready_at = row.available_at
    late = ready_at is not None and utc_now() > ready_at + timedelta(seconds=CLOCKS_DIFFER_S)
    return reverted.name == "ExitNotYet" and late


def _refused(services: Services, row: Exit, reverted: CallReverted, is_behind: Callable[[datetime], bool]) -> bool:
    _log.warning("exit_simulation_reverted", exit=row.id, error=reverted.name)
    soon = reverted.name in ("NonceStale", "ExitNotYet")
    soon = soon or (reverted.name == "ExitFundsShort" and is_behind(row.created_at))
    with services.database.transaction() as session:
        if soon or row.status != ExitStatus.PLACED:
            put_off(session, row.id, delay_s=SOON_S if soon else TRY_AGAIN_S)
        else:
            detail = f"The settlement contract would refuse the request ({reverted.name}); nothing was moved."
            fail_exit(session, row.id, code="EXIT_REFUSED_BY_HUB", detail=detail)
    return False


def _store(services: Services, signed: SignedExit, fees: Fees) -> bool:
    with services.database.transaction() as session:
        stored = store_exit_call(
            session,
            signed,
            hub=services.hub.address,
            signer=services.operator,
            chain_id=services.node.chain_id,
            fees=fees,
        )
    return stored is not None
