"""The journal: entries are posted once, and close the holds that reserved for them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import pipelined
from chainwallet.ledger.accounts import LockedAccount, lock_accounts
from chainwallet.ledger.errors import EntryConflict, HoldNotOpen, InsufficientFunds, InvalidEntry, UnbalancedEntry
from chainwallet.ledger.holds import HoldView, holds_of
from chainwallet.ledger.models import HoldStatus
from chainwallet.ledger.seals import micros, posting_seal, sql_hold_seal
from chainwallet.ledger.sql import int_array, is_label, run

_KIND = re.compile(r"[a-z_]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """An entry to be: `postings` are (account id, units), positive where the owner's claim rises.

    `capture` names the holds that reserved for it. Raises LEDGER_INVALID_ENTRY when it makes no sense by itself.
    """

    kind: str
    reference: str
    postings: tuple[tuple[int, int], ...]
    capture: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        accounts = {account_id for account_id, _ in self.postings}
        if not _KIND.fullmatch(self.kind) or not is_label(self.reference):
            raise InvalidEntry("An entry's kind is a-z and _, its reference 1 to 128 printable characters.")
        if not self.postings or len(accounts) != len(self.postings):
            raise InvalidEntry("An entry has postings, each on another account.", reference=self.reference)
        if any(type(units) is not int or units == 0 for _, units in self.postings):
            raise InvalidEntry("A posting is a whole number of units other than zero.", reference=self.reference)
        if len(set(self.capture)) != len(self.capture):
            raise InvalidEntry("An entry captures a hold once.", reference=self.reference)

    @property
    def name(self) -> tuple[str, str]:
        return self.kind, self.reference


@dataclass(frozen=True, slots=True)
class BookedEntry:
    """An entry that stands in the journal."""

    id: int
    postings: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class PostingRow:
    name: tuple[str, str]
    account_id: int
    units: int
    balance_units: int
    seal: bytes


@dataclass(slots=True)
class Booking:
    """What `decide_entries` came to: the entries that are new and everything that follows from them."""

    entries: list[EntryDraft] = field(default_factory=list)
    postings: list[PostingRow] = field(default_factory=list)
    captured: list[tuple[tuple[str, str], HoldView]] = field(default_factory=list)


def capture_and_post(session: Session, entries: Sequence[EntryDraft]) -> list[int | None]:
    """Post these entries in order and close the holds they capture: all of them, or an error and none.

    The id of each entry, or None for one that stands already: nothing of it is applied again. Raises
    LEDGER_UNBALANCED_ENTRY, LEDGER_ENTRY_CONFLICT (it stands with other postings), LEDGER_HOLD_NOT_OPEN,
    LEDGER_INSUFFICIENT_FUNDS (an entry may not rely on a later one), LEDGER_UNKNOWN_ACCOUNT; each before
    anything is written. Seven statements, whatever the number of entries.
    """
    if not entries:
        return []
    references = [reference for entry in entries for reference in entry.capture]
    accounts = lock_accounts(
        session, {account_id for entry in entries for account_id, _ in entry.postings}, references=references
    )
    now = utc_now()
    standing = booked_entries(session, entries)
    booking = decide_entries(accounts, standing, holds_of(session, references), entries, now=now)
    ids = _write(session, booking, now) if booking.entries else {}
    return [ids.pop(entry.name, None) for entry in entries]


def decide_entries(
    accounts: Mapping[int, LockedAccount],
    booked: Mapping[tuple[str, str], BookedEntry],
    holds: Iterable[HoldView],
    entries: Sequence[EntryDraft],
    *,
    now: datetime,
) -> Booking:
    """Decide on figures that are locked, advancing them; pure but for that."""
    standing = {name: entry.postings for name, entry in booked.items()}
    open_holds: dict[str, list[HoldView]] = defaultdict(list)
    for hold in holds:
        if hold.status is HoldStatus.OPEN:
            open_holds[hold.reference].append(hold)
    booking = Booking()
    for entry in entries:
        if entry.name in standing:
            _must_be_the_same(entry, standing[entry.name])
            continue
        standing[entry.name] = frozenset(entry.postings)
        _must_balance(entry, accounts)
        booking.entries.append(entry)
        _capture(entry, accounts, open_holds, booking)
        _post(entry, accounts, booking, micros(now))
    return booking


def _must_be_the_same(entry: EntryDraft, postings: frozenset[tuple[int, int]]) -> None:
    if frozenset(entry.postings) != postings:
        raise EntryConflict(
            "This entry stands in the journal with other postings; book the difference under its own reference.",
            kind=entry.kind,
            reference=entry.reference,
        )


def _must_balance(entry: EntryDraft, accounts: Mapping[int, LockedAccount]) -> None:
    sums: dict[str, int] = defaultdict(int)
    for account_id, units in entry.postings:
        sums[accounts[account_id].currency] += units
    if excess := {code: str(units) for code, units in sums.items() if units}:
        raise UnbalancedEntry(
            "The postings of an entry sum to zero in each currency; these do not.",
            kind=entry.kind,
            reference=entry.reference,
            excess_units=excess,
        )


def _capture(
    entry: EntryDraft, accounts: Mapping[int, LockedAccount], open_holds: dict[str, list[HoldView]], booking: Booking
) -> None:
    for reference in entry.capture:
        holds = open_holds.pop(reference, [])
        if not holds:
            raise HoldNotOpen(
                "An entry captures open holds; this one is closed or was never placed.",
                reference=reference,
                entry=entry.reference,
            )
        for hold in holds:
            accounts[hold.account_id].held_units -= hold.units
            booking.captured.append((entry.name, hold))


def _post(entry: EntryDraft, accounts: Mapping[int, LockedAccount], booking: Booking, created_us: int) -> None:
    for account_id, units in entry.postings:
        account = accounts[account_id]
        account.posted_units += units
        if account.available_units < 0 and not account.may_go_negative:
            raise InsufficientFunds(
                "An entry would take more than the account has available.",
                account_id=account_id,
                kind=entry.kind,
                reference=entry.reference,
                short_units=str(-account.available_units),
            )
        account.seal = posting_seal(
            account.seal,
            kind=entry.kind,
            reference=entry.reference,
            created_us=created_us,
            units=units,
            balance_units=account.posted_units,
        )
        booking.postings.append(PostingRow(entry.name, account_id, units, account.posted_units, account.seal))


_BOOKED = """
SELECT e.kind, e.reference, e.id, p.account_id, p.units::text
FROM unnest(%(kinds)s::text[], %(references)s::text[]) AS u(kind, reference)
JOIN journal_entry e USING (kind, reference)
LEFT JOIN posting p ON p.entry_id = e.id
"""


def booked_entries(session: Session, entries: Sequence[EntryDraft]) -> dict[tuple[str, str], BookedEntry]:
    """Which of the entries stand already; conclusive, because whoever books them locks the same accounts."""
    names = sorted({entry.name for entry in entries})
    rows = run(session, _BOOKED, kinds=[kind for kind, _ in names], references=[name for _, name in names])
    found: dict[tuple[str, str], tuple[int, set[tuple[int, int]]]] = {}
    for kind, reference, entry_id, account_id, units in rows:
        _, postings = found.setdefault((kind, reference), (entry_id, set()))
        postings.add((account_id, int(units)))
    return {name: BookedEntry(entry_id, frozenset(postings)) for name, (entry_id, postings) in found.items()}


_INSERT_ENTRIES = """
INSERT INTO journal_entry (kind, reference, created_at)
SELECT kind, reference, %(now)s
FROM unnest(%(kinds)s::text[], %(references)s::text[]) WITH ORDINALITY AS u(kind, reference, place)
ORDER BY place
RETURNING id, kind, reference
"""

_CAPTURE = f"""
UPDATE hold SET status = 'captured', closed_at = %(now)s, entry_id = u.entry, seal = {
    sql_hold_seal(status="'captured'", closed_at="%(now)s::timestamptz", entry_id="u.entry")
}
FROM unnest(%(references)s::text[], %(ids)s::bigint[], %(entries)s::bigint[]) AS u(held_under, held_on, entry)
WHERE reference = u.held_under AND account_id = u.held_on AND status = 'open'
"""

_MOVE = """
UPDATE account a SET posted_units = a.posted_units + u.posted, held_units = a.held_units - u.freed,
                     seal = coalesce(decode(u.seal, 'hex'), a.seal)
FROM unnest(%(ids)s::bigint[], %(posted)s::numeric[], %(freed)s::numeric[], %(seals)s::text[])
  AS u(id, posted, freed, seal)
WHERE a.id = u.id
"""

_INSERT_POSTINGS = """
INSERT INTO posting (entry_id, account_id, units, balance_units, seal)
SELECT entry_id, account_id, units, balance_units, decode(seal, 'hex')
FROM unnest(%(entries)s::bigint[], %(ids)s::bigint[], %(units)s::numeric[], %(balances)s::numeric[], %(seals)s::text[])
  AS u(entry_id, account_id, units, balance_units, seal)
"""


def _write(session: Session, booking: Booking, now: datetime) -> dict[tuple[str, str], int]:
    rows = run(
        session,
        _INSERT_ENTRIES,
        now=now,
        kinds=[entry.kind for entry in booking.entries],
        references=[entry.reference for entry in booking.entries],
    )
    ids = {(kind, reference): int(entry_id) for entry_id, kind, reference in rows}
    with pipelined(session):
        if booking.captured:
            run(
                session,
                _CAPTURE,
                now=now,
                references=[hold.reference for _, hold in booking.captured],
                ids=int_array(hold.account_id for _, hold in booking.captured),
                entries=int_array(ids[name] for name, _ in booking.captured),
            )
        _write_figures(session, booking)
        run(
            session,
            _INSERT_POSTINGS,
            entries=int_array(ids[row.name] for row in booking.postings),
            ids=int_array(row.account_id for row in booking.postings),
            units=int_array(row.units for row in booking.postings),
            balances=int_array(row.balance_units for row in booking.postings),
            seals=[row.seal.hex() for row in booking.postings],
        )
    return ids


def _write_figures(session: Session, booking: Booking) -> None:
    posted: dict[int, int] = defaultdict(int)
    freed: dict[int, int] = defaultdict(int)
    seals: dict[int, str] = {}
    for row in booking.postings:
        posted[row.account_id] += row.units
        seals[row.account_id] = row.seal.hex()
    for _, hold in booking.captured:
        freed[hold.account_id] += hold.units
    touched = sorted({*posted, *freed})
    run(
        session,
        _MOVE,
        ids=int_array(touched),
        posted=int_array(posted[account_id] for account_id in touched),
        freed=int_array(freed[account_id] for account_id in touched),
        seals=[seals.get(account_id) for account_id in touched],
    )
