"""Of many ladders that arrive in a tick, the newest of each pair: bounded, whatever arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chainwallet.entrypoints.rest.problems import RequestInvalid
from chainwallet.entrypoints.rest.strict_json import parse_strictly
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import currency
from chainwallet.settlement.ladders import MakerLadderStale

Pair = tuple[str, str]


@dataclass(slots=True)
class Tick:
    """What one application takes: the newest message of each pair, and what was refused before it got so far.

    `received` counts the messages behind it; `refused` has the newest refusal of a pair, None where none was named.
    """

    received: int = 0
    newest: dict[Pair, dict[str, Any]] = field(default_factory=dict)
    refused: dict[Pair | None, tuple[int | None, ChainwalletError]] = field(default_factory=dict)


class Conflation:
    """Keeps what arrived since the last tick. At most `ladders_max` pairs go into one; the others wait their turn."""

    def __init__(self, *, ladders_max: int) -> None:
        self._ladders_max = ladders_max
        self._pending: dict[Pair, dict[str, Any]] = {}
        self._refused: dict[Pair | None, tuple[int | None, ChainwalletError]] = {}
        self._received = 0

    @property
    def received(self) -> int:
        """How many messages arrived since the last tick."""
        return self._received

    @property
    def is_empty(self) -> bool:
        return not (self._pending or self._refused)

    def offer(self, text: str) -> None:
        """Take a message in. What is wrong with it is told with the tick; so is that it came too late."""
        self._received += 1
        try:
            document = parse_strictly(text.encode("utf-8", "surrogatepass"))
            pair, version = _head(document)
        except ChainwalletError as error:
            self._refused[None] = (None, error)
            return
        pending = self._pending.get(pair)
        if pending is None or pending["version"] < version:
            self._pending[pair] = document  # in the place of the older one, if there is one
        else:
            self._refused[pair] = (version, _overtaken(pair, version, pending["version"]))

    def take(self) -> Tick:
        """The tick that is due, and room for the next."""
        taken = list(self._pending)[: self._ladders_max]
        tick = Tick(self._received, {pair: self._pending.pop(pair) for pair in taken}, self._refused)
        self._refused, self._received = {}, 0
        return tick


def _head(document: Any) -> tuple[Pair, int]:
    """What conflation needs to know of a message; the rest of it is checked if it is the newest when its tick comes."""
    if not isinstance(document, dict) or document.get("type") != "ladder":
        raise RequestInvalid(
            'A message is a JSON object with "type": "ladder", sell, buy, version, expires_at, levels.'
        )
    sell, buy, version = document.get("sell"), document.get("buy"), document.get("version")
    if not isinstance(sell, str) or not isinstance(buy, str) or type(version) is not int:
        raise RequestInvalid("A ladder names what it sells and buys, and has a version that is a whole number.")
    return (currency(sell).code, currency(buy).code), version


def _overtaken(pair: Pair, version: int, newest: int) -> MakerLadderStale:
    return MakerLadderStale(
        f"Version {version} of the ladder {pair[0]}-{pair[1]} came after version {newest}; send a higher one.",
        version=newest,
    )
