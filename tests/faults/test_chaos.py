"""A short run of the fault harness, the checker's own negative controls, and several processes on one database."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import pytest
from tests.chaos import nemeses
from tests.chaos.campaigns import Campaign, play
from tests.chaos.checker import Chain, Verdict, await_rest, check
from tests.chaos.record import Line
from tests.chaos.storm import storm
from tests.chaos.world import World, open_world

from chainwallet.chain.anvil_binary import find_anvil
from chainwallet.chain.errors import AnvilNotFound

SEED = int(os.environ.get("CHAINWALLET_SEED", "20260103"))
API, WORKER = ("--no-workers",), ()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHORT = Campaign(
    "short",
    [
        nemeses.kill_service,
        nemeses.kill_postgres,
        nemeses.kill_node,
        nemeses.kill_at("persist", "after"),
        nemeses.kill_at("send", "after"),
        nemeses.kill_at("post", "before"),
        nemeses.lossy_network,
        nemeses.lie("receipt says reverted"),
        nemeses.lie("amounts doubled"),
        nemeses.reorg(deep=True),
        nemeses.stuck_then_dropped,
        nemeses.outsider_takes_a_nonce,
        nemeses.clock_step,
    ],
    1,
    (WORKER, WORKER),
    confirmations=2,
)


@pytest.fixture(autouse=True)
def _needs_anvil() -> None:
    try:
        find_anvil()
    except AnvilNotFound:
        pytest.skip("anvil is not installed (npm install)")


def test_every_kind_of_fault_once__nothing_lost_nothing_doubled() -> None:
    print(f"seed {SEED}")
    result = play(SHORT, seed=SEED, scale=1.0, say=print)
    assert not result.wrong, "\n".join(result.wrong)
    assert result.counts["settled"] + result.counts["failed"] == result.counts["acknowledged"] > 50
    assert result.counts["failed"] <= result.counts["acknowledged"] // 4, "of the batch whose nonce was taken, no more"
    assert result.counts["never_answered"] == 0


def _forget_a_transfer(told: list[Line]) -> None:
    """As if the service had made a payment that nobody asked for."""
    key = next(line["key"] for line in told if line["what"] == "told")
    told[:] = [line for line in told if line.get("key") != key]


def _told_of_another(told: list[Line]) -> None:
    line = next(line for line in told if line["what"] == "told")
    told.append({**line, "transfer": {**line["transfer"], "id": "trf_another"}})


def _told_another_amount(told: list[Line]) -> None:
    line = next(line for line in told if line["what"] == "told")
    line["transfer"]["source_amount"]["value"] = "99999.00"


TAMPERED = {
    "a balance": "UPDATE account SET posted_units = posted_units + 1 WHERE id = (SELECT min(id) FROM account)",
    "a transfer lost": "DELETE FROM transfer WHERE id = (SELECT max(id) FROM transfer)",
    "a settlement denied": "UPDATE transfer SET status = 'failed' WHERE id = (SELECT max(id) FROM transfer)",
    "an entry lost": "DELETE FROM journal_entry WHERE id = (SELECT max(id) FROM journal_entry WHERE kind = 'payment')",
    "a deposit unheard of": "DELETE FROM deposit WHERE id = (SELECT max(id) FROM deposit)",
    "a hold left over": "UPDATE hold SET status = 'open', closed_at = NULL, entry_id = NULL WHERE reference ="
    " (SELECT max(reference) FROM hold)",
}
MISREMEMBERED: dict[str, Callable[[list[Line]], None]] = {
    "a transfer nobody asked for": _forget_a_transfer,
    "two answers to one key": _told_of_another,
    "another amount": _told_another_amount,
}


@pytest.fixture(scope="module")
def rested() -> World:  # type: ignore[misc]
    """A world where some payments were settled and all is at rest."""
    with open_world(seed=SEED) as world:
        fleet = world.fleet(per_s=60)
        fleet.start()
        world.await_recovery(time.monotonic(), world.last_settled())
        fleet.stop()
        yield world


def _verdict(world: World, told: Sequence[Line] | None = None, tamper: str | None = None) -> Verdict:
    with world.postgres.connect() as database:
        assert await_rest(database, timeout_s=60) == []
        database.autocommit = False
        database.execute("SET LOCAL session_replication_role = replica")
        if tamper is not None:
            database.execute(tamper)  # type: ignore[call-overload]
        chain = Chain(world.anvil.url, world.hub)
        verdict = check(database, chain, world.record.lines() if told is None else told, world.letters.lines())
        database.rollback()
    return verdict


def test_checker__of_a_sound_world__finds_nothing(rested: World) -> None:
    verdict = _verdict(rested)
    assert verdict.is_sound, verdict.wrong
    assert verdict.counts["settled"] > 0


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_checker__books_tampered_with__says_so(rested: World, tamper: str) -> None:
    assert not _verdict(rested, tamper=tamper).is_sound


@pytest.mark.parametrize("forget", MISREMEMBERED.values(), ids=MISREMEMBERED)
def test_checker__clients_were_told_otherwise__says_so(rested: World, forget: Callable[[list[Line]], None]) -> None:
    told = rested.record.lines()
    forget(told)
    assert not _verdict(rested, told).is_sound


@pytest.mark.parametrize("members", [(API, WORKER), (API, API, WORKER, WORKER)], ids=["two", "four"])
def test_processes_on_one_database__one_effect_a_key_and_the_others_go_on(members: Sequence[Sequence[str]]) -> None:
    with open_world(seed=SEED, members=members) as world:
        assert storm(world, keys=10, at_once=50) == []
        fleet = world.fleet()
        fleet.start()
        for member in (world.members[0], world.members[-1]):
            spare = [one for one in world.members if one is not member and one.arguments == member.arguments]
            member.kill()
            after, since = world.last_settled(), time.monotonic()
            if spare:
                world.await_recovery(since, after)  # nobody has started it again
            member.start()
            world.await_ready([member])
        fleet.stop()
        verdict = world.verdict()
    assert verdict.is_sound, verdict.wrong
