"""Checks every invariant of the books in one statement, so in one snapshot, however busy they are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session

from chainwallet.ledger.seals import sql_account_seal, sql_hold_seal, sql_posting_seal
from chainwallet.ledger.sql import run


@dataclass(frozen=True, slots=True)
class Violation:
    """`invariant` (docs/invariants.md) does not hold; `account_id` names the account where it shows, if one does."""

    invariant: str
    detail: str
    account_id: int | None = None


# Each query returns (detail, account id) per violation.
_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "I1",
        """SELECT format('entry %s sums to %s units of %s', p.entry_id, sum(p.units), a.currency), NULL::bigint
           FROM posting p JOIN account a ON a.id = p.account_id
           GROUP BY p.entry_id, a.currency HAVING sum(p.units) <> 0""",
    ),
    (
        "I1",
        """SELECT format('entry %s has no postings', e.id), NULL::bigint FROM journal_entry e
           WHERE NOT EXISTS (SELECT FROM posting p WHERE p.entry_id = e.id)""",
    ),
    (
        "I1",
        """SELECT format('all accounts of %s sum to %s units', currency, sum(posted_units)), NULL::bigint
           FROM account GROUP BY currency HAVING sum(posted_units) <> 0""",
    ),
    (
        "I2",
        """SELECT format('account %s: %s posted, %s held', id, posted_units, held_units), id FROM account
           WHERE held_units < 0 OR kind NOT IN ('clearing', 'hub') AND posted_units < held_units""",
    ),
    (
        "I3",
        """SELECT format('account %s: posted %s, its postings sum to %s', a.id, a.posted_units, coalesce(s.units, 0)),
             a.id
           FROM account a LEFT JOIN (SELECT account_id, sum(units) AS units FROM posting GROUP BY account_id) s
             ON s.account_id = a.id
           WHERE a.posted_units <> coalesce(s.units, 0)""",
    ),
    (
        "I3",
        """SELECT format('account %s: held %s, its open holds sum to %s', a.id, a.held_units, coalesce(s.units, 0)),
             a.id
           FROM account a LEFT JOIN
             (SELECT account_id, sum(units) AS units FROM hold WHERE status = 'open' GROUP BY account_id) s
             ON s.account_id = a.id
           WHERE a.held_units <> coalesce(s.units, 0)""",
    ),
    (
        "I12",
        """SELECT format('%s entries are %s %s', count(*), kind, reference), NULL::bigint
           FROM journal_entry GROUP BY kind, reference HAVING count(*) > 1""",
    ),
    (
        "I13",
        f"""SELECT format('the posting of entry %s does not follow from the one before it', c.entry_id), c.account_id
           FROM (
             SELECT p.*, sum(p.units) OVER w AS running,
               lag(p.seal, 1, {sql_account_seal("a.owner_id", "a.currency", "a.kind")}) OVER w AS previous
             FROM posting p JOIN account a ON a.id = p.account_id
             WINDOW w AS (PARTITION BY p.account_id ORDER BY p.entry_id)
           ) c JOIN journal_entry e ON e.id = c.entry_id
           WHERE c.balance_units <> c.running OR c.seal <> {sql_posting_seal("c.previous", "e", "c")}""",
    ),
    (
        "I13",
        f"""SELECT format('account %s does not carry the seal of its last posting', a.id), a.id
           FROM account a LEFT JOIN
             (SELECT DISTINCT ON (account_id) account_id, seal FROM posting ORDER BY account_id, entry_id DESC) p
             ON p.account_id = a.id
           WHERE a.seal <> coalesce(p.seal, {sql_account_seal("a.owner_id", "a.currency", "a.kind")})""",
    ),
    (
        "I14",
        f"""SELECT format('hold %s does not match its seal', reference), account_id FROM hold
           WHERE seal <> {sql_hold_seal()}""",
    ),
    (
        "I14",
        """SELECT format('hold %s is captured by an entry that is not in the journal', h.reference), h.account_id
           FROM hold h
           WHERE h.status = 'captured' AND NOT EXISTS (SELECT FROM journal_entry e WHERE e.id = h.entry_id)""",
    ),
    (
        "I15",
        """SELECT format('account %s: last nonce %s, highest of its holds %s, cancelled %s',
             a.id, a.last_nonce, h.nonce, a.cancelled_nonce), a.id
           FROM account a LEFT JOIN (SELECT account_id, max(nonce) AS nonce FROM hold GROUP BY account_id) h
             ON h.account_id = a.id
           WHERE a.last_nonce <> greatest(coalesce(h.nonce, 0), a.cancelled_nonce)""",
    ),
)

_CLEARING_IS_EMPTY = (
    "I16",
    """SELECT format('clearing account %s stands at %s units of %s', id, posted_units, currency), id
       FROM account WHERE kind = 'clearing' AND posted_units <> 0""",
)

_MOST_PER_CHECK = 100


def verify(session: Session, *, is_idle: bool = False) -> list[Violation]:
    """Every violation found, at most 100 per check; an empty list says that the books are sound.

    `is_idle` says that no batch is open, so that clearing accounts must be empty too. Reads every row once
    or twice: for a schedule, not for a request.
    """
    checks = [*_CHECKS, _CLEARING_IS_EMPTY] if is_idle else list(_CHECKS)
    union = " UNION ALL ".join(
        f"(SELECT '{invariant}', found.* FROM ({query} LIMIT {_MOST_PER_CHECK}) AS found(detail, account_id))"
        for invariant, query in checks
    )
    return [Violation(*row) for row in run(session, union.replace("%", "%%"))]
