"""Holds: units set aside for something that will happen, with the order nonce that goes with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import pipelined
from chainwallet.kit.errors import ChainwalletError
from chainwallet.ledger.accounts import LockedAccount, lock_accounts
from chainwallet.ledger.errors import AccountFrozen, HoldConflict, InsufficientFunds, InvalidHold, NoncesSpent
from chainwallet.ledger.models import HoldStatus
from chainwallet.ledger.seals import sql_hold_seal
from chainwallet.ledger.sql import int_array, is_label, run


@dataclass(frozen=True, slots=True)
class HoldPart:
    """`units` of one account."""

    account_id: int
    units: int


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Hold all the parts under `reference`, or none; allocate the next nonce of one part's account if asked to.

    Raises LEDGER_INVALID_HOLD when it makes no sense by itself.
    """

    reference: str
    parts: tuple[HoldPart, ...]
    nonce_account_id: int | None = None

    def __post_init__(self) -> None:
        accounts = {part.account_id for part in self.parts}
        if not is_label(self.reference):
            raise InvalidHold("A hold's reference is 1 to 128 printable characters.")
        if not self.parts or len(accounts) != len(self.parts):
            raise InvalidHold("A hold has one part or more, each on another account.", reference=self.reference)
        if any(type(part.units) is not int or part.units <= 0 for part in self.parts):
            raise InvalidHold("A hold's parts are whole units above zero.", reference=self.reference)
        if self.nonce_account_id is not None and self.nonce_account_id not in accounts:
            raise InvalidHold("A nonce is allocated on an account that the hold is on.", reference=self.reference)


@dataclass(frozen=True, slots=True)
class Held:
    """The hold stands; `nonce` is its order's, if one was asked for."""

    nonce: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of the request was held: this account has `available_units` of the `needed_units`."""

    account_id: int
    available_units: int
    needed_units: int

    def error(self) -> ChainwalletError:
        """The refusal as the error to raise to a caller."""
        return InsufficientFunds(
            "The account has less available than the payment needs; add funds or send less.",
            account_id=self.account_id,
            available_units=str(self.available_units),
            needed_units=str(self.needed_units),
        )


@dataclass(frozen=True, slots=True)
class Unnumbered(Refused):
    """Nothing was held: the account's owner has cancelled, on chain, every order that could still be numbered."""

    def error(self) -> ChainwalletError:
        return nonces_spent(self.account_id)


@dataclass(frozen=True, slots=True)
class Frozen(Refused):
    """Nothing was held: of this account the books and the chain do not say the same."""

    def error(self) -> ChainwalletError:
        return AccountFrozen(
            "This account is being reconciled with the chain and can promise nothing now; try again later.",
            account_id=self.account_id,
        )


def nonces_spent(account_id: int) -> NoncesSpent:
    return NoncesSpent(
        "The owner has cancelled every order that this account could still sign; pay from another account.",
        account_id=account_id,
    )


HoldOutcome = Held | Refused


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold as it stands in the books."""

    reference: str
    account_id: int
    units: int
    nonce: int | None
    status: HoldStatus
    entry_id: int | None


@dataclass(slots=True)
class Placement:
    """What `decide_holds` came to: an outcome per request and the rows that make them true."""

    outcomes: list[HoldOutcome] = field(default_factory=list)
    rows: list[HoldView] = field(default_factory=list)


def place_holds(session: Session, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
    """Hold what each request asks for, in order: an earlier one may use up what a later one needs.

    A refused request changes nothing and burns no nonce. A request whose reference already holds exactly
    its parts gets the first one's outcome again. Raises LEDGER_HOLD_CONFLICT when that reference holds
    anything else or is closed, LEDGER_UNKNOWN_ACCOUNT. Four statements, whatever the number of requests.
    """
    if not requests:
        return []
    accounts = lock_accounts(session, {part.account_id for request in requests for part in request.parts})
    placement = decide_holds(accounts, holds_of(session, [request.reference for request in requests]), requests)
    if placement.rows:
        _write(session, placement.rows)
    return placement.outcomes


def place_bundles(
    session: Session, bundles: Sequence[Sequence[HoldRequest]], accounts: Mapping[int, LockedAccount]
) -> list[list[Held] | Refused]:
    """Hold, for each bundle in order, all that its requests ask for, or nothing of it.

    `accounts` are locked by this transaction, with every account of the requests among them; the references are
    new, and the database refuses one that is not. A refused bundle changes nothing and burns no nonce. Two statements.
    """
    outcomes: list[list[Held] | Refused] = []
    rows: list[HoldView] = []
    for bundle in bundles:
        refused = _shortage(accounts, bundle)
        if refused is not None:
            outcomes.append(refused)
            continue
        decided = [_decide(accounts, request) for request in bundle]
        outcomes.append([outcome for outcome, _ in decided if isinstance(outcome, Held)])
        rows += [row for _, held in decided for row in held]
    if rows:
        _write(session, rows)
    return outcomes


def _shortage(accounts: Mapping[int, LockedAccount], bundle: Sequence[HoldRequest]) -> Refused | None:
    needed: dict[int, int] = defaultdict(int)
    for request in bundle:
        for part in request.parts:
            needed[part.account_id] += part.units
    for account_id, units in needed.items():
        account = accounts[account_id]
        if account.is_frozen:
            return Frozen(account_id, account.available_units, units)
        if account.available_units < units and not account.may_go_negative:
            return Refused(account_id, account.available_units, units)
    return next((refused for request in bundle if (refused := _unnumbered(accounts, request)) is not None), None)


def _unnumbered(accounts: Mapping[int, LockedAccount], request: HoldRequest) -> Unnumbered | None:
    lane = request.nonce_account_id
    if lane is None or accounts[lane].has_nonces_left:
        return None
    needed = next(part.units for part in request.parts if part.account_id == lane)
    return Unnumbered(lane, accounts[lane].available_units, needed)


def decide_holds(
    accounts: Mapping[int, LockedAccount], existing: Iterable[HoldView], requests: Sequence[HoldRequest]
) -> Placement:
    """Decide on figures that are locked, advancing them; pure but for that."""
    known: dict[str, list[HoldView]] = defaultdict(list)
    for hold in existing:
        known[hold.reference].append(hold)
    placement = Placement()
    for request in requests:
        if request.reference in known:
            placement.outcomes.append(_again(request, known[request.reference]))
            continue
        outcome, rows = _frozen(accounts, request) or _decide(accounts, request)
        placement.outcomes.append(outcome)
        placement.rows += rows
        if rows:
            known[request.reference] = rows
    return placement


def _frozen(accounts: Mapping[int, LockedAccount], request: HoldRequest) -> tuple[HoldOutcome, list[HoldView]] | None:
    for part in request.parts:
        account = accounts[part.account_id]
        if account.is_frozen:
            return Frozen(part.account_id, account.available_units, part.units), []
    return None


def _decide(accounts: Mapping[int, LockedAccount], request: HoldRequest) -> tuple[HoldOutcome, list[HoldView]]:
    for part in request.parts:
        account = accounts[part.account_id]
        if account.available_units < part.units and not account.may_go_negative:
            return Refused(part.account_id, account.available_units, part.units), []
    if (refused := _unnumbered(accounts, request)) is not None:
        return refused, []
    nonce = None
    if request.nonce_account_id is not None:
        lane = accounts[request.nonce_account_id]
        nonce = lane.last_nonce = lane.last_nonce + 1
    rows = []
    for part in request.parts:
        accounts[part.account_id].held_units += part.units
        own = nonce if part.account_id == request.nonce_account_id else None
        rows.append(HoldView(request.reference, part.account_id, part.units, own, HoldStatus.OPEN, None))
    return Held(nonce), rows


def _again(request: HoldRequest, holds: Sequence[HoldView]) -> Held:
    nonce = next((hold.nonce for hold in holds if hold.nonce is not None), None)
    on = next((hold.account_id for hold in holds if hold.nonce is not None), None)
    parts = {(part.account_id, part.units) for part in request.parts}
    same = {(hold.account_id, hold.units) for hold in holds} == parts
    if not same or on != request.nonce_account_id or any(hold.status is not HoldStatus.OPEN for hold in holds):
        raise HoldConflict(
            "This reference already holds something else, or its hold is closed; use a new reference.",
            reference=request.reference,
        )
    return Held(nonce)


_ADD_HELD = """
UPDATE account a SET held_units = a.held_units + u.units, last_nonce = greatest(a.last_nonce, u.nonce)
FROM unnest(%(ids)s::bigint[], %(units)s::numeric[], %(nonces)s::bigint[]) AS u(id, units, nonce)
WHERE a.id = u.id
"""

_INSERT = f"""
INSERT INTO hold (reference, account_id, units, nonce, status, placed_at, seal)
SELECT reference, account_id, units, nonce, 'open', %(now)s, {
    sql_hold_seal(status="'open'", placed_at="%(now)s::timestamptz", closed_at="NULL::timestamptz", entry_id="NULL")
}
FROM unnest(%(references)s::text[], %(ids)s::bigint[], %(units)s::numeric[], %(nonces)s::bigint[])
  AS u(reference, account_id, units, nonce)
"""


def _write(session: Session, rows: Sequence[HoldView]) -> None:
    held: dict[int, int] = defaultdict(int)
    nonces: dict[int, int] = defaultdict(int)
    for row in rows:
        held[row.account_id] += row.units
        nonces[row.account_id] = max(nonces[row.account_id], row.nonce or 0)
    run(
        session,
        _ADD_HELD,
        ids=int_array(held),
        units=int_array(held.values()),
        nonces=int_array(nonces[account_id] for account_id in held),
    )
    run(
        session,
        _INSERT,
        now=utc_now(),
        references=[row.reference for row in rows],
        ids=int_array(row.account_id for row in rows),
        units=int_array(row.units for row in rows),
        nonces=int_array(row.nonce for row in rows),
    )


_OF = """
SELECT reference, account_id, units::text, nonce, status, entry_id FROM hold
WHERE reference = ANY(%(references)s::text[]) ORDER BY reference, account_id
"""


def holds_of(session: Session, references: Iterable[str]) -> list[HoldView]:
    """The holds under these references, open and closed, by reference and account."""
    wanted = sorted(set(references))
    rows = run(session, _OF, references=wanted) if wanted else []
    return [
        HoldView(reference, account_id, int(units), nonce, HoldStatus(status), entry_id)
        for reference, account_id, units, nonce, status, entry_id in rows
    ]


def open_holds(session: Session, account_id: int) -> list[HoldView]:
    """What is held on this account, the youngest hold first."""
    rows = run(session, _OPEN_ON, account=account_id)
    return [
        HoldView(reference, account_id, int(units), nonce, HoldStatus.OPEN, None) for reference, units, nonce in rows
    ]


_OPEN_ON = """
SELECT reference, units::text, nonce FROM hold WHERE account_id = %(account)s AND status = 'open'
ORDER BY placed_at DESC, nonce DESC NULLS LAST, reference DESC
"""

_RELEASE = f"""
WITH closed AS (
  UPDATE hold SET status = 'released', closed_at = %(now)s, seal = {
    sql_hold_seal(status="'released'", closed_at="%(now)s::timestamptz")
}
  WHERE reference = ANY(%(references)s::text[]) AND status = 'open'
    AND (%(account)s::bigint IS NULL OR account_id = %(account)s::bigint)
  RETURNING reference, account_id, units
), freed AS (
  UPDATE account a SET held_units = a.held_units - c.units
  FROM (SELECT account_id, sum(units) AS units FROM closed GROUP BY account_id) c
  WHERE a.id = c.account_id
)
SELECT count(DISTINCT reference) FROM closed
"""


def release_holds(session: Session, references: Iterable[str], *, account_id: int | None = None) -> int:
    """Give back what is held under these references; how many of them had an open hold.

    With `account_id` only what is held on that account. References that are unknown or closed are passed over, so
    calling it again changes nothing. Two statements.
    """
    wanted = sorted(set(references))
    if not wanted:
        return 0
    lock_accounts(session, (), references=wanted)
    return int(run(session, _RELEASE, references=wanted, account=account_id, now=utc_now())[0][0])


def swap_holds(session: Session, *, release: Sequence[str], place: HoldRequest | None) -> HoldOutcome | None:
    """Give back what is held under these references, and hold something else instead; None without `place`.

    Refused when even with what is given back there is too little: then nothing is changed. `place` asks for no
    nonce, and its reference is new. Three statements, of which the last two are sent together.
    """
    given_back = [hold for hold in holds_of(session, release) if hold.status is HoldStatus.OPEN]
    parts = {part.account_id for part in place.parts} if place is not None else set()
    accounts = lock_accounts(session, {hold.account_id for hold in given_back} | parts)
    for hold in given_back:
        accounts[hold.account_id].held_units -= hold.units
    outcome, rows = _decide(accounts, place) if place is not None else (None, [])
    if not isinstance(outcome, Refused):
        with pipelined(session):
            if given_back:
                references = [hold.reference for hold in given_back]
                run(session, _RELEASE, references=references, account=None, now=utc_now())
            if rows:
                _write(session, rows)
    return outcome
