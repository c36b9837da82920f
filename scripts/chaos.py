"""Break the running service in every way that is known here, and check that nothing is lost and nothing doubled.

    python scripts/chaos.py [--scale 1.0] [--seed N] [--only WORDS] [--jobs 2] [--json FILE]

Each campaign has a world of its own and a seed, printed; `--seed` with `--only` plays one again. Most of a campaign is
waiting, so several are played at a time. docs/chaos.md says what is broken how and what is checked.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from tests.chaos.campaigns import Result

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the harness is among the tests

SEED = 20_260_101


def main() -> int:
    """0 when every promise was kept."""
    from tests.chaos.campaigns import CAMPAIGNS

    options = _parse()
    console = Console(width=130)
    chosen = [
        n for n, one in enumerate(CAMPAIGNS) if not options.only or any(word in one.name for word in options.only)
    ]
    chosen.sort(key=lambda number: -CAMPAIGNS[number].times(options.scale))  # the longest must not be the last
    results: list[Result] = []
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        playing: list[Future[Result]] = []
        for number in chosen:
            seed = options.seed + (0 if options.only else number)
            console.print(f"{CAMPAIGNS[number].name}: {CAMPAIGNS[number].times(options.scale)} strikes, seed {seed}")
            playing.append(pool.submit(_play, number, seed, options.scale, options.verbose))
        for done in as_completed(playing):
            result = done.result()
            results.append(result)
            console.print(
                f"[bold]{result.name}[/]: {result.struck} strikes in {result.seconds:.0f} s, {len(result.wrong)} wrong"
            )
            for wrong in result.wrong:
                console.print(f"  [red]{wrong}[/]", soft_wrap=True, markup=True, highlight=False)
            if options.json is not None:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    console.print(_table(results))
    return int(any(result.wrong for result in results))


def _play(number: int, seed: int, scale: float, verbose: bool) -> Result:
    from tests.chaos.campaigns import CAMPAIGNS, play

    return play(CAMPAIGNS[number], seed=seed, scale=scale, say=print if verbose else lambda _: None)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full number of strikes")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", nargs="*", help="campaigns whose name holds one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="how many campaigns are played at a time")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--verbose", action="store_true", help="say every strike")
    return parser.parse_args()


def _table(results: list[Result]) -> Table:
    from tests.chaos.campaigns import quantile

    table = Table("campaign", "seed", "strikes", "payments", "settled", "p50 s", "p99 s", "minutes", "wrong")
    for result in results:
        table.add_row(
            result.name,
            str(result.seed),
            str(result.struck),
            str(result.counts.get("acknowledged", 0)),
            str(result.counts.get("settled", 0)),
            *(_seconds(quantile(result.recoveries_s, share)) for share in (0.5, 0.99)),
            f"{result.seconds / 60:.1f}",
            str(len(result.wrong)) if result.wrong else "-",
        )
    return table


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
