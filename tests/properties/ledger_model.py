"""The ledger as a page of arithmetic: written from its description, sharing no code with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

OVERDRAWABLE = ("hub", "clearing")


@dataclass
class ModelAccount:
    kind: str
    currency: str
    posted: int = 0
    held: int = 0
    nonce: int = 0

    def can_give(self, units: int) -> bool:
        return self.kind in OVERDRAWABLE or self.posted - self.held >= units


@dataclass
class ModelLedger:
    """Accounts by id; what each hold and each entry is. Every verb says what the real one must say."""

    accounts: dict[int, ModelAccount] = field(default_factory=dict)
    holds: dict[str, tuple[str, list[tuple[int, int]], int | None, int | None]] = field(default_factory=dict)
    entries: dict[tuple[str, str], set[tuple[int, int]]] = field(default_factory=dict)

    def figures(self) -> dict[int, tuple[int, int]]:
        return {key: (account.posted, account.held) for key, account in self.accounts.items()}

    def remember(self, accounts: Iterable[int], references: Iterable[str]) -> Callable[[], None]:
        """What is called to put these accounts and holds back as they are now."""
        old_accounts = {key: replace(self.accounts[key]) for key in accounts}
        old_holds = {key: self.holds.get(key) for key in references}

        def restore() -> None:
            self.accounts |= old_accounts
            for key, hold in old_holds.items():
                if hold is None:
                    self.holds.pop(key, None)
                else:
                    self.holds[key] = hold

        return restore

    def hold(self, reference: str, parts: list[tuple[int, int]], nonce_on: int | None) -> str:
        if reference in self.holds:
            status, held, nonce, lane = self.holds[reference]
            if status != "open" or sorted(held) != sorted(parts) or lane != nonce_on:
                return "LEDGER_HOLD_CONFLICT"
            return f"held {nonce}"
        for account, units in parts:
            if not self.accounts[account].can_give(units):
                return f"refused {account}"
        nonce = None
        if nonce_on is not None:
            self.accounts[nonce_on].nonce += 1
            nonce = self.accounts[nonce_on].nonce
        for account, units in parts:
            self.accounts[account].held += units
        self.holds[reference] = ("open", parts, nonce, nonce_on)
        return f"held {nonce}"

    def close(self, reference: str, status: str) -> bool:
        if reference not in self.holds or self.holds[reference][0] != "open":
            return False
        _, parts, nonce, lane = self.holds[reference]
        for account, units in parts:
            self.accounts[account].held -= units
        self.holds[reference] = (status, parts, nonce, lane)
        return True

    def renew(self, references: Sequence[str]) -> str | dict[str, int]:
        lanes = {reference: self.holds.get(reference) for reference in references}
        if any(hold is None or hold[0] != "open" or hold[3] is None for hold in lanes.values()):
            return "LEDGER_HOLD_NOT_OPEN"
        fresh = {}
        for reference in lanes:
            status, parts, _, lane = self.holds[reference]
            self.accounts[lane].nonce += 1
            fresh[reference] = self.accounts[lane].nonce
            self.holds[reference] = (status, parts, fresh[reference], lane)
        return fresh

    def post(self, kind: str, reference: str, postings: list[tuple[int, int]], capture: Sequence[str]) -> str:
        """Undoes nothing of an entry that it refuses: the caller does, with `remember`."""
        if (kind, reference) in self.entries:
            return "skipped" if self.entries[kind, reference] == set(postings) else "LEDGER_ENTRY_CONFLICT"
        for code in {self.accounts[account].currency for account, _ in postings}:
            if sum(units for account, units in postings if self.accounts[account].currency == code):
                return "LEDGER_UNBALANCED_ENTRY"
        for hold in capture:
            if not self.close(hold, "captured"):
                return "LEDGER_HOLD_NOT_OPEN"
        for account, units in postings:
            self.accounts[account].posted += units
        if any(not self.accounts[account].can_give(0) for account, _ in postings):
            return "LEDGER_INSUFFICIENT_FUNDS"
        self.entries[kind, reference] = set(postings)
        return "posted"
