"""A branching test tree per contract: every external function has one, every leaf a test, every test a leaf.

`tests/contracts/<Contract>/<Contract>.tree`:

    name                                            a function of the ABI; name(types) where the name is overloaded;
      given a state                                 `constructor` where there is one
        when an input
          it should do this      -> test_name       a test of this folder, or file.py::test_name of tests/ elsewhere

Two spaces a level; a branch holds branches and leaves, and no branch ends without a leaf.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = sorted((ROOT / "tests" / "contracts").glob("*/*.tree"))
TREELESS = {"AccessManager"}  # OpenZeppelin's own, tested there
_LEAF = re.compile(r"it should .*\S\s+-> (\S+)")
_BRANCH = re.compile(r"(given|when) \S.*")


class TreeMalformed(Exception):
    """A line that is no function, branch or leaf, or a branch without a leaf; the message names the line."""


def read_tree(text: str) -> dict[str, list[str]]:
    """The tests that each function's leaves name, in order. TreeMalformed where the format above is broken."""
    found: dict[str, list[str]] = {}
    function, depth_max, bare = "", 0, False  # bare: the line before opened something that needs a leaf
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words:
            continue
        depth, odd = divmod(len(line) - len(line.lstrip(" ")), 2)
        leaf, branch = _LEAF.fullmatch(words), _BRANCH.fullmatch(words)
        if odd or depth > depth_max or (bare and depth < depth_max):
            raise TreeMalformed(f"line {number}: not indented as a tree, or a branch without a leaf before it")
        if depth == 0:
            if leaf or branch or words in found:
                raise TreeMalformed(f"line {number}: not a function, or one that has a tree: {words}")
            function = words
            found[function] = []
        elif leaf:
            found[function].append(leaf[1])
        elif not branch:
            raise TreeMalformed(f"line {number}: not given, when or it should ... -> test: {words}")
        bare = leaf is None
        depth_max = depth + bare
    if bare:
        raise TreeMalformed(f"{function} ends with a branch without a leaf")
    return found


def external_functions(contract: str) -> set[str]:
    """What the tree of a contract has to have: each function of its ABI, and its constructor."""
    path = ROOT / "src" / "chainwallet" / "chain" / "abi" / f"{contract}.json"
    entries = [entry for entry in json.loads(path.read_text())["abi"] if entry["type"] == "function"]
    names = Counter(entry["name"] for entry in entries)
    return {"constructor"} | {
        entry["name"] if names[entry["name"]] == 1 else f"{entry['name']}({_types(entry['inputs'])})"
        for entry in entries
    }


def _types(inputs: list[dict[str, str]]) -> str:
    return ",".join(argument["type"] for argument in inputs)


def _tests_of(path: Path) -> Iterator[str]:
    """The names of the test functions in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


def unknown_tests(named: list[str], folder: Path) -> list[str]:
    """Those of the named tests that do not exist."""
    here = {name for path in folder.glob("test_*.py") for name in _tests_of(path)}
    missing = []
    for name in named:
        file, _, test = name.rpartition("::")
        path = ROOT / "tests" / file
        if not (test in here if not file else path.is_file() and test in set(_tests_of(path))):
            missing.append(name)
    return missing


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_tree__covers_every_external_function_and_no_other(path: Path) -> None:
    assert set(read_tree(path.read_text())) == external_functions(path.stem)


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_tree__every_leaf__is_a_test(path: Path) -> None:
    named = [name for leaves in read_tree(path.read_text()).values() for name in leaves]
    assert not unknown_tests(named, path.parent)


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_tree__every_test_of_the_folder__is_a_leaf(path: Path) -> None:
    named = {name for leaves in read_tree(path.read_text()).values() for name in leaves}
    tests = {name for file in path.parent.glob("test_*.py") for name in _tests_of(file)}
    assert not tests - named, "write what they show into the tree"


def test_trees__every_contract_of_ours__has_one() -> None:
    contracts = {path.stem for path in (ROOT / "src" / "chainwallet" / "chain" / "abi").glob("*.json")} - TREELESS
    assert contracts == {path.stem for path in TREES}


GOOD = "mint\n  given a minter\n    it should mint  -> test_mint\n  it should emit  -> test_emit\n"


def test_read_tree__well_formed__gives_each_functions_tests() -> None:
    assert read_tree(GOOD) == {"mint": ["test_mint", "test_emit"]}


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("    it should mint  -> test_mint\n", ""),
        ("  -> test_emit", ""),
        ("  given", "   given"),
        ("    it should mint", "      it should mint"),
        ("given a minter", "if a minter"),
        ("  it should emit  -> test_emit\n", "  given nothing\n"),
        ("  it should emit  -> test_emit\n", "mint\n  it should emit  -> test_emit\n"),
    ],
    ids=["branch without a leaf", "no test", "odd indent", "skipped level", "no branch", "open end", "function twice"],
)
def test_read_tree__malformed__refused(change: str, to: str) -> None:
    assert change in GOOD
    with pytest.raises(TreeMalformed):
        read_tree(GOOD.replace(change, to))


def test_unknown_tests__missing_here_or_elsewhere__are_named(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_here() -> None: ...\n")
    elsewhere = "tidy/test_contract_trees.py::test_read_tree__malformed__refused"
    named = ["test_here", "test_gone", elsewhere, "tidy/test_contract_trees.py::test_gone", "gone.py::test_here"]
    assert unknown_tests(named, tmp_path) == ["test_gone", *named[3:]]
