"""Accepting transfers: every check, the hold, the signature and the order, in one commit for a whole group.

Locks are taken in one order everywhere (idempotency keys, quotes, makers' quotes, accounts), so that groups of
several processes cannot deadlock. Each request of a group gets its own outcome; a refusal leaves no trace.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from chainwallet.controls.corridors.store import Corridors
from chainwallet.controls.decisions import Allow, Deny, PaymentContext, Review, RuleSet
from chainwallet.controls.identity.authenticator import OPERATOR_ID, Principal
from chainwallet.controls.identity.payees import PayeeRef, parties_by_id
from chainwallet.controls.risk import RecentPayments
from chainwallet.keys.intents import Domain, PaymentOrder, memo_of
from chainwallet.keys.vault import Vault
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.kit.database import pipelined, round_trip
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_uetr
from chainwallet.kit.json_text import compact_json
from chainwallet.kit.money import Money, currency
from chainwallet.ledger import AccountKey, LockedAccount, lock_accounts_by_key, lock_by_key_query, release_holds
from chainwallet.market.rates import MidMarket, RateSource
from chainwallet.payments.admission import Admission
from chainwallet.payments.candidates import (
    Accepted,
    Candidate,
    Refusal,
    TransferRequest,
    accounts_of,
    hold,
    look_up,
    refuse,
)
from chainwallet.payments.funding import reroute, reserve_whole, sold_by
from chainwallet.payments.particulars import market_named, particulars
from chainwallet.payments.quotes import (
    OUTLIVES_S,
    quote_of,
    store_quotes,
)
from chainwallet.payments.transfers import (
    Transfer,
    TransferNotInReview,
    TransferStatus,
    advance,
    describe_row,
    find_transfer,
    open_transfers,
)
from chainwallet.records.idempotency import Conflict, Follows, Replay, Verdict, claims_query, judge, release
from chainwallet.settlement.makers import give_back, reserve_query
from chainwallet.settlement.orders import hash_of, place_orders


class Acceptance:
    """Accepts groups of transfers: see the module."""

    def __init__(
        self,
        *,
        vault: Vault,
        domain: Domain,
        rates: RateSource,
        rules: RuleSet,
        return_rules: RuleSet,
        settle_margin_s: int,
        corridors: Corridors | None = None,
    ) -> None:
        self._vault = vault
        self._domain = domain
        self._rates = rates
        self._rules = rules
        self._return_rules = return_rules
        self._settle_margin_s = settle_margin_s
        self._admission = Admission(corridors or Corridors(), rates)
        self._recent = RecentPayments()

    def accept(
        self, session: Session, requests: Sequence[TransferRequest], *, to_commit: bool = False
    ) -> list[Accepted | Exception]:
        """Accept what can be accepted; the outcomes are in the order of the requests.

        The database is waited for three times, whatever their number; with `to_commit` this is all that the
        transaction does, and its commit is part of the third.

        Refusals are ChainwalletErrors: QUOTE_*, CORRIDOR_REFUSED, PAYER_UNKNOWN, PAYEE_UNKNOWN,
        LEDGER_INSUFFICIENT_FUNDS, IDEMPOTENCY_KEY_REUSED. A payment that the rules decline is not an error: it is a
        transfer `declined`.
        """
        candidates = [Candidate(request) for request in requests]
        keyed = [c for c in candidates if c.request.idempotency_key is not None]
        look_up(session, candidates)
        self._admission.check_terms([c for c in candidates if c.waits])
        self._decide([c for c in candidates if c.waits])
        _describe([c for c in candidates if c.waits])
        fresh = _without_repeats([c for c in candidates if c.waits])
        funded = [c for c in fresh if isinstance(c.decision, Allow)]
        self._vault.signers(session, {c.payer.address for c in funded})  # one query for those not in memory
        accounts = self._claim_and_fund(session, keyed, funded, [c for c in fresh if isinstance(c.decision, Review)])
        self._admission.limit_exposure(session, [c for c in funded if c.waits])
        holding = [c for c in candidates if c.waits and not isinstance(c.decision, Deny)]
        with pipelined(session, to_commit=to_commit):
            hold(session, holding, accounts)
            give_back(session, sold_by([c for c in funded if c.is_reserved and not c.waits]))
            self._place(session, [c for c in funded if c.waits])
            recorded = [c for c in candidates if c.waits]
            _record(session, recorded)
            release(session, [c.claim() for c in keyed if c.follows is None and isinstance(c.outcome, Refusal)])
        self._note(recorded)
        return [_outcome(c, keyed) for c in candidates]

    def approve(self, session: Session, transfer_id: str) -> Transfer:
        """Let a transfer in review go on: funded by today's makers at the amounts that were quoted, signed, placed.

        TRANSFER_UNKNOWN, TRANSFER_NOT_IN_REVIEW, QUOTE_LIQUIDITY_GONE when today's makers ask for more; the code
        of a denial where a party was frozen meanwhile.
        """
        transfer = find_transfer(session, transfer_id)
        session.refresh(transfer, with_for_update=True)
        if transfer.status != TransferStatus.IN_REVIEW:
            raise TransferNotInReview(f"The transfer is {transfer.status}; only one in review can be approved.")
        c = self._revive(session, transfer)
        decision = self._rules.decide(self._context(c, recent_count=0, recent_value_eur_units=0))
        if isinstance(decision, Deny):
            raise decision.error()
        self._fund_elsewhere(session, [c])
        if c.waits:
            lock_accounts_by_key(session, accounts_of([c]))
            release_holds(session, [f"{transfer_id}:review"])
            accounts = lock_accounts_by_key(session, accounts_of([c]))
            self._admission.limit_exposure(session, [c])
        if c.waits:
            hold(session, [c], accounts)
        if c.waits:
            self._place(session, [c])
            advance(session, [transfer_id], TransferStatus.ACCEPTED)
        elif isinstance(c.outcome, Exception):
            raise c.outcome.__cause__ or c.outcome
        session.refresh(transfer)
        return transfer

    def _revive(self, session: Session, transfer: Transfer) -> Candidate:
        # Its order's deadline counts from the approval.
        quote = replace(quote_of(session, transfer.quote_id), expires_at=utc_now())
        request = TransferRequest(
            quote=quote,
            payer_id=transfer.payer_id,
            payee=PayeeRef(address=transfer.payee_address),
            principal=Principal(OPERATOR_ID, frozenset(), None),
            purpose=transfer.purpose,
            reference=transfer.reference,
            end_to_end_id=transfer.end_to_end_id,
        )
        parties = parties_by_id(session, {transfer.payer_id, transfer.payee_id or transfer.payer_id})
        return Candidate(
            request,
            transfer_id=transfer.id,
            uetr=transfer.uetr,
            quote=quote,
            payer=parties[transfer.payer_id],
            payee=parties[transfer.payee_id] if transfer.payee_id is not None else None,
            payee_address=transfer.payee_address,
        )

    def _decide(self, candidates: Sequence[Candidate]) -> None:
        now_s = time.monotonic()
        counts: Counter[str] = Counter()
        values: Counter[str] = Counter()
        for c in candidates:
            count, value_eur_units = self._recent.figures(c.payer.id, at_s=now_s)
            context = self._context(
                c,
                recent_count=count + counts[c.payer.id],
                recent_value_eur_units=value_eur_units + values[c.payer.id],
            )
            rules = self._rules if c.request.return_of is None else self._return_rules
            c.decision, c.value_eur_units = rules.decide(context), context.value_eur_units
            counts[c.payer.id] += 1
            values[c.payer.id] += context.value_eur_units

    def _note(self, candidates: Sequence[Candidate]) -> None:
        """Count what was accepted towards its payer's recent payments; what was refused after all counts nothing."""
        now_s = time.monotonic()
        for c in candidates:
            if isinstance(c.outcome, Accepted) and not isinstance(c.decision, Deny) and c.request.return_of is None:
                self._recent.note(c.payer.id, value_eur_units=c.value_eur_units, at_s=now_s)

    def _context(self, c: Candidate, *, recent_count: int, recent_value_eur_units: int) -> PaymentContext:
        source = Money(c.quote.source_currency, c.quote.source_units)
        return PaymentContext(
            payer=c.payer,
            payee=c.payee,
            source=source,
            value_eur_units=MidMarket(self._rates.fixing()).value_units(source.units, source.code, "EUR"),
            recent_count=recent_count,
            recent_value_eur_units=recent_value_eur_units,
            target_currency=c.quote.target_currency,
        )

    def _claim_and_fund(
        self,
        session: Session,
        keyed: Sequence[Candidate],
        funded: Sequence[Candidate],
        others: Sequence[Candidate],
    ) -> dict[AccountKey, LockedAccount]:
        """Claim the idempotency keys, and reserve the makers' quotes that price each payment of `funded`.

        Then the accounts that these and `others` will hold money on are locked, and returned. Where a maker's quote
        is gone, others are reserved that do it for the same amounts. What was reserved for a payment whose key turns
        out to be taken is given back by the caller.
        """
        claims = [c.claim() for c in keyed]
        with round_trip(session) as trip:
            won = trip.ask(claims_query(claims))
            reserving = trip.ask(reserve_query(sold_by(funded), lasting_s=OUTLIVES_S / 2))
            trip.savepoint("reserved")
            locking = trip.ask(lock_by_key_query(accounts_of([*funded, *others])))
        reserved = reserving.read()
        for c in funded:
            c.is_reserved = reserved.issuperset(leg["quote_id"] for leg in c.legs)
        for c, verdict in zip(keyed, judge(session, claims, won.read()), strict=True):
            _take_verdict(c, verdict)
        short = [c for c in funded if not c.is_reserved]
        if not short:
            return locking.read()
        session.connection().exec_driver_sql("ROLLBACK TO SAVEPOINT reserved")  # accounts are locked after all quotes
        give_back(session, {key: units for key, units in sold_by(short).items() if key in reserved})
        self._fund_elsewhere(session, [c for c in short if c.waits and not reserve_whole(session, c)])
        return lock_accounts_by_key(session, accounts_of([c for c in [*funded, *others] if c.waits]))

    def _fund_elsewhere(self, session: Session, candidates: Sequence[Candidate]) -> None:
        """A firm quote stays firm when its makers are gone, as long as others make the same amounts possible.

        What they ask more is paid out of the fee, never by the customer. One view of the market serves all of them,
        until one is refused over what those before it took.
        """
        view, is_fresh = None, False
        for c in candidates:
            while True:
                if view is None:
                    view, is_fresh = self._admission.view(session, lasting_s=OUTLIVES_S), True
                refusal = reroute(session, c, view)
                if refusal is None:
                    is_fresh = False
                elif not is_fresh:
                    view = None
                    continue
                else:
                    c.outcome = refuse(refusal)
                break

    def _place(self, session: Session, candidates: Sequence[Candidate]) -> None:
        """Sign each order with its payer's key and place it."""
        rows = []
        for c in candidates:
            assert c.nonce is not None
            order = self._order(c, c.nonce)
            signer = self._vault.signer(session, order.payer, owner_id=c.payer.id)
            rows.append(
                {
                    "id": c.transfer_id,
                    "payer": order.payer,
                    "payee": order.payee,
                    "source_currency": c.quote.source_currency,
                    "source_units": order.source_units,
                    "target_currency": c.quote.target_currency,
                    "target_units": order.target_units,
                    "fee_units": c.quote.fee_units,
                    "spread_units": c.quote.spread_units,
                    "nonce": order.nonce,
                    "deadline": order.deadline,
                    "memo": order.memo,
                    "signature": signer.sign_order(self._domain, order),
                    "order_hash": hash_of(self._domain, order),
                    "legs": c.legs,
                }
            )
        place_orders(session, rows)

    def _order(self, c: Candidate, nonce: int) -> PaymentOrder:
        details = particulars(
            uetr=c.uetr,
            purpose=c.request.purpose,
            reference=c.request.reference,
            end_to_end_id=c.request.end_to_end_id,
            market=market_named(c.quote),
            terms=c.quote.terms,
            return_of=c.request.return_of,
        )
        return PaymentOrder(
            payer=c.payer.address,
            payee=c.payee_address,
            source_currency=currency(c.quote.source_currency).id,
            source_units=c.quote.source_units,
            target_currency=currency(c.quote.target_currency).id,
            target_units=c.quote.target_units,
            nonce=nonce,
            deadline=unix_seconds(c.quote.expires_at) + self._settle_margin_s,
            memo=memo_of(details),
        )


def _outcome(c: Candidate, keyed: Sequence[Candidate]) -> Accepted | Exception:
    outcome = keyed[c.follows].outcome if c.follows is not None else c.outcome
    if isinstance(outcome, Refusal):
        assert isinstance(outcome.__cause__, ChainwalletError)
        return outcome.__cause__
    assert outcome is not None
    return outcome


def _without_repeats(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that are the first here with their idempotency key, or have none."""
    seen: set[tuple[str, str]] = set()
    found = []
    for c in candidates:
        if c.request.idempotency_key is not None:
            identity = c.request.principal.tenant_id, c.request.idempotency_key
            if identity in seen:
                continue
            seen.add(identity)
        found.append(c)
    return found


def _take_verdict(c: Candidate, verdict: Verdict) -> None:
    """What was asked before is answered as it was then, whatever would become of it now."""
    if isinstance(verdict, Replay):
        c.outcome = Accepted(verdict.resource_id, verdict.body or "{}")
    elif isinstance(verdict, Follows):
        c.follows = verdict.index
    elif isinstance(verdict, Conflict):
        c.outcome = verdict.error()


def _describe(candidates: Sequence[Candidate]) -> None:
    """Draft each transfer, and the answer that goes with it if it comes to be."""
    now = utc_now()
    for c in candidates:
        c.uetr = c.request.uetr or new_uetr()
        c.row = _row(c, now)
        c.body = compact_json(describe_row(c.row))


def _record(session: Session, candidates: Sequence[Candidate]) -> None:
    """Store the transfers and the quotes that were made for them, and tell the outbox."""
    if not candidates:
        return
    store_quotes(session, [c.quote for c in candidates if c.quote is c.request.quote])
    parties = [party for c in candidates for party in (c.payer, c.payee) if party is not None]
    open_transfers(session, [c.row for c in candidates], banks={party.id: party.bank_id for party in parties})
    for c in candidates:
        assert c.body is not None
        c.outcome = Accepted(c.transfer_id, c.body)


_STATUS = {Allow: TransferStatus.ACCEPTED, Review: TransferStatus.IN_REVIEW, Deny: TransferStatus.DECLINED}


def _row(c: Candidate, now: datetime) -> dict[str, Any]:
    status = _STATUS[type(c.decision)]
    declined = c.decision if isinstance(c.decision, Deny) else None
    return {
        "id": c.transfer_id,
        "uetr": c.uetr,
        "status": status,
        "payer_id": c.payer.id,
        "payee_id": c.payee.id if c.payee is not None else None,
        "payee_address": c.payee_address,
        "quote_id": c.quote.id,
        "source_currency": c.quote.source_currency,
        "source_units": c.quote.source_units,
        "target_currency": c.quote.target_currency,
        "target_units": c.quote.target_units,
        "fee_units": c.quote.fee_units,
        "cost_bps": c.quote.cost_bps,
        "purpose": c.request.purpose,
        "reference": c.request.reference,
        "end_to_end_id": c.request.end_to_end_id,
        "terms": c.quote.terms,
        "return_of": c.request.return_of,
        "return_reason": c.request.return_reason,
        "failure_code": declined.code if declined else None,
        "failure_detail": declined.detail if declined else None,
        "created_at": now,
        "accepted_at": now if status is TransferStatus.ACCEPTED else None,
        "submitted_at": None,
        "settled_at": None,
        "ended_at": now if status is TransferStatus.DECLINED else None,
    }
