"""Journal entries in the making, and whose accounts they are on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from chainwallet.chain.indexer import OpenEvent
from chainwallet.controls.identity import addresses_to_ids
from chainwallet.ledger import AccountKey, AccountKind, EntryDraft

TREASURY, CLEARING, HUB = "treasury", "clearing", "hub"


@dataclass(slots=True)
class Draft:
    """A journal entry in the making: postings by account, and the holds that it captures where they are open.

    `place` is where its last event stands on chain: entries are booked in that order, in which each was funded.
    """

    kind: str
    reference: str
    place: tuple[int, int]
    postings: dict[AccountKey, int] = field(default_factory=lambda: defaultdict(int))
    capture: list[str] = field(default_factory=list)

    def move(self, source: AccountKey, target: AccountKey, units: int) -> None:
        self.postings[source] -= units
        self.postings[target] += units

    def entry(self, ids: Mapping[AccountKey, int], capture: Sequence[str] = ()) -> EntryDraft:
        """The entry as the ledger takes it, by the accounts' ids, capturing these holds."""
        postings = tuple((ids[key], units) for key, units in self.postings.items() if units)
        return EntryDraft(self.kind, self.reference, postings, tuple(capture))


def place_of(event: OpenEvent) -> tuple[int, int]:
    return event.block_number, event.log_index


def customer_account(owner_id: str, code: str) -> AccountKey:
    return AccountKey(owner_id, code, AccountKind.CUSTOMER)


def clearing_account(code: str) -> AccountKey:
    return AccountKey(CLEARING, code, AccountKind.CLEARING)


def hub_account(code: str) -> AccountKey:
    return AccountKey(HUB, code, AccountKind.HUB)


def treasury_account(code: str) -> AccountKey:
    return AccountKey(TREASURY, code, AccountKind.TREASURY)


class Owners:
    """Who owns a position: a customer, the treasury, or the address itself where nobody here does."""

    def __init__(self, session: Session, addresses: Iterable[str], *, treasury: str) -> None:
        self._known = addresses_to_ids(session, sorted(set(addresses)))
        self._treasury = treasury

    def customer(self, address: str) -> str | None:
        """The id of the customer with this address."""
        return self._known.get(address)

    def account(self, address: str, code: str) -> AccountKey:
        """The account of what the address can spend."""
        if address == self._treasury:
            return treasury_account(code)
        return customer_account(self._known.get(address, address), code)

    def leaving(self, address: str, code: str) -> AccountKey:
        """The account of what the address has set aside to leave with."""
        return AccountKey(self.account(address, code).owner_id, code, AccountKind.EXIT)
