"""The anchor worker: from time to time, what everybody is owed is stated, and its root put on chain."""

from __future__ import annotations

import time

import structlog

from chainwallet.bootstrap import Services
from chainwallet.chain.fees import suggest
from chainwallet.entrypoints.workers.metrics import RESERVES_BLOCK
from chainwallet.reconciliation.claims import read_claims
from chainwallet.reconciliation.reserves import (
    LiabilitiesStatement,
    anchor_call,
    draft_statement,
    is_stated,
    store_statement,
)
from chainwallet.settlement.lanes import Fees, store_calls

_log = structlog.get_logger(__name__)


class Anchorer:
    """States reserves once every `reserves_every_s`, counted from this process's start; never if that is 0."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stated_at: float | None = None

    def step(self) -> bool:
        """One pass. Whether it stated anything."""
        every_s, now = self._services.settings.reserves_every_s, time.monotonic()
        if every_s == 0 or (self._stated_at is not None and now - self._stated_at < every_s):
            return False
        stated = state_reserves(self._services)
        self._stated_at = now
        return stated is not None


def state_reserves(services: Services) -> LiabilitiesStatement | None:
    """Store a statement with the signed transaction that anchors it, for the submit worker to send.

    None where the last statement is of the same second. Raises what `read_claims` and `draft_statement` raise, and
    CHAIN_CALL_REVERTED where the anchor would refuse it; nothing is stored then.
    """
    confirmations = services.settings.confirmations
    with services.database.transaction() as session:
        claims = read_claims(session, treasury=services.hub.treasury(), confirmations=confirmations)
    draft = draft_statement(claims, services.node, services.hub, services.deployment.tokens)
    with services.database.transaction() as session:
        if is_stated(session, draft.period):
            return None
    anchor = services.deployment.anchor
    services.node.call(anchor, draft.anchor_data, sender=services.operator.address)
    fees = Fees(*suggest(services.node, services.gas_price_max_wei))
    with services.database.transaction() as session:
        statement = store_statement(session, draft)
        if statement is None:
            return None
        call = anchor_call(statement, draft, anchor)
        store_calls(session, [call], signer=services.operator, chain_id=services.node.chain_id, fees=fees)
    RESERVES_BLOCK.set(statement.block_number)
    services.wake("submit")
    _log.info("reserves_stated", statement=statement.id, block=statement.block_number, records=draft.records)
    return statement
