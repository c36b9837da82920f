"""Requests on their way through acceptance: what is known of each so far, and the holds that it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from chainwallet.controls.decisions import Allow, Decision
from chainwallet.controls.identity.access import may_act_for
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import Custody, CustomerSignsItself
from chainwallet.controls.identity.payees import Party, PayeeRef, PayeeUnknown, payees_query, resolve_payees
from chainwallet.keys.addresses import ZERO_ADDRESS
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import round_trip
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    Frozen,
    HoldPart,
    HoldRequest,
    InsufficientFunds,
    LockedAccount,
    Refused,
    Unnumbered,
    place_bundles,
)
from chainwallet.payments.quotes import (
    Quote,
    QuoteExpired,
    QuoteLiquidityGone,
    QuoteUnknown,
    QuoteUsed,
    quotes_query,
)
from chainwallet.payments.terms import Stated, Terms
from chainwallet.records.idempotency import Claim

ROUTE = "POST /v1/transfers"


class PayerUnknown(ChainwalletError):
    code = "PAYER_UNKNOWN"
    status = 404


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """One transfer asked for: `quote` is the id of a quote that was given, or one that was made for this request.

    `idempotency_key` with `body_sha256` makes it happen once however often it is asked. `return_of` is the transfer
    whose money this sends back.
    """

    quote: str | Quote
    payer_id: str
    payee: PayeeRef
    principal: Principal
    idempotency_key: str | None = None
    body_sha256: bytes = b""
    purpose: str | None = None
    reference: str | None = None
    end_to_end_id: str | None = None
    uetr: str | None = None
    return_of: str | None = None
    return_reason: str | None = None


def with_purpose(request: TransferRequest, terms: Terms | None) -> TransferRequest:
    """The request with the purpose that its quote was asked for, where it does not say one itself."""
    quoted = terms["stated"].get("purpose") if terms is not None else None
    return replace(request, purpose=quoted) if quoted is not None and request.purpose is None else request


def stated_by_parties(
    session: Session, principal: Principal, payer_id: str, payee: PayeeRef, *, purpose: str | None
) -> Stated:
    """What a corridor asks about a payment whose parties are named. PAYER_UNKNOWN; what the payee's name refuses."""
    payer, receiver = resolve_payees(session, [PayeeRef(customer_id=payer_id), payee])
    if not isinstance(payer, Party) or not may_act_for(principal, payer):
        raise unknown_payer()
    if isinstance(receiver, ChainwalletError):
        raise receiver
    return Stated.of_parties(payer, receiver if isinstance(receiver, Party) else None, purpose=purpose)


def unknown_payer() -> PayerUnknown:
    return PayerUnknown("No customer of yours has the id given as payer_id; check it.")


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
    uetr: str = ""
    outcome: Accepted | Exception | None = None
    follows: int | None = None
    quote: Quote = None  # type: ignore[assignment]  # set by the first check, or the outcome is
    payer: Party = None  # type: ignore[assignment]
    payee: Party | None = None
    payee_address: str = ""
    decision: Decision = field(default_factory=Allow)
    value_eur_units: int = 0
    legs: list[dict[str, Any]] = field(default_factory=list)
    is_reserved: bool = False  # the makers' quotes behind the legs
    nonce: int | None = None
    row: dict[str, Any] = field(default_factory=dict)
    body: str | None = None

    @property
    def waits(self) -> bool:
        return self.outcome is None and self.follows is None

    @property
    def source_account(self) -> AccountKey:
        return AccountKey(self.payer.id, self.quote.source_currency, AccountKind.CUSTOMER)

    def claim(self) -> Claim:
        """The idempotency key with the answer that it will have if the transfer comes to be."""
        key = self.request.idempotency_key
        assert key is not None
        tenant, status = self.request.principal.tenant_id, 201 if self.body is not None else None
        return Claim(tenant, ROUTE, key, self.request.body_sha256, self.transfer_id, status, self.body)


class Refusal(Exception):
    """Marks an outcome that must free its idempotency key again: the error itself is its cause."""


def refuse(error: ChainwalletError) -> Refusal:
    refusal = Refusal()
    refusal.__cause__ = error
    return refusal


def look_up(session: Session, candidates: Sequence[Candidate]) -> None:
    """Each payment's quote and parties, or why it cannot be; one round trip."""
    named = [c.request.quote for c in candidates if isinstance(c.request.quote, str)]
    refs = [c.request.payee for c in candidates] + [PayeeRef(customer_id=c.request.payer_id) for c in candidates]
    with round_trip(session) as trip:
        quotes, parties = trip.ask(quotes_query(named)), trip.ask(payees_query(refs))
    _take_quotes(candidates, quotes.read())
    found = parties.read()
    for c, payee, payer in zip(candidates, found, found[len(candidates) :], strict=False):
        if c.waits:
            _take_parties(c, payer, payee)


def _take_quotes(candidates: Sequence[Candidate], quotes: Mapping[str, tuple[Quote, bool]]) -> None:
    now, taken = utc_now(), set()
    for c in candidates:
        if not isinstance(c.request.quote, str):
            c.quote, c.legs = c.request.quote, c.request.quote.legs
            continue
        quote, is_used = quotes.get(c.request.quote, (None, False))
        if quote is None or (c.request.principal.customer_id or quote.owner_id) != quote.owner_id:
            c.outcome = refuse(QuoteUnknown("No quote of yours has this id; ask for a quote first."))
        elif is_used or quote.id in taken:
            c.outcome = refuse(QuoteUsed("This quote has made its transfer already; ask for a new quote."))
        elif quote.expires_at <= now:
            c.outcome = refuse(QuoteExpired(f"This quote expired at {_stamp(quote.expires_at)}; ask for a new one."))
        else:
            c.quote, c.legs = quote, quote.legs
            taken.add(quote.id)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _take_parties(c: Candidate, payer: Party | str | ChainwalletError, payee: Party | str | ChainwalletError) -> None:
    if not isinstance(payer, Party) or not may_act_for(c.request.principal, payer):
        c.outcome = refuse(unknown_payer())
    elif payer.custody is Custody.EXTERNAL:
        c.outcome = refuse(CustomerSignsItself("The payer keeps its own key, so that we cannot sign its payments."))
    elif isinstance(payee, ChainwalletError):
        c.outcome = refuse(payee)
    elif payee == ZERO_ADDRESS:
        c.outcome = refuse(PayeeUnknown("The zero address is nobody's; name the payee by their own address."))
    else:
        c.payer = payer
        c.payee, c.payee_address = (None, payee) if isinstance(payee, str) else (payee, payee.address)


def hold(session: Session, candidates: Sequence[Candidate], accounts: Mapping[AccountKey, LockedAccount]) -> None:
    """Hold the payer's source amount and, where it is funded by makers, what they sell; both or neither.

    `accounts` are those of the candidates, locked; one that was never opened is missing.
    """
    bundles = {}
    for index, c in enumerate(candidates):
        if c.source_account not in accounts:
            c.outcome = refuse(_insufficient(c, 0))
        elif any(seller(leg) not in accounts for leg in c.legs):
            c.outcome = refuse(_sold_out())
        else:
            bundles[index] = _hold_requests(c, accounts)
    by_id = {account.id: account for account in accounts.values()}
    for index, outcome in zip(bundles, place_bundles(session, list(bundles.values()), by_id), strict=True):
        c = candidates[index]
        if not isinstance(outcome, Refused):
            c.nonce = outcome[0].nonce
        elif isinstance(outcome, Unnumbered) or _is_payer_frozen(outcome, accounts[c.source_account]):
            c.outcome = refuse(outcome.error())
        elif outcome.account_id == accounts[c.source_account].id:
            c.outcome = refuse(_insufficient(c, outcome.available_units))
        else:
            c.outcome = refuse(_sold_out())


def _is_payer_frozen(outcome: Refused, payer: LockedAccount) -> bool:
    return isinstance(outcome, Frozen) and outcome.account_id == payer.id


def accounts_of(candidates: Sequence[Candidate]) -> set[AccountKey]:
    """Every account that the candidates' holds are on."""
    return {c.source_account for c in candidates} | {seller(leg) for c in candidates for leg in c.legs}


def seller(leg: dict[str, Any]) -> AccountKey:
    return AccountKey(leg["maker_id"], leg["sell"], AccountKind.CUSTOMER)


def _hold_requests(c: Candidate, accounts: Mapping[AccountKey, LockedAccount]) -> list[HoldRequest]:
    account_id = accounts[c.source_account].id
    signs_now = isinstance(c.decision, Allow)  # a payment in review takes its nonce when it is released
    part = HoldPart(account_id, c.quote.source_units)
    reference = c.transfer_id if signs_now else f"{c.transfer_id}:review"
    requests = [HoldRequest(reference, (part,), account_id if signs_now else None)]
    if c.legs and signs_now:
        sold: Counter[AccountKey] = Counter()
        for leg in c.legs:
            sold[seller(leg)] += int(leg["sold_units"])
        parts = tuple(HoldPart(accounts[key].id, units) for key, units in sorted(sold.items()))
        requests.append(HoldRequest(f"{c.transfer_id}:legs", parts, None))
    return requests


def _insufficient(c: Candidate, available_units: int) -> InsufficientFunds:
    available = Money(c.quote.source_currency, max(available_units, 0))
    needed = Money(c.quote.source_currency, c.quote.source_units)
    return InsufficientFunds(
        f"The payer has {available} available and the payment takes {needed}; deposit more or send less."
    )


def _sold_out() -> QuoteLiquidityGone:
    return QuoteLiquidityGone("A maker behind this quote has sold out; ask for a new quote.")
