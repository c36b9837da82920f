"""Small wrong changes of Solidity text, one at a time: what the contracts' tests have to notice.

A change is made within the body of a function, or of a constant, never within comments, strings or assembly's names.
What does not compile afterwards is nobody's mistake to find and is left out by whoever compiles it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"', re.DOTALL)
_HEADER = re.compile(r"\b(?:function\s+\w+|constructor)\s*\(")
_CONSTANT = re.compile(r"\bconstant\s+\w+\s*=[^;]*;")
_LITERAL = re.compile(r"(?<![\w.\"])(?:0x[0-9a-f]+|\d[\d_]*)(?![\w.])")
_REFUSAL = re.compile(r"\bif \((?:[^{};]|\n)*?\) (?:revert [^;]*;|\{\s*revert [^;]*;\s*\})|\bassert\([^;]*\);")
_STATEMENT = re.compile(
    r"^[ \t]*+((?!return|revert|if|else|for|let|emit|assembly|unchecked|pop\()[^{};\n]+;?)[ ]*$", re.M
)
_EMIT = re.compile(r"\bemit [^;]*;")
_DECLARATION = re.compile(
    r"^(?:u?int\d*|address|bool|bytes\d*|bytes|string|[A-Z]\w*(?:\.\w+)?(?:\[\])?)\s+(?:memory\s|storage\s|calldata\s)?\w+"
)
# Not of what is the same either way round.
_ORDERED = "".join(rf"(?<!\b{name}\()" for name in ("add", "mul", "and", "or", "eq"))
_PAIR = re.compile(_ORDERED + r"(?<=[(\s,])([\w.]+(?:\([\w., ]*\))?), ([\w.]+(?:\([\w., ]*\))?)(?=[,)])")
_MODIFIER = re.compile(r"\s(?:restricted|nonReentrant|whenNotPaused|whenNotFrozen\([^)]*\))(?=[\s{])")
_TERNARY = re.compile(r"\? ([^:;]+) : ([^;]+);")

# What stands in the text, and what is put there in its place.
_OPERATORS: dict[str, tuple[str, ...]] = {
    r" < ": (" <= ", " >= "),
    r" <= ": (" < ", " > "),
    r" > ": (" >= ", " <= "),
    r" >= ": (" > ", " < "),
    r" == ": (" != ",),
    r" != ": (" == ",),
    r" \+ ": (" - ",),
    r" - ": (" + ",),
    r" \* ": (" + ",),
    r" / ": (" * ",),
    r" \+= ": (" -= ", " = "),
    r" -= ": (" += ", " = "),
    r" & ": (" | ",),
    r" \| ": (" & ",),
    r" \|= ": (" = ",),
    r" &= ": (" = ",),
    r" << ": (" >> ",),
    r" >> ": (" << ",),
    r"\+\+": ("--",),
    r"(?<!-)--(?!-)": ("++",),
    r" && ": (" || ",),
    r" \|\| ": (" && ",),
    r"(?<=\()!(?=[\w_])": ("",),
    r"\btrue\b": ("false",),
    r"\bfalse\b": ("true",),
    r"\blt\(": ("gt(", "eq("),
    r"\bgt\(": ("lt(", "eq("),
    r"\beq\(": ("gt(",),
    r"\biszero\(": ("not(",),
    r"\badd\(": ("sub(", "or("),
    r"\bsub\(": ("add(",),
    r"\bmul\(": ("add(",),
    r"\bshl\(": ("shr(",),
    r"\bshr\(": ("shl(",),
    r"\band\(": ("or(",),
    r"\bor\(": ("and(",),
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: `before` at `start` of the file becomes `after`."""

    file: str
    line: int
    operator: str
    start: int
    before: str
    after: str
    text: str  # the line that it is in, without its indentation

    def apply(self, source: str) -> str:
        """The file with the change made."""
        assert source[self.start : self.start + len(self.before)] == self.before
        return source[: self.start] + self.after + source[self.start + len(self.before) :]

    def describe(self) -> str:
        """One line for people."""
        shown = [" ".join(part.split()) or "nothing" for part in (self.before, self.after)]
        return f"{self.file}:{self.line} {self.operator}: {shown[0]} -> {shown[1]}    {self.text}"


def mutations(file: str, source: str) -> list[Mutation]:
    """Every change of the file, in the sequence of its text; none twice."""
    code = _COMMENT_OR_STRING.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    headers, bodies = _spans(code)
    kinds: list[tuple[str, list[tuple[int, int]], Callable[[str], Iterator[tuple[int, str, str]]]]] = [
        ("operator", bodies, _operators),
        ("constant", bodies + [found.span() for found in _CONSTANT.finditer(code)], _literals),
        ("refusal removed", bodies, partial(_removals, _REFUSAL)),
        ("event removed", bodies, partial(_removals, _EMIT)),
        ("statement removed", bodies, _statements),
        ("modifier removed", headers, partial(_removals, _MODIFIER)),
        ("arguments swapped", bodies, partial(_swaps, _PAIR, "{1}, {0}")),
        ("branches swapped", bodies, partial(_swaps, _TERNARY, "? {1} : {0};")),
    ]
    found: dict[tuple[int, str, str], Mutation] = {}
    for operator, spans, find in kinds:
        for begin, end in spans:
            for place, masked, after in find(code[begin:end]):
                start = begin + place
                before = source[start : start + len(masked)]
                line = source.count("\n", 0, start + len(before) - len(before.lstrip())) + 1
                text = source.splitlines()[line - 1].strip()
                found.setdefault((start, before, after), Mutation(file, line, operator, start, before, after, text))
    return sorted(found.values(), key=lambda mutation: (mutation.start, mutation.after))


def _spans(code: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where the functions' headers and bodies stand."""
    headers, bodies = [], []
    for found in _HEADER.finditer(code):
        opening = re.compile(r"[;{]").search(code, found.end())
        if opening is None or opening[0] == ";":
            continue
        depth, place = 1, opening.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(code[place], 0)
            place += 1
        headers.append((found.start(), opening.end()))
        bodies.append((opening.end(), place - 1))
    return headers, bodies


def _operators(body: str) -> Iterator[tuple[int, str, str]]:
    for pattern, replacements in _OPERATORS.items():
        for found in re.finditer(pattern, body):
            yield from ((found.start(), found[0], after) for after in replacements)


def _literals(body: str) -> Iterator[tuple[int, str, str]]:
    """One more, and one less or nothing."""
    for found in _LITERAL.finditer(body):
        value = int(found[0].replace("_", ""), 0)
        written = hex if found[0].startswith("0x") else str
        yield found.start(), found[0], written(value + 1)
        if value:
            yield found.start(), found[0], written(value - 1)


def _removals(pattern: re.Pattern[str], body: str) -> Iterator[tuple[int, str, str]]:
    yield from ((found.start(), found[0], " ") for found in pattern.finditer(body))


def _statements(body: str) -> Iterator[tuple[int, str, str]]:
    for found in _STATEMENT.finditer(body):
        is_whole = found[1].endswith(";") or ":=" in found[1] or found[1].startswith(("mstore", "sstore", "log"))
        if is_whole and not _DECLARATION.match(found[1]) and found[1].count("(") == found[1].count(")"):
            yield found.start(1), found[1], ""


def _swaps(pattern: re.Pattern[str], form: str, body: str) -> Iterator[tuple[int, str, str]]:
    for found in pattern.finditer(body):
        if found[1] != found[2]:
            yield found.start(), found[0], form.format(found[1], found[2])
