"""The ledger on PostgreSQL against an independent model, step by step.

`test_machine` lets hypothesis look for a short sequence that tells the two apart. `test_random_run` does
CHAINWALLET_LEDGER_STEPS operations (1,000,000) in batches from one seed, compares after every batch and
verifies the books every few thousand.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from ledger_model import ModelAccount, ModelLedger
from tests.ledger_database import open_ledger

from chainwallet.kit.database import Database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.ledger import (
    AccountKey,
    AccountKind,
    EntryDraft,
    Held,
    HoldPart,
    HoldRequest,
    balances_of,
    books_root,
    books_root_at,
    capture_and_post,
    ensure_accounts,
    place_holds,
    release_holds,
    renew_nonces,
    verify,
)

CURRENCIES = ("EUR", "USD")


@pytest.fixture(scope="module")
def ledger_postgres() -> Iterator[Database]:
    with open_ledger() as database:
        yield database


class Pair:
    """The ledger and its model, given the same work; every answer and every touched figure must be the same."""

    def __init__(self, database: Database, customers: int) -> None:
        self.database = database
        self.model = ModelLedger()
        owners = [(f"C{number}", AccountKind.CUSTOMER) for number in range(customers)]
        owners += [(kind, kind) for kind in (AccountKind.HUB, AccountKind.CLEARING, AccountKind.TREASURY)]
        with database.transaction() as session:
            session.connection().exec_driver_sql("TRUNCATE account, journal_entry, posting, hold RESTART IDENTITY")
            keys = [AccountKey(owner, code, kind) for owner, kind in owners for code in CURRENCIES]
            ids = ensure_accounts(session, keys)
        self.model.accounts = {ids[key]: ModelAccount(str(key.kind), key.currency) for key in keys}
        self.by_currency = {code: [ids[key] for key in keys if key.currency == code] for code in CURRENCIES}
        self.hub = {key.currency: ids[key] for key in keys if key.kind is AccountKind.HUB}
        self.customers = [ids[key] for key in keys if key.kind is AccountKind.CUSTOMER]

    def hold(self, asks: Sequence[tuple[str, list[tuple[int, int]], bool]]) -> None:
        """`asks`: (reference, parts, whether a nonce is wanted)."""
        requests = [
            HoldRequest(reference, tuple(HoldPart(*part) for part in parts), parts[0][0] if nonce else None)
            for reference, parts, nonce in asks
        ]
        accounts = {account for _, parts, _ in asks for account, _ in parts}
        restore = self.model.remember(accounts, [reference for reference, _, _ in asks])
        expected: Any = [
            self.model.hold(request.reference, parts, request.nonce_account_id)
            for request, (_, parts, _) in zip(requests, asks, strict=True)
        ]
        if "LEDGER_HOLD_CONFLICT" in expected:
            expected = "LEDGER_HOLD_CONFLICT"
            restore()
        assert self._do(lambda session: [_told(outcome) for outcome in place_holds(session, requests)]) == expected
        self._compare(accounts)

    def post(self, drafts: Sequence[EntryDraft]) -> None:
        """As many entries as are known to be accepted, or one that may be refused."""
        captured = [reference for draft in drafts for reference in draft.capture]
        accounts = {account for draft in drafts for account, _ in draft.postings}
        accounts |= {account for reference in captured for account in self._accounts_of(reference)}
        restore = self.model.remember(accounts, captured)
        said = [self.model.post(draft.kind, draft.reference, list(draft.postings), draft.capture) for draft in drafts]
        refusals = [word for word in said if word.startswith("LEDGER")]
        expected: Any = refusals[0] if refusals else said
        assert not refusals or len(drafts) == 1
        if refusals:
            restore()
        answer = self._do(
            lambda session: ["skipped" if e is None else "posted" for e in capture_and_post(session, drafts)]
        )
        assert answer == expected
        self._compare(accounts)

    def release(self, references: Sequence[str]) -> None:
        expected = sum(self.model.close(reference, "released") for reference in dict.fromkeys(references))
        assert self._do(lambda session: release_holds(session, references)) == expected
        self._compare({account for name in references for account in self._accounts_of(name)})

    def renew(self, references: Sequence[str]) -> None:
        expected = self.model.renew(references)
        assert self._do(lambda session: renew_nonces(session, references)) == expected

    def check_all(self) -> None:
        self._compare(set(self.model.accounts))
        with self.database.transaction() as session:
            assert verify(session) == []

    def _accounts_of(self, reference: str) -> list[int]:
        return [account for account, _ in self.model.holds[reference][1]] if reference in self.model.holds else []

    def _do(self, work: Any) -> Any:
        try:
            with self.database.transaction() as session:
                return work(session)
        except ChainwalletError as error:
            return error.code

    def _compare(self, account_ids: set[int]) -> None:
        with self.database.transaction() as session:
            real = {key: (b.posted_units, b.held_units) for key, b in balances_of(session, account_ids).items()}
        figures = self.model.figures()
        assert real == {key: figures[key] for key in account_ids}


def _told(outcome: Any) -> str:
    return f"held {outcome.nonce}" if isinstance(outcome, Held) else f"refused {outcome.account_id}"


class LedgerMachine(RuleBasedStateMachine):
    """Few accounts, few references and small amounts, so that collisions are common."""

    database: Database
    amounts = st.one_of(st.integers(1, 12), st.sampled_from([10**18, 10**24]))
    references = st.integers(0, 7).map("r{}".format)

    @initialize()
    def open(self) -> None:
        self.pair = Pair(self.database, customers=2)

    @rule(reference=references, customer=st.integers(0, 3), units=amounts)
    def deposit(self, reference: str, customer: int, units: int) -> None:
        account = self.pair.customers[customer]
        hub = self.pair.hub[self.pair.model.accounts[account].currency]
        self.pair.post([EntryDraft("deposit", reference, ((hub, -units), (account, units)))])

    @rule(
        asks=st.lists(
            st.tuples(references, st.dictionaries(st.integers(1, 10), amounts, min_size=1, max_size=2), st.booleans()),
            min_size=1,
            max_size=3,
        )
    )
    def hold(self, asks: list[tuple[str, dict[int, int], bool]]) -> None:
        self.pair.hold([(reference, list(parts.items()), nonce) for reference, parts, nonce in asks])

    @rule(
        reference=references,
        postings=st.dictionaries(st.integers(1, 10), st.integers(-9, 9).filter(bool), min_size=1, max_size=3),
        capture=st.lists(references, unique=True, max_size=2),
        is_balanced=st.integers(0, 4).map(bool),
    )
    def post(self, reference: str, postings: dict[int, int], capture: list[str], is_balanced: bool) -> None:
        if is_balanced:
            postings = self._balanced(postings)
        if postings:
            self.pair.post([EntryDraft("payment", reference, tuple(postings.items()), tuple(capture))])

    @rule(references=st.lists(references, max_size=3))
    def release(self, references: list[str]) -> None:
        self.pair.release(references)

    @rule(references=st.lists(references, max_size=3))
    def renew(self, references: list[str]) -> None:
        self.pair.renew(references)

    @invariant()
    def agrees(self) -> None:
        self.pair.check_all()

    def _balanced(self, postings: dict[int, int]) -> dict[int, int]:
        """The postings with the last account of each currency, which may be the treasury, taking up the difference."""
        whole = dict(postings)
        for accounts in self.pair.by_currency.values():
            mine = [account for account in whole if account in accounts]
            rest = sum(whole[account] for account in mine)
            if rest:
                taker = next(account for account in reversed(accounts) if account not in mine)
                whole[taker] = -rest
        return whole


def _run_machine(database: Database, *, examples: int, steps: int) -> None:
    machine = type("Machine", (LedgerMachine,), {"database": database})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True)
    )


def test_machine__agrees_with_the_model(ledger_postgres: Database) -> None:
    _run_machine(ledger_postgres, examples=8, steps=20)


@pytest.mark.soak
def test_machine__agrees_with_the_model__at_length(ledger_postgres: Database) -> None:
    _run_machine(ledger_postgres, examples=60, steps=50)


class RandomRun:
    """Batches of operations drawn from one seed, most of them acceptable and some of every refusal."""

    def __init__(self, database: Database, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pair = Pair(database, customers=200)
        self.open_holds: list[str] = []
        self.names = 0
        self.acts = [self.deposits, self.holds, self.holds, self.payments, self.payments, self.releases, self.oddities]

    def step(self) -> int:
        """One batch; how many operations it was."""
        return self.rng.choice(self.acts)(self.rng.randint(1, 64))

    def _name(self) -> str:
        self.names += 1
        return f"r{self.names}"

    def deposits(self, size: int) -> int:
        drafts = []
        for _ in range(size):
            account = self.rng.choice(self.pair.customers)
            units = self.rng.choice([self.rng.randint(1, 10**4), self.rng.randint(1, 10**12)])
            hub = self.pair.hub[self.pair.model.accounts[account].currency]
            drafts.append(EntryDraft("deposit", self._name(), ((hub, -units), (account, units))))
        self.pair.post(drafts)
        if self.rng.random() < 0.2:
            self.pair.post(drafts)  # again: skipped
        return size

    def holds(self, size: int) -> int:
        asks = []
        for _ in range(size):
            accounts = self.rng.sample(self.pair.customers, self.rng.choice([1, 1, 1, 2]))
            parts = [(account, self.rng.choice([1, 10**3, 10**6, 10**11])) for account in accounts]
            asks.append((self._name(), parts, self.rng.random() < 0.8))
        self.pair.hold(asks)
        if self.rng.random() < 0.2:
            self.pair.hold([ask for ask in asks if ask[0] in self.pair.model.holds])  # again: the same answers
        self.open_holds += [name for name, _, _ in asks if name in self.pair.model.holds]
        return size

    def payments(self, size: int) -> int:
        drafts = []
        for _ in range(min(size, len(self.open_holds))):
            reference = self.open_holds.pop(self.rng.randrange(len(self.open_holds)))
            postings: dict[int, int] = {}
            for account, units in self.pair.model.holds[reference][1]:
                peers = self.pair.by_currency[self.pair.model.accounts[account].currency]
                taken = self.rng.choice([units, self.rng.randint(1, units)])
                payee = self.rng.choice([peer for peer in peers if peer not in postings and peer != account])
                if account not in postings:
                    postings |= {account: -taken, payee: taken}
            drafts.append(EntryDraft("payment", reference, tuple(postings.items()), (reference,)))
        self.pair.post(drafts)
        return len(drafts)

    def releases(self, size: int) -> int:
        some = self.rng.sample(self.open_holds, min(size // 4, len(self.open_holds)))
        self.open_holds = [name for name in self.open_holds if name not in set(some)]
        self.pair.release([*some, "unknown", *some[:3]])
        return len(some)

    def oddities(self, _size: int) -> int:
        """One entry of each kind that may be refused, a spent hold, and orders that are signed again."""
        payer, payee, other = self.rng.sample(self.pair.by_currency["EUR"], 3)
        elsewhere = self.rng.choice(self.pair.by_currency["USD"])
        units = self.rng.randint(1, 10**9)
        known = f"r{self.rng.randint(1, max(1, self.names))}"
        self.pair.post([EntryDraft("fee", self._name(), ((payer, -units), (payee, units)))])
        self.pair.post([EntryDraft("fee", self._name(), ((payer, -units), (payee, units - 1), (other, 2)))])
        self.pair.post([EntryDraft("fee", self._name(), ((payer, -units), (elsewhere, units)))])
        self.pair.post([EntryDraft("deposit", known, ((payer, -units), (payee, units)))])
        self.pair.post([EntryDraft("fee", self._name(), ((payer, -1), (payee, 1)), ("unknown",))])
        if self.open_holds:
            self.pair.renew(self.rng.choices(self.open_holds, k=3))
        self.pair.renew(["unknown"])
        return 7


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_random_run__agrees_with_the_model(ledger_postgres: Database) -> None:
    steps = int(os.environ.get("CHAINWALLET_LEDGER_STEPS", "1000000"))
    seed = int(os.environ.get("CHAINWALLET_LEDGER_SEED", "20260101"))
    verify_every = max(1_000, steps // 20)
    print(f"CHAINWALLET_LEDGER_STEPS={steps} CHAINWALLET_LEDGER_SEED={seed}")
    run, done, verified, start = RandomRun(ledger_postgres, seed), 0, 0, time.perf_counter()
    with ledger_postgres.transaction() as session:
        kept = books_root(session)
    while done < steps:
        done += run.step()
        if done - verified >= verify_every:
            verified = done
            run.pair.check_all()
            with ledger_postgres.transaction() as session:
                assert books_root_at(session, entry_id=kept.entry_id) == kept
            with ledger_postgres.transaction() as session:
                kept = books_root(session)
    run.pair.check_all()
    print(f"{done} operations in {time.perf_counter() - start:.1f} s, {len(run.pair.model.entries)} entries")
