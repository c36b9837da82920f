"""What the tables cannot declare: history is only added to, and an entry that does not balance is refused.

For the migration that creates the ledger's tables. Statement triggers where possible: they cost a
batch as much as a row.
"""

from __future__ import annotations

_UNBALANCED = """
CREATE OR REPLACE FUNCTION ledger_refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM added p JOIN account a ON a.id = p.account_id
    GROUP BY p.entry_id, a.currency HAVING sum(p.units) <> 0
  ) THEN
    RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entry_balances',
      MESSAGE = 'the postings of a journal entry sum to zero in each currency';
  END IF;
  RETURN NULL;
END $$
"""

_REFUSE = """
CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME,
    MESSAGE = TG_TABLE_NAME || ': ' || TG_ARGV[0];
END $$
"""

_TRIGGERS: tuple[tuple[str, str, str], ...] = (
    ("posting_append_only", "BEFORE UPDATE OR DELETE ON posting FOR EACH STATEMENT", "postings are only ever added"),
    (
        "journal_entry_append_only",
        "BEFORE UPDATE OR DELETE ON journal_entry FOR EACH STATEMENT",
        "entries are only ever added",
    ),
    ("hold_is_kept", "BEFORE DELETE ON hold FOR EACH STATEMENT", "holds are closed, never deleted"),
    (
        "hold_closes_once",
        "BEFORE UPDATE ON hold FOR EACH ROW WHEN (OLD.status <> 'open')",
        "a closed hold stays as it is",
    ),
    (
        "hold_keeps_its_amount",
        "BEFORE UPDATE OF reference, account_id, units, placed_at ON hold FOR EACH STATEMENT",
        "a hold keeps what it was placed for",
    ),
    ("account_is_kept", "BEFORE DELETE ON account FOR EACH STATEMENT", "accounts are never deleted"),
    (
        "account_keeps_its_key",
        "BEFORE UPDATE OF id, owner_id, currency, kind ON account FOR EACH STATEMENT",
        "an account keeps its owner, currency and kind",
    ),
    (
        "account_nonce_rises",
        "BEFORE UPDATE OF last_nonce ON account FOR EACH ROW WHEN (NEW.last_nonce < OLD.last_nonce)",
        "an order nonce only rises",
    ),
)


def statements() -> list[str]:
    """The statements in order; running them again changes nothing."""
    refusals = [
        f"CREATE OR REPLACE TRIGGER {name} {event} EXECUTE FUNCTION ledger_refuse('{reason}')"
        for name, event, reason in _TRIGGERS
    ]
    balances = (
        "CREATE OR REPLACE TRIGGER posting_balances AFTER INSERT ON posting REFERENCING NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_unbalanced()"
    )
    return [_UNBALANCED, _REFUSE, balances, *refusals]
