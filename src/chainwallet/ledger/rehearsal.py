"""What posting would lack: decided on figures that are only glanced at, so that promises can be given up first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlmodel import Session

from chainwallet.kit.clock import utc_now
from chainwallet.ledger.accounts import glance_at_accounts
from chainwallet.ledger.errors import InsufficientFunds
from chainwallet.ledger.holds import HoldView, holds_of
from chainwallet.ledger.journal import EntryDraft, booked_entries, decide_entries


@dataclass(frozen=True, slots=True)
class Shortage:
    """An entry, by (kind, reference), that an account lacks `units` for."""

    name: tuple[str, str]
    account_id: int
    units: int


class Rehearsal:
    """Entries tried on the figures as they stand now: nothing is locked and nothing changes.

    What it says may be out of date by the time the entries are posted; posting decides again.
    """

    def __init__(self, session: Session, entries: Sequence[EntryDraft]) -> None:
        self._holds = holds_of(session, [reference for entry in entries for reference in entry.capture])
        held_on = {hold.account_id for hold in self._holds}
        self._accounts = glance_at_accounts(session, held_on | {key for entry in entries for key, _ in entry.postings})
        self._booked = booked_entries(session, entries)

    def shortage(self, entries: Sequence[EntryDraft], given_back: Iterable[HoldView]) -> Shortage | None:
        """The first of the entries that cannot be posted, these holds being given back before; None if all can.

        The entries are those of the rehearsal, or fewer, capturing the same holds, or fewer.
        """
        accounts = {key: replace(account) for key, account in self._accounts.items()}
        gone = set()
        for hold in given_back:
            gone.add((hold.reference, hold.account_id))
            if hold.account_id in accounts:
                accounts[hold.account_id].held_units -= hold.units
        holds = [hold for hold in self._holds if (hold.reference, hold.account_id) not in gone]
        try:
            decide_entries(accounts, self._booked, holds, entries, now=utc_now())
        except InsufficientFunds as error:
            found = error.context
            return Shortage((found["kind"], found["reference"]), found["account_id"], int(found["short_units"]))
        return None
