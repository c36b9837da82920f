"""Campaigns: one world each, one kind of trouble again and again, and the checker at the end."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from tests.chaos import nemeses
from tests.chaos.nemeses import Nemesis
from tests.chaos.world import World, open_world

SERVICE, STANDBY = ((),), ((), ())
"""One process; two, of which one works and both serve."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """`rounds` passes over `nemeses` in a full run, in an order that the seed decides."""

    name: str
    nemeses: Sequence[Nemesis]
    rounds: int
    members: Sequence[Sequence[str]] = SERVICE
    confirmations: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    per_s: float = 40

    def times(self, scale: float) -> int:
        """How many nemeses strike at a scale: each at least once where there is one kind, or all of them in turn."""
        return max(1, round(self.rounds * len(self.nemeses) * scale))


@dataclass(slots=True)
class Result:
    """What a campaign did and found. `wrong` is empty when every promise was kept."""

    name: str
    seed: int
    struck: int
    seconds: float
    wrong: list[str]
    counts: dict[str, int]
    recoveries_s: list[float]
    faults: dict[str, int]
    done: list[str]

    def as_json(self) -> dict[str, Any]:
        shares = {"recovery_p50_s": 0.5, "recovery_p99_s": 0.99}
        return asdict(self) | {name: quantile(self.recoveries_s, share) for name, share in shares.items()}


CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign("service killed", [nemeses.kill_service], 100, per_s=100),
    Campaign(
        "service killed, another stands by", [nemeses.kill_service, nemeses.kill_services], 50, STANDBY, per_s=100
    ),
    Campaign("killed at each step", nemeses.every_step(), 10, STANDBY),
    Campaign("PostgreSQL killed", [nemeses.kill_postgres], 30, STANDBY),
    Campaign("node killed", [nemeses.kill_node], 30, STANDBY),
    Campaign("everything killed at once", [nemeses.kill_everything], 10),
    Campaign("reorganisations below finality", [nemeses.reorg(deep=False)], 200, confirmations=3),
    Campaign("reorganisations beyond finality", [nemeses.reorg(deep=True)], 20, confirmations=3),
    # batches of one payment: a thousand sends are to go through it
    Campaign(
        "lossy network",
        [partial(nemeses.lossy_network, lasting_s=6)],
        60,
        environment={"CHAINWALLET_BATCH_MAX": "1"},
        per_s=15,
    ),
    Campaign("lying node", nemeses.every_lie(), 10),
    Campaign(
        "fees, drops, outsiders",
        [nemeses.fee_spike, nemeses.stuck_then_dropped, nemeses.outsider_takes_a_nonce],
        20,
    ),
    Campaign("clock steps", [nemeses.clock_step], 20, STANDBY),
    Campaign("disk and connections", [nemeses.disk_full, nemeses.disk_stands_still, nemeses.full_pool], 10),
    Campaign(
        "mixed",
        [
            nemeses.kill_service,
            nemeses.kill_postgres,
            nemeses.kill_node,
            nemeses.lossy_network,
            nemeses.reorg(deep=True),
            nemeses.stuck_then_dropped,
            nemeses.clock_step,
        ],
        10,
        STANDBY,
        confirmations=2,
    ),
)


def play(campaign: Campaign, *, seed: int, scale: float, say: Any = lambda _: None) -> Result:
    """Play a campaign and check it. What goes wrong is in the result; the seed plays it again."""
    draw = random.Random(seed)
    started, done, wrong = time.monotonic(), [], []
    with open_world(
        seed=seed,
        confirmations=campaign.confirmations,
        members=campaign.members,
        environment=campaign.environment,
    ) as world:
        fleet = world.fleet(per_s=campaign.per_s)
        fleet.start()
        try:
            time.sleep(1)
            for nemesis in _order(campaign, draw, scale):
                time.sleep(draw.uniform(0, 0.5))  # the moment is the experiment, nothing is awaited
                done.append(nemesis(world, draw))
                say(f"{campaign.name} {len(done)}/{campaign.times(scale)}: {done[-1]}, {world.recoveries_s[-1]:.2f} s")
        except Exception as error:
            wrong.append(f"after {len(done)} strikes: {error}")
        world.proxy.be_honest()
        counts: dict[str, int] = {}
        try:
            fleet.stop()
            verdict = world.verdict()
            wrong += verdict.wrong
            counts = verdict.counts
        except Exception:
            wrong.append(f"the check itself: {traceback.format_exc(limit=-3)}")
        return _result(campaign, world, seed, started, done, wrong, counts)


def _order(campaign: Campaign, draw: random.Random, scale: float) -> list[Nemesis]:
    """Every nemesis as often as the others, shuffled."""
    order: list[Nemesis] = []
    while len(order) < campaign.times(scale):
        turn = list(campaign.nemeses)
        draw.shuffle(turn)
        order += turn
    return order[: campaign.times(scale)]


def _result(
    campaign: Campaign,
    world: World,
    seed: int,
    started: float,
    done: list[str],
    wrong: list[str],
    counts: dict[str, int],
) -> Result:
    faults = dict(world.proxy.met) | {
        "sends": world.proxy.sends,
        "sends that met one": world.proxy.sends_met,
        "lies told": world.proxy.lies_told,
    }
    took = time.monotonic() - started
    return Result(campaign.name, seed, len(done), took, wrong, counts, world.recoveries_s, faults, done)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share does not exceed; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
