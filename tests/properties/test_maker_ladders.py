"""Ladders against a model: whatever is sent, reserved and withdrawn, only the newest version counts."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.keys.intents import Domain
from chainwallet.keys.vault import Vault
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.settlement.ladders import (
    Ladder,
    LadderApplied,
    LadderDesk,
    LadderPost,
    Level,
    MakerLadderStale,
    MakerSeat,
    list_ladders,
    purge_replaced,
    withdraw_ladders,
)
from chainwallet.settlement.makers import reserve_quotes, use_quotes

DOMAIN = Domain(31_337, "0x" + "11" * 20)
PAIRS = (("USD", "EUR"), ("EUR", "USD"), ("USD", "GBP"))
MAKERS = ("cus_one", "cus_two")
TABLES = "maker_quote, maker_ladder, maker_rejection, keys_wallet, batch_fill"

WALK = 120

sizes = st.lists(st.integers(1, 50), max_size=3)
posts = st.lists(st.tuples(st.sampled_from(PAIRS), st.integers(1, 12), sizes), min_size=1, max_size=3)


class LadderMachine(RuleBasedStateMachine):
    """`live` holds what each ladder sells, by quote: (units, reserved, filled); `kept` what replaced ones still owe."""

    database: Database

    @initialize()
    def begin(self) -> None:
        with self.database.transaction() as session:
            session.execute(text(f"TRUNCATE {TABLES}"))
            vault = Vault(secrets.token_bytes(32))
            vault.pin(DOMAIN)
            self.seats = [
                MakerSeat(maker, vault.create_wallet(session, owner_id=maker).address, False) for maker in MAKERS
            ]
        self.desk = LadderDesk(vault=vault, domain=DOMAIN, rates=EcbRates())
        self.versions: dict[tuple[str, str, str], int] = {}
        self.live: dict[tuple[str, str, str], dict[str, list[int]]] = {}
        self.kept: dict[str, list[int]] = {}
        self.stale = 0

    @rule(of=st.sampled_from(range(len(MAKERS))), sent=posts)
    def post(self, of: int, sent: list[tuple[tuple[str, str], int, list[int]]]) -> None:
        """A maker's tick, or several at once that meet in one group."""
        seat, until = self.seats[of], utc_now() + timedelta(hours=1)
        ladders = [
            Ladder(*pair, version, until, tuple(Level(units, 2 * units) for units in levels))
            for pair, version, levels in sent
        ]
        with self.database.transaction() as session:
            outcomes = [found for (found,) in self.desk.apply(session, [LadderPost(seat, (one,)) for one in ladders])]
        newest: dict[tuple[str, str], int] = {}
        for one in ladders:
            newest[one.pair] = max(newest.get(one.pair, 0), one.version)
        for one, outcome in zip(ladders, outcomes, strict=True):
            key = (seat.maker_id, *one.pair)
            if one.version == newest[one.pair] and one.version > self.versions.get(key, 0):
                assert isinstance(outcome, LadderApplied), outcome
                self._replace(key, one, {quote.id: [int(quote.sell_units), 0, 0] for quote in outcome.quotes})
            else:
                assert isinstance(outcome, MakerLadderStale), outcome
                assert outcome.context == {"version": max(newest[one.pair], self.versions.get(key, 0))}
                self.stale += 1

    def _replace(self, key: tuple[str, str, str], one: Ladder, quotes: dict[str, list[int]]) -> None:
        assert [units for units, _, _ in quotes.values()] == [level.sell_units for level in one.levels]
        self.kept.update(self.live.get(key, {}))
        self.versions[key], self.live[key] = one.version, quotes

    @rule(pick=st.integers(0, 100), units=st.integers(1, 60))
    def reserve(self, pick: int, units: int) -> None:
        """A payment is accepted over a quote, which may have been replaced meanwhile."""
        known = sorted({**self.kept, **{key: row for rows in self.live.values() for key, row in rows.items()}})
        if not known:
            return
        quote_id = known[pick % len(known)]
        with self.database.transaction() as session:
            done = reserve_quotes(session, {quote_id: units}, lasting_s=0)
        row = next((rows[quote_id] for rows in self.live.values() if quote_id in rows), None)
        fits = row is not None and sum(row[1:]) + units <= row[0]
        assert (quote_id in done) == fits
        if row is not None and fits:
            row[1] += units

    @rule()
    def settle(self) -> None:
        """Whatever is reserved is filled, of live and of replaced quotes alike: it was promised."""
        rows = {**self.kept, **{key: row for quotes in self.live.values() for key, row in quotes.items()}}
        owed = {key: row[1] for key, row in rows.items() if row[1]}
        with self.database.transaction() as session:
            done = use_quotes(session, reserve={key: -units for key, units in owed.items()}, fill=owed)
        assert done == owed.keys()
        for key, units in owed.items():
            rows[key][1:] = [0, rows[key][2] + units]

    @rule(of=st.sampled_from(MAKERS), pair=st.sampled_from(PAIRS) | st.none())
    def withdraw(self, of: str, pair: tuple[str, str] | None) -> None:
        with self.database.transaction() as session:
            count = withdraw_ladders(session, of, pair=pair)
        ended = [key for key in self.live if key[0] == of and pair in (None, key[1:])]
        assert count == sum(1 for key in ended if self.live[key])
        for key in ended:
            self.kept.update(self.live.pop(key))

    @rule()
    def purge(self) -> None:
        with self.database.transaction() as session:
            count = purge_replaced(session, before=utc_now(), limit=1_000)
        unused = [key for key, row in self.kept.items() if not any(row[1:])]
        assert count == len(unused)
        for key in unused:
            del self.kept[key]

    @invariant()
    def equals_the_model(self) -> None:
        with self.database.transaction() as session:
            connection = session.connection()
            rows = connection.exec_driver_sql(
                "SELECT id, status, sell_units, reserved_units, filled_units FROM maker_quote"
            ).all()
            shown = {
                (maker, ladder.sell, ladder.buy): {quote.id for quote in quotes}
                for maker in MAKERS
                for ladder, quotes in list_ladders(session, maker, limit=100)
            }
            stale = connection.exec_driver_sql("SELECT coalesce(sum(count), 0) FROM maker_rejection").scalar_one()
        found = {(row[0], row[1]): [int(units) for units in row[2:]] for row in rows}
        model = {(key, "open"): row for quotes in self.live.values() for key, row in quotes.items()}
        model |= {(key, "withdrawn"): row for key, row in self.kept.items()}
        assert found == model
        assert shown == {key: set(quotes) for key, quotes in self.live.items() if quotes}
        assert int(stale) == self.stale, "every refusal is there for the maker to read"


@pytest.fixture(scope="module")
def ladder_database(postgres: Database) -> Iterator[Database]:
    yield postgres
    with postgres.transaction() as session:
        session.execute(text(f"TRUNCATE {TABLES}"))


def test_random_run__ladders_equal_the_model(ladder_database: Database) -> None:
    """A dense walk, where each step meets what the ones before have left; hypothesis looks for short ones."""

    class Machine(LadderMachine):
        database = ladder_database

    chance, machine = random.Random(20_261_122), Machine()
    machine.begin()
    for _ in range(WALK):
        what = chance.choice(("post", "post", "reserve", "reserve", "settle", "withdraw", "purge"))
        if what == "post":
            version = 1 + max(machine.versions.values(), default=0)
            sent = [
                (chance.choice(PAIRS), version - chance.randrange(3), [chance.randint(1, 50) for _ in range(2)])
                for _ in range(chance.randint(1, 3))
            ]
            machine.post(of=chance.randrange(2), sent=[one for one in sent if one[1] > 0])
        elif what == "reserve":
            machine.reserve(pick=chance.randrange(100), units=chance.randint(1, 30))
        elif what == "withdraw":
            machine.withdraw(of=chance.choice(MAKERS), pair=chance.choice((*PAIRS, None)))
        else:
            getattr(machine, what)()
        machine.equals_the_model()


@pytest.mark.slow
def test_machine__ladders_equal_the_model(ladder_database: Database) -> None:
    class Machine(LadderMachine):
        database = ladder_database

    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=30))
