#!/usr/bin/env python3
"""Do the contracts' tests notice small wrong changes? Mutants of the contracts, and how many of them the tests kill.

    python scripts/mutate_contracts.py                      a sample of all contracts' mutants; exit 1 below target
    python scripts/mutate_contracts.py --sample 0           all of them: hours
    python scripts/mutate_contracts.py --only hub/Custody   mutants of files whose path contains this
    python scripts/mutate_contracts.py --again REPORT       those that survived then, after tests were added

Each mutant is compiled by itself and put in the place of its contract for a run of the fast contract tests: the seeded
model run on revm, then the examples on anvil, until the first failure. Mutants are compiled without via-IR, which takes
a fifth of the time; the unchanged contracts, compiled alike, have to pass first. Left out of the count: what does not
compile, what compiles to the same code, and what contracts/mutants-equivalent.toml says to be the same, and why.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import solcx
from rich.console import Console
from rich.progress import Progress
from solcx.exceptions import SolcError

from compile_contracts import CONTRACTS, LIBRARIES, ROOT, SETTINGS, compiler, read_closure
from mutations import Mutation, mutations

EQUIVALENT = CONTRACTS / "mutants-equivalent.toml"
REPORT = ROOT / "build" / "mutants.json"
TESTS = ROOT / "tests" / "contracts"
TARGET = 0.9
TIMEOUT_S = 300.0
KILLED = ("killed", "timeout")
FAST: dict[str, Any] = {"viaIR": False, "optimizer": {"enabled": True, "runs": 1}}
MACHINE = ROOT / "tests" / "properties" / "test_hub_machine.py"
# What notices most comes first.
FIRST = ["settle_orders", "settle_fills", "settle_batch", "settle_shares", "exit", "deposit", "powers", "limits"]
HUB = [f"{MACHINE}::test_hub__seeded_steps__agrees_with_its_model"]
HUB += [str(TESTS / "SettlementHub" / f"test_hub_{name}.py") for name in FIRST]
HUB += [path for path in map(str, sorted((TESTS / "SettlementHub").glob("test_hub_*.py"))) if path not in HUB]
# The tests of each deployed contract, and the harnesses that open its libraries to them.
CONTRACT_TESTS = {
    "SettlementHub": HUB,
    "CurrencyToken": [str(TESTS / "CurrencyToken")],
    "AuditAnchor": [str(TESTS / "AuditAnchor")],
}
HARNESSES = {"SettlementHub": ("BatchLayoutHarness", "DeltaTableHarness", "PasskeysHarness")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: killed or timeout, survived, stillborn (does not compile) or same (equal code)."""

    verdict: str
    killer: str = ""
    seconds: float = 0.0


def units_of(contract: str, file: str) -> list[str]:
    """The contract's source unit, and those of its harnesses that the file is part of."""
    harnesses = [f"contracts/mocks/{name}.sol" for name in HARNESSES.get(contract, ())]
    return [f"contracts/{contract}.sol"] + [unit for unit in harnesses if file in read_closure([unit])]


def contract_of(file: str) -> str:
    """The deployed contract that a source file is compiled into."""
    return next(name for name in CONTRACT_TESTS if file in read_closure([f"contracts/{name}.sol"]))


def all_mutations(only: str = "") -> list[Mutation]:
    """Every mutant of what is deployed, by file."""
    files = [path for folder in ("", "hub", "libraries") for path in sorted((CONTRACTS / folder).glob("*.sol"))]
    names = [path.relative_to(ROOT).as_posix() for path in files]
    return [found for name in names if only in name for found in mutations(name, (ROOT / name).read_text())]


def sample_of(every: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """`count` of them as the seed draws them, or all of them for 0; in the sequence of the text."""
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)) if count else len(every))
    return [every[index] for index in sorted(chosen)]


def survivors_in(report: Path) -> list[Mutation]:
    """The mutants that survived then, as far as they still are any."""
    rows = json.loads(report.read_text(encoding="utf-8"))["mutants"]
    wanted = {(row["file"], row["text"], row["change"]) for row in rows if row["verdict"] == "survived"}
    return [found for found in all_mutations() if (found.file, found.text, change_of(found)) in wanted]


def compiled(contract: str, mutation: Mutation | None = None) -> dict[str, dict[str, Any]]:
    """Artifacts by name, of the contract alone where nothing is changed. Errors: SolcError."""
    units = units_of(contract, mutation.file if mutation else "")
    sources = {unit: {"content": text} for unit, text in read_closure(units).items()}
    if mutation is not None:
        sources[mutation.file] = {"content": mutation.apply(sources[mutation.file]["content"])}
    request = {"language": "Solidity", "sources": sources, "settings": SETTINGS | FAST}
    output = solcx.compile_standard(request, solc_binary=compiler(), base_path=LIBRARIES)["contracts"]
    found = {}
    for unit in units:
        name = Path(unit).stem
        evm, abi = output[unit][name]["evm"], output[unit][name]["abi"]
        codes = {key: "0x" + evm[key]["object"] for key in ("bytecode", "deployedBytecode")}
        found[name] = {"contractName": name, "abi": abi, **codes}
    return found


class _Killer:
    """Remembers the first test that failed."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


def tested(contract: str, artifacts: dict[str, dict[str, Any]], folder: Path) -> Outcome:
    """Runs the contract's tests on these artifacts, in this process, until one fails."""
    import pytest

    begun, killer = time.monotonic(), _Killer()
    for name, artifact in artifacts.items():
        (folder / f"{name}.json").write_text(json.dumps(artifact), encoding="utf-8")
    os.environ.update(
        CHAINWALLET_TEST_ARTIFACTS=str(folder), CHAINWALLET_TEST_CHAIN="anvil", CHAINWALLET_HUB_STEPS="80"
    )
    options = ["-x", "-q", "-m", "not slow and not soak", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=line"]
    code = pytest.main([*options, f"--rootdir={ROOT}", *CONTRACT_TESTS[contract]], plugins=[killer])
    verdict = "survived" if code == pytest.ExitCode.OK else "killed"
    return Outcome(verdict, killer.name, round(time.monotonic() - begun, 1))


def judge(mutation: Mutation | None, contract: str, code: str, folder: Path) -> Outcome:
    """The outcome of one mutant, or of the unchanged contract for None. `code`: of the unchanged contract."""
    try:
        artifacts = compiled(contract, mutation)
    except SolcError:
        return Outcome("stillborn")
    if mutation is not None and artifacts[contract]["bytecode"] == code:
        return Outcome("same")
    return tested(contract, artifacts, folder)


def _work(mutation: Mutation | None, contract: str, code: str, folder: Path) -> None:
    """The body of a child process, in a process group of its own so that its anvil ends with it."""
    os.setpgid(0, 0)
    with (folder / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        outcome = judge(mutation, contract, code, folder)
    (folder / "outcome.json").write_text(json.dumps(asdict(outcome)), encoding="utf-8")


@dataclass(slots=True)
class _Child:
    mutation: Mutation | None
    process: Any
    folder: tempfile.TemporaryDirectory[str]
    ends_at: float

    def outcome(self) -> Outcome:
        """What the child found out, or that it was ended; nothing of it is left afterwards."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        path = Path(self.folder.name) / "outcome.json"
        known = json.loads(path.read_text()) if path.is_file() else {"verdict": "timeout"}
        log = Path(self.folder.name) / "log"
        if self.mutation is None and known["verdict"] != "survived":
            print(log.read_text()[-3_000:], file=sys.stderr)
        self.folder.cleanup()
        return Outcome(**known)


def run(
    jobs: Sequence[tuple[Mutation | None, str]], codes: dict[str, str], workers: int
) -> Iterator[tuple[Mutation | None, str, Outcome]]:
    """Outcomes as they come, `workers` at a time."""
    _load_tests_dependencies()
    forks, waiting, children = multiprocessing.get_context("fork"), list(reversed(jobs)), list[tuple[_Child, str]]()
    while waiting or children:
        while waiting and len(children) < workers:
            mutation, contract = waiting.pop()
            folder = tempfile.TemporaryDirectory(prefix="mutant-")
            process = forks.Process(target=_work, args=(mutation, contract, codes.get(contract, ""), Path(folder.name)))
            process.start()
            children.append((_Child(mutation, process, folder, time.monotonic() + TIMEOUT_S), contract))
        wait([child.process.sentinel for child, _ in children], timeout=1)
        over = [found for found in children if not found[0].process.is_alive() or time.monotonic() > found[0].ends_at]
        for child, contract in over:
            children.remove((child, contract))
            yield child.mutation, contract, child.outcome()


def _load_tests_dependencies() -> None:
    """Once here instead of in every child: they take seconds to import."""
    import coincurve
    import eth_account
    import eth_tester
    import hypothesis.stateful
    import pyrevm
    import pytest
    import web3

    import chainwallet.chain.contracts.settlement_hub
    import chainwallet.migrations

    loaded = (coincurve, eth_account, eth_tester, hypothesis, pyrevm, pytest, web3, chainwallet)
    assert all(loaded)


class EquivalentsStale(Exception):
    """An entry of contracts/mutants-equivalent.toml that is no mutant."""


def change_of(mutation: Mutation) -> str:
    """The change in one line: before -> after."""
    return " -> ".join(" ".join(part.split()) for part in (mutation.before, mutation.after)).strip()


def equivalents(every: Sequence[Mutation]) -> set[Mutation]:
    """The mutants that are said to be the same. Errors: EquivalentsStale names an entry that is no mutant."""
    named: set[Mutation] = set()
    for entry in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", []):
        found = [
            mutation
            for mutation in every
            if (Path(mutation.file).name, mutation.text) == (entry["file"], entry["line"])
            and change_of(mutation) in entry["changes"]
        ]
        if len({change_of(mutation) for mutation in found}) != len(entry["changes"]):
            raise EquivalentsStale(f"{entry['file']}: {entry['line']}: {entry['changes']}")
        named |= set(found)
    return named


def report_of(outcomes: Sequence[tuple[Mutation, Outcome]], seed: int, excused: int) -> dict[str, Any]:
    """What is written to build/mutants.json."""
    counted = Counter(outcome.verdict for _, outcome in outcomes)
    killed = sum(counted[verdict] for verdict in KILLED)
    judged = killed + counted["survived"]
    rows = [
        {**asdict(mutation), "change": change_of(mutation), **asdict(outcome)}
        for mutation, outcome in sorted(outcomes, key=lambda pair: (pair[0].file, pair[0].start, pair[0].after))
    ]
    rate = round(killed / judged, 4) if judged else 1.0
    counts = {"judged": judged, "killed": killed, **{k: counted[k] for k in ("survived", "stillborn", "same")}}
    return {"seed": seed, "kill_rate": rate, **counts, "equivalent": excused, "mutants": rows}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Count the contracts' mutants that the tests kill.")
    parser.add_argument("--sample", type=int, default=250, help="how many mutants; 0 for all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default %(default)s)")
    parser.add_argument("--only", default="", help="only files whose path contains this")
    parser.add_argument("--again", type=Path, help="only those that survived in this report")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, default=REPORT, help="where the report goes (default %(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    excused = equivalents(all_mutations())
    if options.again is None:
        chosen = sample_of(all_mutations(options.only), options.sample, options.seed)
    else:
        chosen = survivors_in(options.again)
    jobs = [(mutation, contract_of(mutation.file)) for mutation in chosen if mutation not in excused]
    contracts = sorted({contract for _, contract in jobs})
    for _, contract, outcome in run([(None, contract) for contract in contracts], {}, options.workers):
        if outcome.verdict != "survived":
            console.print(f"{contract}, unchanged, fails {outcome.killer}", style="red", markup=False)
            return 2
    codes = {contract: compiled(contract)[contract]["bytecode"] for contract in contracts}
    outcomes: list[tuple[Mutation, Outcome]] = []
    with Progress(console=console) as progress:
        task = progress.add_task("mutants", total=len(jobs))
        for mutation, _, outcome in run(jobs, codes, options.workers):
            assert mutation is not None
            outcomes.append((mutation, outcome))
            progress.advance(task)
            if not console.is_terminal and len(outcomes) % 10 == 0:
                console.print(f"{len(outcomes)} of {len(jobs)}")
            if outcome.verdict == "survived":
                progress.console.print(f"survived  {mutation.describe()}", markup=False, soft_wrap=True)
    report = report_of(outcomes, options.seed, len(chosen) - len(jobs))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print({key: value for key, value in report.items() if key != "mutants"})
    return 0 if report["kill_rate"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
