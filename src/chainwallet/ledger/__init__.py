"""The books: accounts, journal entries, postings and holds.

Owns: every balance; accounts per (owner, currency, kind), the journal, what is held, the next order nonce.
Never: asks another room, prices, signs, or decides whether a payment may happen; a posting is never changed.
Invariants: I1 conservation; I2 no negative available; I3 running figures equal their rows; I12 an entry is booked
once; I13 history is only added to; I14 a hold closes once; I15 nonces only rise; I16 clearing is empty when idle.
"""

from chainwallet.ledger.accounts import (
    AccountKey,
    LockedAccount,
    ensure_accounts,
    freeze_only,
    frozen_accounts,
    lock_accounts,
    lock_accounts_by_key,
    lock_by_key_query,
)
from chainwallet.ledger.balances import (
    Balance,
    StatementLine,
    StatementPage,
    balances,
    balances_of,
    statement,
)
from chainwallet.ledger.errors import (
    AccountFrozen,
    EntryConflict,
    HoldConflict,
    HoldNotOpen,
    InsufficientFunds,
    InvalidEntry,
    InvalidHold,
    NoncesSpent,
    UnbalancedEntry,
    UnknownAccount,
)
from chainwallet.ledger.holds import (
    Frozen,
    Held,
    HoldOutcome,
    HoldPart,
    HoldRequest,
    HoldView,
    Refused,
    Unnumbered,
    holds_of,
    open_holds,
    place_bundles,
    place_holds,
    release_holds,
    swap_holds,
)
from chainwallet.ledger.journal import EntryDraft, capture_and_post
from chainwallet.ledger.models import (
    MAY_GO_NEGATIVE,
    NONCE_MAX,
    Account,
    AccountKind,
    Hold,
    HoldStatus,
    JournalEntry,
    Posting,
)
from chainwallet.ledger.nonces import lift_nonces, number_holds, renew_nonces
from chainwallet.ledger.rehearsal import Rehearsal, Shortage
from chainwallet.ledger.seals import BooksRoot, books_root, books_root_at
from chainwallet.ledger.verify import Violation, verify

__all__ = [
    "MAY_GO_NEGATIVE",
    "NONCE_MAX",
    "Account",
    "AccountFrozen",
    "AccountKey",
    "AccountKind",
    "Balance",
    "BooksRoot",
    "EntryConflict",
    "EntryDraft",
    "Frozen",
    "Held",
    "Hold",
    "HoldConflict",
    "HoldNotOpen",
    "HoldOutcome",
    "HoldPart",
    "HoldRequest",
    "HoldStatus",
    "HoldView",
    "InsufficientFunds",
    "InvalidEntry",
    "InvalidHold",
    "JournalEntry",
    "LockedAccount",
    "NoncesSpent",
    "Posting",
    "Refused",
    "Rehearsal",
    "Shortage",
    "StatementLine",
    "StatementPage",
    "UnbalancedEntry",
    "UnknownAccount",
    "Unnumbered",
    "Violation",
    "balances",
    "balances_of",
    "books_root",
    "books_root_at",
    "capture_and_post",
    "ensure_accounts",
    "freeze_only",
    "frozen_accounts",
    "holds_of",
    "lift_nonces",
    "lock_accounts",
    "lock_accounts_by_key",
    "lock_by_key_query",
    "number_holds",
    "open_holds",
    "place_bundles",
    "place_holds",
    "release_holds",
    "renew_nonces",
    "statement",
    "swap_holds",
    "verify",
]
