"""Cases over REST: red health, who is frozen, assigned and closed with a trace in the audit log."""

from __future__ import annotations

from chainwallet.reconciliation.breaks import BreakKind, open_break
from tests.journeys.conftest import World


def test_case__seen_assigned_and_closed(world: World) -> None:
    assert world.get("/health/books") == {"status": "balanced", "open_breaks": 0, "oldest_break_age_s": 0}
    with world.services.database.transaction() as session:
        open_break(session, BreakKind.UNKNOWN_PAYMENT, "0xabc", "in 0xdef")
    assert world.get("/health/books", status=503)["open_breaks"] == 1
    assert world.http.get("/health/ready").status_code == 200, "payments go on"
    found = world.get("/v1/reconciliation")
    (case,) = found["breaks"]
    assert (found["status"], found["frozen"], case["age_s"]) == (
        "broken",
        [],
        case["age_s"] if case["age_s"] < 60 else 0,
    )
    path = f"/v1/reconciliation/breaks/{case['id']}"
    assigned = world.post(f"{path}/assign", {"assignee": "settlement desk"}, status=200)
    assert (assigned["assignee"], assigned["cause"], assigned["closed_at"]) == ("settlement desk", None, None)
    closed = world.post(f"{path}/close", {"cause": "settled by hand"}, status=200)
    assert closed["cause"] == "settled by hand"
    assert closed["closed_at"]
    assert world.get("/health/books")["status"] == "balanced"
    world.refused("POST", f"{path}/close", 404, "RECONCILIATION_BREAK_UNKNOWN", json={"cause": "again"})
    audited = world.scalar("SELECT string_agg(action, ' ' ORDER BY seq) FROM audit_entry WHERE action LIKE 'break.%%'")
    assert audited == "break.assigned break.closed"


def test_case__of_a_figure_that_is_compared__is_not_closed_by_hand(world: World) -> None:
    with world.services.database.transaction() as session:
        open_break(session, BreakKind.TOKENS_MISSING, "EUR", "some")
    case = world.get("/v1/reconciliation")
    assert case["status"] == "balanced", "the next comparison closed it"
    with world.services.database.transaction() as session:
        open_break(session, BreakKind.TOKENS_MISSING, "EUR", "some")
    case_id = world.scalar("SELECT id FROM reconciliation_break WHERE closed_at IS NULL")
    path = f"/v1/reconciliation/breaks/{case_id}/close"
    world.refused("POST", path, 409, "RECONCILIATION_BREAK_CLOSES_BY_ITSELF", json={"cause": "wishful"})
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_case__is_for_operators_with_admin(world: World) -> None:
    reader = world.key("read")
    for verb, body in (("assign", {"assignee": "me"}), ("close", {"cause": "me"})):
        path = f"/v1/reconciliation/breaks/1/{verb}"
        assert world.send("POST", path, auth=reader, json=body).status_code == 403
        assert world.send("POST", path, auth=None, json=body).status_code == 401
