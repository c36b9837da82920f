"""Returns at the original rate: their second half, paid out when the first has settled."""

from __future__ import annotations

import time

import structlog

from chainwallet.bootstrap import Services
from chainwallet.kit.errors import ChainwalletError

_log = structlog.get_logger(__name__)

TRY_AGAIN_S = 30.0


class ReturnPayer:
    """Pays out what is owed. What is refused, for want of money or of a market, is tried again until it is paid."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._not_before: dict[str, float] = {}

    def step(self) -> bool:
        """One pass. Whether it paid anything."""
        services, now = self._services, time.monotonic()
        with services.database.transaction() as session:
            self._not_before = {key: at for key, at in self._not_before.items() if at > now}
            due = services.returns.owed(session, besides=self._not_before)
        paid = [transfer_id for transfer_id in due if self._pay(transfer_id)]
        if paid:
            services.wake("settle")
        return bool(paid)

    def _pay(self, transfer_id: str) -> bool:
        try:
            with self._services.database.transaction() as session:
                self._services.returns.pay_out(session, transfer_id)
        except ChainwalletError as refusal:
            self._not_before[transfer_id] = time.monotonic() + TRY_AGAIN_S
            _log.warning("return_not_paid_out", transfer=transfer_id, code=refusal.code, detail=refusal.detail)
            return False
        return True
