"""The audit log: whatever is changed, removed, inserted or cut off shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chainwallet.kit.database import Database
from chainwallet.records.audit import GENESIS, AuditBroken, AuditHead, record, verify

LENGTH = 6

TAMPERINGS = {
    "detail": ("UPDATE audit_entry SET detail = jsonb_set(detail, '{n}', '99') WHERE seq = 3", 3),
    "detail key": ("UPDATE audit_entry SET detail = detail || '{\"x\": null}' WHERE seq = 1", 1),
    "actor": ("UPDATE audit_entry SET actor = 'somebody' WHERE seq = 6", 6),
    "action": ("UPDATE audit_entry SET action = 'customer.unfrozen' WHERE seq = 2", 2),
    "subject": ("UPDATE audit_entry SET subject = subject || ' ' WHERE seq = 4", 4),
    "time": ("UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE seq = 4", 4),
    "own hash": ("UPDATE audit_entry SET hash = repeat('a', 64) WHERE seq = 5", 5),
    "previous hash": ("UPDATE audit_entry SET previous_hash = repeat('a', 64) WHERE seq = 5", 5),
    "removed first": ("DELETE FROM audit_entry WHERE seq = 1", 1),
    "removed middle": ("DELETE FROM audit_entry WHERE seq = 4", 4),
    "removed and renumbered": (
        "DELETE FROM audit_entry WHERE seq = 4; UPDATE audit_entry SET seq = seq - 1 WHERE seq > 4",
        4,
    ),
    "swapped": (
        "UPDATE audit_entry SET seq = 100 WHERE seq = 2; UPDATE audit_entry SET seq = 2 WHERE seq = 3;"
        " UPDATE audit_entry SET seq = 3 WHERE seq = 100",
        2,
    ),
    "inserted": (
        "INSERT INTO audit_entry SELECT 7, at, actor, action, subject, detail, previous_hash, repeat('b', 64)"
        " FROM audit_entry WHERE seq = 6",
        7,
    ),
}


@pytest.fixture
def log(database: Database) -> Database:
    for number in range(1, LENGTH + 1):
        with database.transaction() as session:
            record(session, actor="operator", action="customer.frozen", subject=f"cus_{number}", detail={"n": number})
    return database


def test_an_intact_log_has_a_head(log: Database) -> None:
    with log.transaction() as session:
        head = verify(session)
        assert head.seq == LENGTH
        assert verify(session, known=head) == head


def test_an_empty_log_is_intact(database: Database) -> None:
    with database.transaction() as session:
        assert verify(session, known=AuditHead(0, GENESIS)) == AuditHead(0, GENESIS)


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_any_edit_is_found_at_its_entry(log: Database, kind: str) -> None:
    statements, seq = TAMPERINGS[kind]
    with log.transaction() as session:
        for statement in statements.split(";"):
            session.connection().exec_driver_sql(statement)
    with log.transaction() as session, pytest.raises(AuditBroken) as broken:
        verify(session)
    assert broken.value.context["seq"] == seq


def test_a_cut_tail_is_found_by_a_head_seen_earlier(log: Database) -> None:
    with log.transaction() as session:
        head = verify(session)
        session.connection().exec_driver_sql("DELETE FROM audit_entry WHERE seq = 6")
    with log.transaction() as session:
        assert verify(session).seq == LENGTH - 1  # the chain alone cannot know
        with pytest.raises(AuditBroken):
            verify(session, known=head)


def test_parallel_writers_make_one_chain(database: Database) -> None:
    def write(number: int) -> None:
        with database.transaction() as session:
            record(session, actor=f"key_{number}", action="api_key.created", subject="key_1", detail={})

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(40)))
    with database.transaction() as session:
        assert verify(session).seq == 40
