#!/usr/bin/env python3
"""How far does it go? A capacity model, and a simulation of payments over several hubs.

    python scripts/scale.py                                10,000 payments/s over as many hubs as they take
    python scripts/scale.py --rate 2000 --block-s 12       another chain, another load

The figures that it starts from are measured (docs/scale.md says where); everything else follows. Each hub is a chain,
or a part of one, of its own; an account lives on one hub, found by its address. A payment between hubs is two orders:
the payer pays the correspondent on its hub, and once that is final, the correspondent pays the payee on the other one.
Correspondents' positions are what hubs owe each other; they are squared every so often.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Measured:
    """What a payment takes, on the cores that docs/speed.md was measured on."""

    gas: int = 17_800
    api_ms: float = 0.75
    settle_ms: float = 1.0
    database_ms: float = 0.8
    node_ms: float = 0.25
    stored_bytes: int = 10_500


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as its users see it; `share` of its blocks is ours. `confirmations` are blocks, the including one too."""

    gas_limit: int = 60_000_000
    block_s: float = 1.0
    confirmations: int = 1
    share: float = 0.8

    def payments_per_block(self, gas: int) -> int:
        """A transaction holds 16,777,216 gas (EIP-7825); a block as many as fit."""
        return int(self.gas_limit * self.share) // gas


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a load takes. Cores are those of the busiest second, at 70 % of each."""

    hubs: int
    api_cores: int
    settle_cores: int
    database_cores: int
    gas_per_s: int
    stored_gb_a_day: float


def capacity(rate: float, chain: Chain, measured: Measured, *, crossing: float, day_factor: float = 4.0) -> Capacity:
    """`rate` is of the busiest second; a day's payments are `rate` / `day_factor` a second on average."""
    orders = rate * (1 + crossing)
    per_hub = chain.payments_per_block(measured.gas) / chain.block_s

    def cores(milliseconds: float, each: float) -> int:
        return math.ceil(each * milliseconds / 1_000 / 0.7)

    return Capacity(
        hubs=max(1, math.ceil(orders / (0.8 * per_hub))),
        api_cores=cores(measured.api_ms, rate),
        settle_cores=cores(measured.settle_ms, orders),
        database_cores=cores(measured.database_ms, orders),
        gas_per_s=int(orders * measured.gas),
        stored_gb_a_day=round(rate / day_factor * 86_400 * measured.stored_bytes / 1e9, 1),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the simulation saw. Latencies from acceptance to final; positions as a part of what was sent."""

    accepted: int
    settled: int
    crossed: int
    p50_s: float
    p99_s: float
    busiest_block: float
    position_max: float
    squared_volume: float


def simulate(
    rate: float, seconds: int, hubs: int, chain: Chain, measured: Measured, *, square_s: float = 60.0, seed: int = 1
) -> Outcome:
    """Payments of random accounts arrive at random; each hub settles the oldest of its orders block by block."""
    rng = np.random.default_rng(seed)
    count = int(rng.poisson(rate * seconds))
    arrived = np.sort(rng.uniform(0, seconds, count))
    value = rng.lognormal(4.5, 1.2, count)
    payer, payee = rng.integers(0, hubs, count), rng.integers(0, hubs, count)
    crosses = payer != payee
    room = chain.payments_per_block(measured.gas)
    final_s = (chain.confirmations - 1) * chain.block_s
    queues: list[list[tuple[float, int, bool]]] = [[] for _ in range(hubs)]
    left = [0] * hubs  # where each queue's first order stands
    done = np.full(count, np.nan)
    ready: list[tuple[float, int]] = []  # second legs that the first one's finality lets go
    position, position_max, squared = np.zeros(hubs), 0.0, 0.0
    busiest, at, next_square = 0, 0, square_s
    block = 0
    while np.isnan(done).any():
        block += 1
        now = block * chain.block_s
        while at < count and arrived[at] <= now:
            queues[payer[at]].append((arrived[at], at, not crosses[at]))
            at += 1
        for moment, one in ready:
            queues[payee[one]].append((moment, one, True))
        ready = []
        for hub in range(hubs):
            taken = queues[hub][left[hub] : left[hub] + room]
            left[hub] += len(taken)
            busiest = max(busiest, len(taken))
            for _, one, is_last in taken:
                if is_last:
                    done[one] = now + final_s
                else:
                    ready.append((now + final_s, one))
                if crosses[one]:  # the correspondent is paid on the payer's hub, and pays on the payee's
                    position[hub] += -value[one] if is_last else value[one]
        position_max = max(position_max, float(np.abs(position).max(initial=0.0)))
        if now >= next_square:
            squared += float(np.abs(position).sum()) / 2
            position[:] = 0
            next_square += square_s
    waited = done - arrived
    return Outcome(
        accepted=count,
        settled=int(np.isfinite(done).sum()),
        crossed=int(crosses.sum()),
        p50_s=round(float(np.quantile(waited, 0.5)), 2),
        p99_s=round(float(np.quantile(waited, 0.99)), 2),
        busiest_block=round(busiest / room, 2),
        position_max=round(position_max / float(value.sum()), 4),
        squared_volume=round((squared + float(np.abs(position).sum()) / 2) / float(value.sum()), 4),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How far does it go?")
    parser.add_argument("--rate", type=float, default=10_000, help="payments in the busiest second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--gas-limit", type=int, default=Chain().gas_limit, help="of a block")
    parser.add_argument("--block-s", type=float, default=Chain().block_s)
    parser.add_argument("--confirmations", type=int, default=Chain().confirmations)
    parser.add_argument("--hubs", type=int, help="else as many as the capacity model says")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    chain, measured = Chain(given.gas_limit, given.block_s, given.confirmations), Measured()
    hubs = given.hubs or 1
    crossing = 1 - 1 / hubs
    needed = capacity(given.rate, chain, measured, crossing=crossing)
    if given.hubs is None:  # more hubs, more payments that cross: to its fixed point
        for _ in range(20):
            hubs, crossing = needed.hubs, 1 - 1 / needed.hubs
            needed = capacity(given.rate, chain, measured, crossing=crossing)
    found = simulate(given.rate, given.seconds, hubs, chain, measured, seed=given.seed)
    if given.json:
        print(json.dumps({"capacity": asdict(needed), "simulation": asdict(found)}, indent=2))
        return
    table = Table(
        "figure",
        "value",
        title=f"{given.rate:,.0f} payments/s, blocks of {given.gas_limit:,} gas each {given.block_s} s",
    )
    for name, figure in (asdict(needed) | {"simulated over hubs": hubs} | asdict(found)).items():
        table.add_row(name.replace("_", " "), f"{figure:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
