"""What owners do on chain by themselves: they leave, change their mind, and cancel orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlmodel import Session

from chainwallet.chain.indexer import OpenEvent
from chainwallet.kit.money import currency_by_id
from chainwallet.ledger import AccountKey
from chainwallet.payments.exits import Seen, exit_ended, exit_requested
from chainwallet.reconciliation.drafts import Draft, Owners, hub_account, place_of
from chainwallet.settlement.orders import cancelled_orders

_KINDS = {"ExitRequested": "exit_request", "ExitCancelled": "exit_cancel", "Exited": "exit"}
EVENTS = frozenset({*_KINDS, "OrdersCancelled"})


@dataclass(slots=True)
class OwnersActs:
    """What follows from them: entries, orders that their payers cancelled, nonces to pass, holds of exits overtaken."""

    drafts: list[Draft] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    passed: dict[AccountKey, int] = field(default_factory=dict)
    release: list[str] = field(default_factory=list)


def follow_owners(session: Session, events: Sequence[OpenEvent], owners: Owners) -> OwnersActs:
    """Follow the owners' events, in the chain's order: their exits at once, all else for the caller to book."""
    acts = OwnersActs()
    for event, reference, nonce in _named(events):
        if event.name == "OrdersCancelled":
            _cancel_orders(session, event, owners, acts)
        else:
            acts.drafts.append(_exit(session, event, reference, nonce, owners, acts))
    return acts


def _named(events: Sequence[OpenEvent]) -> Iterator[tuple[OpenEvent, str, int | None]]:
    """Each event with its name, and the nonce that the signed order spent, for a request that was made by one.

    An event is named by its transaction and counted within it: a log's index in its block changes when a fork includes
    it elsewhere. The hub tells of a signed order's nonce just before the request.
    """
    counts: Counter[tuple[str, str]] = Counter()
    before: OpenEvent | None = None
    for event in events:
        if event.name not in EVENTS:
            continue
        counts[event.tx_hash, event.name] += 1
        spent = before is not None and (before.name, before.tx_hash, before.key1, before.log_index + 1) == (
            "OrdersCancelled",
            event.tx_hash,
            event.key1,
            event.log_index,
        )
        nonce = int(before.payload["nonce"]) if spent and before is not None else None
        yield event, f"{event.tx_hash}/{counts[event.tx_hash, event.name]}", nonce
        before = event


def _cancel_orders(session: Session, event: OpenEvent, owners: Owners, acts: OwnersActs) -> None:
    payer, nonce = event.payload["account"], int(event.payload["nonce"])
    if owners.customer(payer) is None:
        return  # nobody's orders here
    code = currency_by_id(event.payload["currency"]).code
    key = owners.account(payer, code)
    acts.passed[key] = max(nonce, acts.passed.get(key, 0))
    acts.cancelled += cancelled_orders(session, payer=payer, currency=code, up_to_nonce=nonce)


def _exit(
    session: Session, event: OpenEvent, reference: str, nonce: int | None, owners: Owners, acts: OwnersActs
) -> Draft:
    account, units = event.payload["account"], int(event.payload["amount"])
    code = currency_by_id(event.payload["currency"]).code
    position, leaving = owners.account(account, code), owners.leaving(account, code)
    draft = Draft(_KINDS[event.name], reference, place_of(event))
    customer_id = owners.customer(account)
    if event.name == "ExitRequested":
        draft.move(position, leaving, units)
        if customer_id is not None:
            seen = Seen(
                name=reference,
                customer_id=customer_id,
                account=account,
                recipient=event.payload["recipient"],
                currency=code,
                units=units,
                available_at=datetime.fromtimestamp(int(event.payload["availableAt"]), UTC),
                nonce=nonce,
            )
            ours, overtaken = exit_requested(session, seen)
            draft.capture += [] if ours is None else [ours]
            acts.release += overtaken
        return draft
    is_paid = event.name == "Exited"
    draft.move(leaving, hub_account(code) if is_paid else position, units)
    if customer_id is not None:
        exit_ended(session, name=f"{draft.kind}/{reference}", customer_id=customer_id, code=code, is_paid=is_paid)
    return draft
