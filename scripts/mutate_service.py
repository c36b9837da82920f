#!/usr/bin/env python3
"""Do the service's tests notice small wrong changes? Mutants of what money depends on, and how many the tests kill.

    python scripts/mutate_service.py                        a fifth of them; exit 1 below nine in ten
    python scripts/mutate_service.py --digits 0123456789    all of them: hours
    python scripts/mutate_service.py --only ledger.holds    mutants of modules whose name contains this
    python scripts/mutate_service.py --judge                of the last run, once more, without running it

mutmut makes the mutants, numbers them within each function, and runs for each the tests that pass through its function;
pyproject.toml says what it mutates and which tests judge. `--digits` chooses mutants by the last digit of their number.
Left out of the count: mutants that only change the case of SQL, and those that tests/mutants-equivalent.toml says to be
the same, and why.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
MUTMUT = Path(sys.executable).with_name("mutmut")
EQUIVALENT = ROOT / "tests" / "mutants-equivalent.toml"
REPORT = ROOT / "build" / "mutants-service.json"
TARGET = 0.9
DIGITS = "37"
SURVIVED = {0: "survived", 33: "no test passes through it"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed, survived, no test passes through it, or same."""

    name: str
    verdict: str
    before: str = ""
    after: str = ""


def main() -> int:
    """0 when nine in ten of those judged were killed."""
    options = _parse()
    console = Console(width=130)
    if not options.judge:
        chosen = [f"*{options.only}*__mutmut_*{digit}" for digit in options.digits]
        subprocess.run([MUTMUT, "run", "--max-children", str(options.jobs), *chosen], cwd=ROOT, check=True)
    verdicts = list(judge(options.only))
    judged = [one for one in verdicts if one.verdict != "same"]
    for one in judged:
        if one.verdict != "killed":
            console.print(f"[red]{one.verdict}[/] {one.name}\n  - {one.before}\n  + {one.after}", highlight=False)
    killed = sum(one.verdict == "killed" for one in judged)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps([asdict(one) for one in verdicts], indent=2) + "\n")
    same = len(verdicts) - len(judged)
    console.print(f"{killed} of {len(judged)} killed ({killed / max(len(judged), 1):.1%}), {same} left out")
    return int(killed < TARGET * len(judged))


def judge(only: str) -> Iterator[Verdict]:
    """Every mutant that has been run."""
    equivalent = {(entry["function"], entry["after"]) for entry in _equivalent()}
    for file in sorted(ROOT.glob("mutants/src/**/*.meta")):
        for name, code in sorted(json.loads(file.read_text())["exit_code_by_key"].items()):
            if code is None or only not in name:
                continue
            if code not in SURVIVED:
                yield Verdict(name, "killed")
                continue
            before, after = _change(name)
            function = re.sub(r"^chainwallet\.|__mutmut_\d+$", "", name)
            is_same = (function, after) in equivalent or _is_case_of_sql(before, after)
            yield Verdict(name, "same" if is_same else SURVIVED[code], before, after)


def _equivalent() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return found


def _change(name: str) -> tuple[str, str]:
    """The line as it was and as the mutant has it."""
    shown = subprocess.run([MUTMUT, "show", name], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if not line.startswith(("---", "+++"))]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    return before, " ".join(line[1:].strip() for line in lines if line.startswith("+"))


def _is_case_of_sql(before: str, after: str) -> bool:
    """Keywords and names are the same in either case; a sentence for people is not."""
    words = r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|CONFLICT|RETURNING|AND|AS|ON|SET|FOR|VALUES|ORDER BY)\b"
    return before != after and before.lower() == after.lower() and re.search(words, before) is not None


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--digits", default=DIGITS, help="last digits of the mutants' numbers")
    parser.add_argument("--only", default="", help="part of the modules' names")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--judge", action="store_true", help="only judge what was run")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
