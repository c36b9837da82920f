"""What the ledger decides, on figures alone: no database here."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import UnknownCurrency
from chainwallet.ledger import (
    NONCE_MAX,
    AccountFrozen,
    AccountKey,
    AccountKind,
    EntryDraft,
    Frozen,
    Held,
    HoldConflict,
    HoldPart,
    HoldRequest,
    HoldStatus,
    HoldView,
    InsufficientFunds,
    InvalidEntry,
    InvalidHold,
    NoncesSpent,
    Refused,
    UnbalancedEntry,
    UnknownAccount,
)
from chainwallet.ledger.accounts import LockedAccount
from chainwallet.ledger.holds import Unnumbered, decide_holds
from chainwallet.ledger.journal import BookedEntry, Booking, decide_entries

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, HUB, DOLLARS = 1, 2, 3, 4


def _accounts(**figures: tuple[int, int]) -> dict[int, LockedAccount]:
    """A, B and HUB in EUR and DOLLARS in USD; `a=(100, 40)` gives A 100 posted and 40 held."""
    kinds = {A: AccountKind.CUSTOMER, B: AccountKind.CUSTOMER, HUB: AccountKind.HUB, DOLLARS: AccountKind.CUSTOMER}
    names = {A: "a", B: "b", HUB: "hub", DOLLARS: "dollars"}
    return {
        key: LockedAccount(
            key, "USD" if key == DOLLARS else "EUR", kind, *figures.get(names[key], (0, 0)), 0, bytes(32)
        )
        for key, kind in kinds.items()
    }


def _ask(reference: str, *parts: tuple[int, int], nonce: bool = False) -> HoldRequest:
    return HoldRequest(reference, tuple(HoldPart(*part) for part in parts), parts[0][0] if nonce else None)


def _book(accounts: dict[int, LockedAccount], *entries: EntryDraft, holds: tuple[HoldView, ...] = ()) -> Booking:
    return decide_entries(accounts, {}, holds, entries, now=NOW)


@pytest.mark.parametrize(
    ("asks", "outcomes"),
    [
        #  of A's 100 available and B's 10
        ([_ask("h1", (A, 100))], [Held(None)]),
        ([_ask("h1", (A, 101))], [Refused(A, 100, 101)]),
        ([_ask("h1", (A, 60)), _ask("h2", (A, 60)), _ask("h3", (A, 40))], [Held(None), Refused(A, 40, 60), Held(None)]),
        ([_ask("h1", (A, 100), (B, 11)), _ask("h2", (A, 100))], [Refused(B, 10, 11), Held(None)]),
        ([_ask("h1", (A, 1), nonce=True), _ask("h2", (A, 100), nonce=True)], [Held(1), Refused(A, 99, 100)]),
        ([_ask("h1", (A, 101), nonce=True), _ask("h2", (A, 1), nonce=True)], [Refused(A, 100, 101), Held(1)]),
        ([_ask("h1", (A, 1), nonce=True), _ask("h2", (B, 1), nonce=True)], [Held(1), Held(1)]),
        ([_ask("h1", (A, 90), nonce=True), _ask("h1", (A, 90), nonce=True)], [Held(1), Held(1)]),
        ([_ask("h1", (A, 101)), _ask("h1", (A, 100))], [Refused(A, 100, 101), Held(None)]),
        ([_ask("h1", (HUB, 10**24))], [Held(None)]),
    ],
)
def test_decide_holds__in_order(asks: list[HoldRequest], outcomes: list[Held | Refused]) -> None:
    assert decide_holds(_accounts(a=(140, 40), b=(10, 0)), [], asks).outcomes == outcomes


def test_decide_holds__writes_one_row_per_part_and_advances_the_figures() -> None:
    accounts = _accounts(a=(100, 0), b=(10, 0))
    placement = decide_holds(accounts, [], [_ask("h1", (A, 60), (B, 10), nonce=True), _ask("h2", (A, 41))])
    assert placement.rows == [
        HoldView("h1", A, 60, 1, HoldStatus.OPEN, None),
        HoldView("h1", B, 10, None, HoldStatus.OPEN, None),
    ]
    assert [(a.held_units, a.last_nonce) for a in accounts.values()] == [(60, 1), (10, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    "standing",
    [
        [HoldView("h1", A, 61, None, HoldStatus.OPEN, None)],
        [HoldView("h1", B, 60, None, HoldStatus.OPEN, None)],
        [HoldView("h1", A, 60, 7, HoldStatus.OPEN, None)],
        [HoldView("h1", A, 60, None, HoldStatus.RELEASED, None)],
        [HoldView("h1", A, 60, None, HoldStatus.CAPTURED, 1)],
        [HoldView("h1", A, 60, None, HoldStatus.OPEN, None), HoldView("h1", B, 1, None, HoldStatus.OPEN, None)],
    ],
)
def test_decide_holds__under_a_used_reference__conflicts(standing: list[HoldView]) -> None:
    with pytest.raises(HoldConflict):
        decide_holds(_accounts(a=(100, 0), b=(100, 0)), standing, [_ask("h1", (A, 60))])


def test_refused__becomes_the_error_to_raise() -> None:
    error = Refused(A, 40, 60).error()
    assert isinstance(error, InsufficientFunds)
    assert (error.code, error.status, error.retryable) == ("LEDGER_INSUFFICIENT_FUNDS", 409, False)
    assert error.context == {"account_id": A, "available_units": "40", "needed_units": "60"}


def test_decide_holds__on_a_frozen_account__refused_with_its_figures_and_why() -> None:
    accounts = _accounts(a=(140, 40), b=(10, 0))
    accounts[A].is_frozen = True
    outcomes = decide_holds(accounts, [], [_ask("h1", (B, 2), (A, 60)), _ask("h2", (B, 10))]).outcomes
    assert outcomes == [Frozen(A, 100, 60), Held(None)]
    error = outcomes[0].error() if isinstance(outcomes[0], Frozen) else None
    assert isinstance(error, AccountFrozen)
    assert error.context == {"account_id": A}
    assert error.detail == (
        "This account is being reconciled with the chain and can promise nothing now; try again later."
    )


def test_decide_holds__every_number_cancelled__refused_with_its_figures_and_why() -> None:
    accounts = _accounts(a=(140, 40), b=(10, 0))
    accounts[A].last_nonce = NONCE_MAX
    outcomes = decide_holds(accounts, [], [_ask("h1", (A, 60), (B, 1), nonce=True), _ask("h2", (A, 60))]).outcomes
    assert outcomes == [Unnumbered(A, 100, 60), Held(None)]
    error = outcomes[0].error() if isinstance(outcomes[0], Unnumbered) else None
    assert isinstance(error, NoncesSpent)
    assert error.context == {"account_id": A}
    assert error.detail == (
        "The owner has cancelled every order that this account could still sign; pay from another account."
    )


@pytest.mark.parametrize(
    ("postings", "code"),
    [
        #  A has 100 posted and 40 held, B has 10
        (((A, -60), (B, 60)), None),
        (((A, -61), (B, 61)), "LEDGER_INSUFFICIENT_FUNDS"),
        (((B, -11), (A, 11)), "LEDGER_INSUFFICIENT_FUNDS"),
        (((HUB, -(10**30)), (A, 10**30)), None),
        (((A, -10), (B, 9)), "LEDGER_UNBALANCED_ENTRY"),
        (((A, -10), (B, 11)), "LEDGER_UNBALANCED_ENTRY"),
        (((A, -10), (DOLLARS, 10)), "LEDGER_UNBALANCED_ENTRY"),
        (((A, 10),), "LEDGER_UNBALANCED_ENTRY"),
    ],
)
def test_decide_entries__postings(postings: tuple[tuple[int, int], ...], code: str | None) -> None:
    accounts = _accounts(a=(100, 40), b=(10, 0))
    if code is None:
        assert len(_book(accounts, EntryDraft("payment", "p1", postings)).postings) == len(postings)
    else:
        with pytest.raises(ChainwalletError) as refused:
            _book(accounts, EntryDraft("payment", "p1", postings))
        assert refused.value.code == code


def test_decide_entries__an_entry_may_use_an_earlier_one__not_a_later_one() -> None:
    fund, spend = EntryDraft("deposit", "d1", ((HUB, -5), (A, 5))), EntryDraft("payment", "p1", ((A, -5), (B, 5)))
    assert [row.balance_units for row in _book(_accounts(), fund, spend).postings] == [-5, 5, 0, 5]
    with pytest.raises(InsufficientFunds):
        _book(_accounts(), spend, fund)


def test_decide_entries__captures_before_it_posts__once() -> None:
    hold = HoldView("h1", A, 100, 1, HoldStatus.OPEN, None)
    pay = EntryDraft("payment", "p1", ((A, -100), (B, 100)), ("h1",))
    accounts = _accounts(a=(100, 100))
    booking = _book(accounts, pay, pay, holds=(hold,))
    assert booking.entries == [pay]
    assert booking.captured == [(("payment", "p1"), hold)]
    assert (accounts[A].posted_units, accounts[A].held_units) == (0, 0)
    again = EntryDraft("payment", "p2", ((A, -1), (B, 1)), ("h1",))
    for entries, holds in [((pay, again), (hold,)), ((again,), ()), ((again,), (_closed(hold),))]:
        with pytest.raises(ChainwalletError, match="open holds"):
            _book(_accounts(a=(200, 100)), *entries, holds=holds)


def _closed(hold: HoldView) -> HoldView:
    return HoldView(hold.reference, hold.account_id, hold.units, hold.nonce, HoldStatus.RELEASED, None)


def test_decide_entries__standing_entries__are_skipped_or_conflict() -> None:
    standing = {("payment", "p1"): BookedEntry(9, frozenset({(A, -5), (B, 5)}))}
    same = EntryDraft("payment", "p1", ((B, 5), (A, -5)), ("a hold long captured",))
    assert decide_entries(_accounts(), standing, [], [same], now=NOW) == Booking()
    with pytest.raises(ChainwalletError) as refused:
        decide_entries(_accounts(), standing, [], [EntryDraft("payment", "p1", ((B, 6), (A, -6)))], now=NOW)
    assert refused.value.code == "LEDGER_ENTRY_CONFLICT"
    twice = EntryDraft("deposit", "d1", ((HUB, -5), (A, 5))), EntryDraft("deposit", "d1", ((HUB, -6), (A, 6)))
    with pytest.raises(ChainwalletError, match="other postings"):
        _book(_accounts(), *twice)


@pytest.mark.parametrize(
    ("reference", "parts", "nonce_on"),
    [
        ("", ((A, 1),), None),
        ("x" * 129, ((A, 1),), None),
        ("line\nbreak", ((A, 1),), None),
        ("h1", (), None),
        ("h1", ((A, 0),), None),
        ("h1", ((A, -1),), None),
        ("h1", ((A, 1), (B, 0)), None),
        ("h1", ((A, True),), None),
        ("h1", ((A, 1.0),), None),
        ("h1", ((A, 1), (A, 1)), None),
        ("h1", ((A, 1),), B),
    ],
)
def test_hold_request__that_makes_no_sense__is_refused(
    reference: str, parts: tuple[tuple[int, int], ...], nonce_on: int | None
) -> None:
    with pytest.raises(InvalidHold):
        HoldRequest(reference, tuple(HoldPart(*part) for part in parts), nonce_on)


@pytest.mark.parametrize(
    ("kind", "reference", "postings", "capture"),
    [
        ("", "p1", ((A, -1), (B, 1)), ()),
        ("Payment", "p1", ((A, -1), (B, 1)), ()),
        ("x" * 33, "p1", ((A, -1), (B, 1)), ()),
        ("payment", "", ((A, -1), (B, 1)), ()),
        ("payment", "p\x00", ((A, -1), (B, 1)), ()),
        ("payment", "p1", (), ()),
        ("payment", "p1", ((A, 0), (B, 0)), ()),
        ("payment", "p1", ((A, -1), (A, 1)), ()),
        ("payment", "p1", ((A, -1.0), (B, 1.0)), ()),
        ("payment", "p1", ((A, False), (B, 1)), ()),
        ("payment", "p1", ((A, -1), (B, 1)), ("h1", "h1")),
    ],
)
def test_entry_draft__that_makes_no_sense__is_refused(
    kind: str, reference: str, postings: tuple[tuple[int, int], ...], capture: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidEntry):
        EntryDraft(kind, reference, postings, capture)


def test_account_key__is_checked_and_sorts() -> None:
    with pytest.raises(UnknownCurrency):
        AccountKey("A", "EURO", AccountKind.CUSTOMER)
    with pytest.raises(UnknownAccount):
        AccountKey("", "EUR", AccountKind.CUSTOMER)
    with pytest.raises(ValueError, match="savings"):
        AccountKey("A", "EUR", "savings")  # type: ignore[arg-type]
    keys = [AccountKey("B", "EUR", AccountKind.CUSTOMER), AccountKey("A", "USD", AccountKind.CUSTOMER)]
    assert sorted(keys) == keys[::-1]


def test_refused_entries__say_how_much_is_missing() -> None:
    with pytest.raises(UnbalancedEntry) as unbalanced:
        _book(_accounts(a=(100, 0)), EntryDraft("payment", "p1", ((A, -10), (B, 9), (DOLLARS, 2))))
    assert unbalanced.value.context == {
        "kind": "payment",
        "reference": "p1",
        "excess_units": {"EUR": "-1", "USD": "2"},
    }
    with pytest.raises(InsufficientFunds) as short:
        _book(_accounts(a=(100, 40)), EntryDraft("payment", "p1", ((A, -63), (B, 63))))
    assert short.value.context == {"account_id": A, "kind": "payment", "reference": "p1", "short_units": "3"}
