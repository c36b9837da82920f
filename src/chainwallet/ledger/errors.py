"""What the ledger refuses, each with a stable code."""

from __future__ import annotations

from chainwallet.kit.errors import ChainwalletError


class InsufficientFunds(ChainwalletError):
    code = "LEDGER_INSUFFICIENT_FUNDS"
    status = 409


class UnknownAccount(ChainwalletError):
    code = "LEDGER_UNKNOWN_ACCOUNT"
    status = 404


class UnbalancedEntry(ChainwalletError):
    """The caller's arithmetic is wrong: nothing was written."""

    code = "LEDGER_UNBALANCED_ENTRY"
    status = 500


class InvalidEntry(ChainwalletError):
    code = "LEDGER_INVALID_ENTRY"
    status = 500


class InvalidHold(ChainwalletError):
    code = "LEDGER_INVALID_HOLD"
    status = 500


class AccountFrozen(ChainwalletError):
    """The books and the chain do not say the same of this account: nothing new is promised of it until they do."""

    code = "LEDGER_ACCOUNT_FROZEN"
    status = 409
    retryable = True


class NoncesSpent(ChainwalletError):
    """The owner cancelled, on chain, every order that could still be numbered."""

    code = "LEDGER_NONCES_SPENT"
    status = 409


class EntryConflict(ChainwalletError):
    """The same (kind, reference) stands in the journal with other postings."""

    code = "LEDGER_ENTRY_CONFLICT"
    status = 409


class HoldConflict(ChainwalletError):
    """The same reference already holds something else, or its hold is closed."""

    code = "LEDGER_HOLD_CONFLICT"
    status = 409


class HoldNotOpen(ChainwalletError):
    code = "LEDGER_HOLD_NOT_OPEN"
    status = 409
