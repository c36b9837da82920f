"""Books written as an accountant would: what is done, and what comes of it. Amounts are units."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chainwallet.kit.database import Database
from chainwallet.ledger import (
    NONCE_MAX,
    EntryConflict,
    EntryDraft,
    Held,
    HoldConflict,
    HoldNotOpen,
    HoldPart,
    HoldRequest,
    NoncesSpent,
    Refused,
    balances,
    balances_of,
    capture_and_post,
    lift_nonces,
    place_holds,
    release_holds,
    renew_nonces,
    statement,
    verify,
)

Play = Callable[[str], None]


def test_deposit__raises_the_claim_against_the_hub(play: Play) -> None:
    play("""
        post deposit d1  hub.EUR -100  A.EUR 100   -> posted
        balance hub.EUR                            -> -100 posted 0 held -100 available
        balance A.EUR                              ->  100 posted 0 held 100 available
    """)


def test_payment_across_currencies__leaves_clearing_empty_and_the_fee_with_the_treasury(play: Play) -> None:
    play("""
        post deposit d1  hub.EUR -100  A.EUR 100                                     -> posted
        post deposit d2  hub.USD -500  M.USD 500                                     -> posted
        order t1  A.EUR 100                                                          -> held nonce 1
        hold  t1:legs  M.USD 108                                                     -> held
        post payment t1  A.EUR -100 clearing.EUR 100 clearing.USD -107 B.USD 107  capture t1    -> posted
        post fills b1    M.USD -108 clearing.USD 108 M.EUR 99 clearing.EUR -99  capture t1:legs -> posted
        post surplus b1  clearing.EUR -1 treasury.EUR 1 clearing.USD -1 treasury.USD 1          -> posted
        balance A.EUR        ->   0 posted 0 held   0 available
        balance B.USD        -> 107 posted 0 held 107 available
        balance M.USD        -> 392 posted 0 held 392 available
        balance M.EUR        ->  99 posted 0 held  99 available
        balance treasury.EUR ->   1 posted 0 held   1 available
        balance treasury.USD ->   1 posted 0 held   1 available
        balance clearing.EUR ->   0 posted 0 held   0 available
        balance clearing.USD ->   0 posted 0 held   0 available
    """)


@pytest.mark.parametrize(
    ("posted", "first", "second", "outcome"),
    [
        #  A has   h1 asks   h2 asks   h2 is told
        (100, 60, 40, "held"),
        (100, 60, 41, "refused 40 of 41"),
        (100, 100, 1, "refused 0 of 1"),
        (100, 99, 1, "held"),
        (1, 1, 1, "refused 0 of 1"),
        (10**24, 10**24 - 1, 1, "held"),
        (10**24, 10**24 - 1, 2, "refused 1 of 2"),
    ],
)
def test_holds__share_what_is_available(play: Play, posted: int, first: int, second: int, outcome: str) -> None:
    play(f"""
        post deposit d1 hub.EUR -{posted} A.EUR {posted}  -> posted
        hold h1 A.EUR {first}                             -> held
        hold h2 A.EUR {second}                            -> {outcome}
    """)


def test_hold__on_an_account_without_funds__is_refused(play: Play) -> None:
    play("""
        hold h1 A.EUR 1  -> refused 0 of 1
        balance A.EUR    -> 0 posted 0 held 0 available
    """)


def test_hold_of_two_parts__holds_both_or_none(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100   -> posted
        post deposit d2 hub.EUR -10  B.EUR 10    -> posted
        hold h1 A.EUR 50 B.EUR 11                -> refused 10 of 11
        balance A.EUR                            -> 100 posted 0 held 100 available
        hold h1 A.EUR 50 B.EUR 10                -> held
        balance A.EUR                            -> 100 posted 50 held 50 available
        balance B.EUR                            -> 10 posted 10 held 0 available
    """)


def test_nonces__rise_by_one_per_account__and_a_refusal_burns_none(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100   -> posted
        post deposit d2 hub.USD -100 A.USD 100   -> posted
        order t1 A.EUR 40                        -> held nonce 1
        order t2 A.EUR 90                        -> refused 60 of 90
        order t3 A.EUR 40                        -> held nonce 2
        order t4 A.USD 10                        -> held nonce 1
        release t3                               -> 1
        order t5 A.EUR 40                        -> held nonce 3
    """)


def test_renewed_nonces__are_above_every_one_before(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100   -> posted
        order t1 A.EUR 40                        -> held nonce 1
        order t2 A.EUR 40                        -> held nonce 2
        renew t1                                 -> t1=3
        renew t2 t1                              -> t2=4 t1=5
        order t3 A.EUR 20                        -> held nonce 6
        hold h1 A.EUR 0                          -> LEDGER_INVALID_HOLD
        renew h1                                 -> LEDGER_HOLD_NOT_OPEN
        release t1                               -> 1
        renew t1                                 -> LEDGER_HOLD_NOT_OPEN
        renew t2                                 -> t2=7
    """)


def test_hold_again_under_its_reference__is_the_same_hold(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100   -> posted
        order t1 A.EUR 60                        -> held nonce 1
        order t1 A.EUR 60                        -> held nonce 1
        balance A.EUR                            -> 100 posted 60 held 40 available
        order t1 A.EUR 61                        -> LEDGER_HOLD_CONFLICT
        hold  t1 A.EUR 60                        -> LEDGER_HOLD_CONFLICT
        order t1 B.EUR 60                        -> LEDGER_HOLD_CONFLICT
        release t1                               -> 1
        order t1 A.EUR 60                        -> LEDGER_HOLD_CONFLICT
        balance A.EUR                            -> 100 posted 0 held 100 available
    """)


def test_release__gives_back_once(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100   -> posted
        hold h1 A.EUR 60                         -> held
        hold h2 A.EUR 10                         -> held
        release h1 h2 h1 nothing                 -> 2
        release h1 h2                            -> 0
        release                                  -> 0
        balance A.EUR                            -> 100 posted 0 held 100 available
    """)


def test_entry_again__is_skipped__unless_it_differs(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100   -> posted
        post deposit d1 hub.EUR -100 A.EUR 100   -> skipped
        post deposit d1 A.EUR 100 hub.EUR -100   -> skipped
        post refund  d1 hub.EUR -100 A.EUR 100   -> posted
        post deposit d1 hub.EUR -101 A.EUR 101   -> LEDGER_ENTRY_CONFLICT
        post deposit d1 hub.EUR -100 B.EUR 100   -> LEDGER_ENTRY_CONFLICT
        balance A.EUR                            -> 200 posted 0 held 200 available
    """)


def test_captured_hold__cannot_be_captured_or_released_again(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100            -> posted
        hold h1 A.EUR 60                                  -> held
        post payment p1 A.EUR -60 B.EUR 60 capture h1     -> posted
        post payment p1 A.EUR -60 B.EUR 60 capture h1     -> skipped
        post payment p2 A.EUR -40 B.EUR 40 capture h1     -> LEDGER_HOLD_NOT_OPEN
        post payment p3 A.EUR -40 B.EUR 40 capture never  -> LEDGER_HOLD_NOT_OPEN
        release h1                                        -> 0
        balance A.EUR                                     -> 40 posted 0 held 40 available
        balance B.EUR                                     -> 60 posted 0 held 60 available
    """)


def test_capture__frees_the_whole_hold_though_less_is_taken(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100            -> posted
        hold h1 A.EUR 60                                  -> held
        hold h2 A.EUR 40                                  -> held
        post fills b1 A.EUR -55 B.EUR 55 capture h1       -> posted
        balance A.EUR                                     -> 45 posted 40 held 5 available
    """)


def test_capture__of_more_than_was_held__needs_the_rest_available(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100            -> posted
        hold h1 A.EUR 60                                  -> held
        hold h2 A.EUR 35                                  -> held
        post fills b1 A.EUR -66 B.EUR 66 capture h1       -> LEDGER_INSUFFICIENT_FUNDS
        post fills b1 A.EUR -65 B.EUR 65 capture h1       -> posted
        balance A.EUR                                     -> 35 posted 35 held 0 available
    """)


def test_debit_without_hold__leaves_held_units_alone(play: Play) -> None:
    play("""
        post deposit d1 hub.EUR -100 A.EUR 100            -> posted
        hold h1 A.EUR 60                                  -> held
        post fee f1 A.EUR -41 treasury.EUR 41             -> LEDGER_INSUFFICIENT_FUNDS
        post fee f1 A.EUR -40 treasury.EUR 40             -> posted
        balance A.EUR                                     -> 60 posted 60 held 0 available
        post drain x treasury.EUR -41 B.EUR 41            -> LEDGER_INSUFFICIENT_FUNDS
    """)


@pytest.mark.parametrize(
    ("postings", "outcome"),
    [
        ("A.EUR 10 B.EUR -10", "LEDGER_INSUFFICIENT_FUNDS"),
        ("A.EUR -10 B.EUR 10", "posted"),
        ("A.EUR -10 B.EUR 9", "LEDGER_UNBALANCED_ENTRY"),
        ("A.EUR -10 B.EUR 11", "LEDGER_UNBALANCED_ENTRY"),
        ("A.EUR -10 B.USD 10", "LEDGER_UNBALANCED_ENTRY"),
        ("A.EUR -10 B.EUR 10 A.USD -5 B.USD 4", "LEDGER_UNBALANCED_ENTRY"),
        ("A.EUR -10", "LEDGER_UNBALANCED_ENTRY"),
        ("A.EUR -10 A.EUR 10", "LEDGER_INVALID_ENTRY"),
        ("A.EUR 0 B.EUR 0", "LEDGER_INVALID_ENTRY"),
        ("", "LEDGER_INVALID_ENTRY"),
        ("A.EUR -10 B.XXY 10", "MONEY_UNKNOWN_CURRENCY"),
    ],
)
def test_entry__sums_to_zero_in_each_currency(play: Play, postings: str, outcome: str) -> None:
    play(f"""
        post deposit d1 hub.EUR -10 A.EUR 10 hub.USD -4 A.USD 4  -> posted
        post payment p1 {postings}                               -> {outcome}
    """)


def test_holds_placed_together_on_one_account__add_up(
    database: Database, funded: Callable[..., dict[str, int]]
) -> None:
    account = funded(["A"], 100)["A"]
    requests = [HoldRequest(name, (HoldPart(account, units),), None) for name, units in (("h1", 30), ("h2", 50))]
    with database.transaction() as session:
        assert all(isinstance(outcome, Held) for outcome in place_holds(session, requests))
    with database.transaction() as session:
        assert balances_of(session, [account])[account].held_units == 80
        assert verify(session) == []


def test_release__of_one_account__leaves_what_others_hold_under_the_same_reference(
    database: Database, funded: Callable[..., dict[str, int]]
) -> None:
    accounts = funded(["A", "B"], 100)
    parts = tuple(HoldPart(account, 60) for account in accounts.values())
    with database.transaction() as session:
        place_holds(session, [HoldRequest("h1", parts, None)])
    with database.transaction() as session:
        assert release_holds(session, ["h1"], account_id=accounts["A"]) == 1
    with database.transaction() as session:
        held = {owner: balances_of(session, [account])[account].held_units for owner, account in accounts.items()}
        assert verify(session) == []
    assert held == {"A": 0, "B": 60}


def test_refusals__say_what_to_do_and_which_it_was(database: Database, funded: Callable[..., dict[str, int]]) -> None:
    account = funded(["A"], 100)["A"]
    with database.transaction() as session:
        place_holds(session, [HoldRequest("h1", (HoldPart(account, 60),), None)])
    with pytest.raises(HoldConflict) as taken, database.transaction() as session:
        place_holds(session, [HoldRequest("h1", (HoldPart(account, 61),), None)])
    assert taken.value.detail == (
        "This reference already holds something else, or its hold is closed; use a new reference."
    )
    assert taken.value.context == {"reference": "h1"}
    with database.transaction() as session:
        (refused,) = place_holds(session, [HoldRequest("h2", (HoldPart(account, 41),), None)])
    assert isinstance(refused, Refused)
    assert refused.error().detail == "The account has less available than the payment needs; add funds or send less."


def test_refusals_of_nonces_and_entries__name_what_they_are_about(
    database: Database, funded: Callable[..., dict[str, int]]
) -> None:
    account = funded(["A"], 100)["A"]
    with pytest.raises(HoldNotOpen) as unknown, database.transaction() as session:
        renew_nonces(session, ["h2", "h1"])
    assert unknown.value.context == {"references": ["h1", "h2"]}
    assert unknown.value.detail == "Only an open hold with a nonce can have it renewed."
    with database.transaction() as session:
        place_holds(session, [HoldRequest("h1", (HoldPart(account, 60),), account)])
        lift_nonces(session, {account: NONCE_MAX})
    with pytest.raises(NoncesSpent) as spent, database.transaction() as session:
        renew_nonces(session, ["h1"])
    assert spent.value.context == {"account_id": account}
    with database.transaction() as session:
        (entry,) = [row.reference for row in statement(session, account).lines]
    b = funded(["B"], 0)["B"]
    with pytest.raises(EntryConflict) as other, database.transaction() as session:
        capture_and_post(session, [EntryDraft("deposit", entry, ((account, 1), (b, -1)))])
    assert other.value.context == {"kind": "deposit", "reference": entry}


def test_balances__of_an_owner__are_said_to_be_theirs(
    database: Database, funded: Callable[..., dict[str, int]]
) -> None:
    account = funded(["A"], 100)["A"]
    with database.transaction() as session:
        found = balances_of(session, [account])[account]
        assert balances(session, found.owner_id) == [found]
    assert (found.owner_id, found.account_id, found.posted_units, found.held_units) == ("A", account, 100, 0)


def test_statement__goes_on_after_the_last_line_of_a_page(
    database: Database, funded: Callable[..., dict[str, int]]
) -> None:
    ids = funded(["A", "B"], 100)
    drafts = [EntryDraft("payment", f"p{turn}", ((ids["A"], -1), (ids["B"], 1))) for turn in range(6)]
    with database.transaction() as session:
        capture_and_post(session, drafts)
        page = statement(session, ids["A"], limit=3)
        rest = statement(session, ids["A"], cursor=page.next_cursor, limit=4)
    assert [line.reference for line in page.lines] == ["p5", "p4", "p3"]
    assert [line.reference for line in rest.lines] == ["p2", "p1", "p0", "dep_A"]
    assert rest.next_cursor is None
