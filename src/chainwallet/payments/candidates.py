"""Requests on their way through acceptance: what is known of each so far, and the holds that it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from chainwallet.controls.decisions import Allow, Decision
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.payees import Party, PayeeRef
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    HoldPart,
    HoldRequest,
    InsufficientFunds,
    Refused,
    ensure_accounts,
    place_holds,
    release_holds,
)
from chainwallet.payments.quotes import Quote, QuoteLiquidityGone
from chainwallet.records.idempotency import Claim

ROUTE = "POST /v1/transfers"


class PayerUnknown(ChainwalletError):
    code = "PAYER_UNKNOWN"
    status = 404


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """One transfer asked for. `idempotency_key` with `body_sha256` makes it happen once however often it is asked."""

    quote_id: str
    payer_id: str
    payee: PayeeRef
    principal: Principal
    idempotency_key: str | None = None
    body_sha256: bytes = b""
    purpose: str | None = None
    reference: str | None = None
    end_to_end_id: str | None = None
    uetr: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a request: its transfer's id, and the JSON text that describes it as it was accepted."""

    transfer_id: str
    body: str


@dataclass(slots=True)
class Candidate:
    """A request on its way through the checks; `outcome` is set as soon as it is decided."""

    request: TransferRequest
    transfer_id: str = field(default_factory=lambda: new_id("trf"))
    outcome: Accepted | Exception | None = None
    follows: int | None = None
    quote: Quote = None  # type: ignore[assignment]  # set by the first check, or the outcome is
    payer: Party = None  # type: ignore[assignment]
    payee: Party | None = None
    payee_address: str = ""
    decision: Decision = field(default_factory=Allow)
    value_eur_units: int = 0
    legs: list[dict[str, Any]] = field(default_factory=list)
    nonce: int | None = None

    @property
    def waits(self) -> bool:
        return self.outcome is None and self.follows is None

    @property
    def source_account(self) -> AccountKey:
        return AccountKey(self.payer.id, self.quote.source_currency, AccountKind.CUSTOMER)

    def claim(self) -> Claim:
        key = self.request.idempotency_key
        assert key is not None
        return Claim(self.request.principal.tenant_id, ROUTE, key, self.request.body_sha256, self.transfer_id)


class Refusal(Exception):
    """Marks an outcome that must free its idempotency key again: the error itself is its cause."""


def refuse(error: ChainwalletError) -> Refusal:
    refusal = Refusal()
    refusal.__cause__ = error
    return refusal


def hold(session: Session, candidates: Sequence[Candidate]) -> None:
    """Hold the payer's source amount and, where it is funded by makers, what they sell; both or neither."""
    if not candidates:
        return
    needed = {c.source_account for c in candidates} | {seller(leg) for c in candidates for leg in c.legs}
    accounts = ensure_accounts(session, sorted(needed))
    requests = [request for c in candidates for request in _hold_requests(c, accounts)]
    outcomes = iter(place_holds(session, requests))
    undone = []
    for c in candidates:
        payer_hold = next(outcomes)
        legs_hold = next(outcomes) if c.legs and isinstance(c.decision, Allow) else None
        if isinstance(payer_hold, Refused):
            c.outcome = refuse(_insufficient(c, payer_hold))
            undone.append(f"{c.transfer_id}:legs")
        elif isinstance(legs_hold, Refused):
            c.outcome = refuse(QuoteLiquidityGone("A maker behind this quote has sold out; ask for a new quote."))
            undone.append(c.transfer_id)
        else:
            c.nonce = payer_hold.nonce
    if undone:
        release_holds(session, undone)


def seller(leg: dict[str, Any]) -> AccountKey:
    return AccountKey(leg["maker_id"], leg["sell"], AccountKind.CUSTOMER)


def _hold_requests(c: Candidate, accounts: dict[AccountKey, int]) -> list[HoldRequest]:
    account_id = accounts[c.source_account]
    signs_now = isinstance(c.decision, Allow)  # a payment in review takes its nonce when it is released
    part = HoldPart(account_id, int(c.quote.source_units))
    reference = c.transfer_id if signs_now else f"{c.transfer_id}:review"
    requests = [HoldRequest(reference, (part,), account_id if signs_now else None)]
    if c.legs and signs_now:
        sold: Counter[AccountKey] = Counter()
        for leg in c.legs:
            sold[seller(leg)] += int(leg["sold_units"])
        parts = tuple(HoldPart(accounts[key], units) for key, units in sorted(sold.items()))
        requests.append(HoldRequest(f"{c.transfer_id}:legs", parts, None))
    return requests


def _insufficient(c: Candidate, refused: Refused) -> InsufficientFunds:
    available = Money(c.quote.source_currency, max(refused.available_units, 0))
    needed = Money(c.quote.source_currency, int(c.quote.source_units))
    return InsufficientFunds(
        f"The payer has {available} available and the payment takes {needed}; deposit more or send less."
    )
