"""The loop of the reference maker: ask for mid and inventory, send what drifted, listen, again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import httpx
import structlog

from chainwallet.client import ApiError, Client, Json
from chainwallet.client.stream import MakerStream, StreamEnded
from chainwallet.entrypoints.maker.quoting import (
    LevelTerms,
    Style,
    has_drifted,
    make_ladder,
    skewed_worths,
    units_worth,
)
from chainwallet.kit.money import UNITS_PER_CURRENCY_UNIT, Money

_log = structlog.get_logger(__name__)

Pair = tuple[str, str]
Worths = Mapping[str, Fraction]
"""What one unit of each currency is worth, in units of one of them."""

RECONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make a market in. Pairs are quoted both ways; a first level is worth `size_units` as worths count."""

    pairs: tuple[Pair, ...]
    style: Style
    size_units: int
    lasts_s: float = 600.0
    refresh_s: float = 5.0
    drift_bps: Fraction = Fraction(1)

    @property
    def directions(self) -> list[Pair]:
        return [way for one, other in self.pairs for way in ((one, other), (other, one))]

    @property
    def currencies(self) -> list[str]:
        return sorted({code for pair in self.pairs for code in pair})


@dataclass(slots=True)
class _Posted:
    levels: tuple[LevelTerms, ...]
    expires_at: datetime


@dataclass(slots=True)
class MakerBot:
    """Quotes for one maker until `stop` is set; its ladders end with its stream. `worths` is asked at every refresh."""

    client: Client
    maker_id: str
    plan: Plan
    worths: Callable[[], Worths]
    stop: threading.Event = field(default_factory=threading.Event)
    _posted: dict[Pair, _Posted] = field(default_factory=dict)
    _version: int = 0

    def run(self) -> None:
        """ApiError or StreamEnded with a code when the service does not let this maker quote; else connects again."""
        while not self.stop.is_set():
            try:
                with self.client.maker_stream(self.maker_id, cancel_on_disconnect=True) as stream:
                    self._posted.clear()
                    self._quote(stream)
            except StreamEnded as ended:
                if ended.reason.isupper():
                    raise
                _log.warning("maker_stream_lost", code=ended.code)
            except (OSError, httpx.TransportError) as error:
                _log.warning("maker_service_away", error=repr(error))
            except ApiError as error:
                if not error.retryable:
                    raise
                _log.warning("maker_told_to_wait", code=error.code)
            self.stop.wait(RECONNECT_S)

    def _quote(self, stream: MakerStream) -> None:
        while not self.stop.is_set():
            for pair, levels in self.due().items():
                self._send(stream, pair, levels)
            self._listen(stream)

    def due(self) -> dict[Pair, tuple[LevelTerms, ...]]:
        """The ladders that are not, or not any longer, what they should be."""
        worths, free_units = self.worths(), self._free_units()
        mine = {code: worths[code] for code in self.plan.currencies}
        skewed = skewed_worths(mine, free_units, self.plan.style.skew_bps)
        found = {}
        for sell, buy in self.plan.directions:
            size_units = units_worth(self.plan.size_units, sell, mine)
            has_units = free_units.get(sell, 0)
            fresh = make_ladder(sell, buy, skewed, self.plan.style, size_units=size_units, inventory_units=has_units)
            if self._is_due((sell, buy), fresh):
                found[sell, buy] = fresh
        return found

    def _is_due(self, pair: Pair, fresh: tuple[LevelTerms, ...]) -> bool:
        posted = self._posted.get(pair)
        if posted is None:
            return bool(fresh)
        left_s = (posted.expires_at - datetime.now(UTC)).total_seconds()
        return left_s < self.plan.lasts_s / 2 or has_drifted(posted.levels, fresh, self.plan.drift_bps)

    def _free_units(self) -> dict[str, int]:
        items = self.client.get(f"/v1/makers/{self.maker_id}/exposure")["items"]
        return {one["currency"]: _units(one["inventory"]) - _units(one["reserved"]) for one in items}

    def _send(self, stream: MakerStream, pair: Pair, levels: Sequence[LevelTerms]) -> None:
        expires_at = datetime.now(UTC) + timedelta(seconds=self.plan.lasts_s)
        self._version = max(self._version + 1, time.time_ns() // 1_000_000)
        sell, buy = pair
        stream.send_ladder(
            sell,
            buy,
            version=self._version,
            expires_at=expires_at.isoformat(),
            levels=[
                {"sell": Money(sell, level.sell_units).value, "buy": Money(buy, level.buy_units).value}
                for level in levels
            ],
        )
        self._posted[pair] = _Posted(tuple(levels), expires_at)

    def _listen(self, stream: MakerStream) -> None:
        """Until something happened that changes what should be quoted, or it is time to look."""
        until = time.monotonic() + self.plan.refresh_s
        while not self.stop.is_set() and (left_s := until - time.monotonic()) > 0:
            message = stream.receive(timeout_s=min(left_s, 0.5))  # `stop` is looked at twice a second
            if message is not None and self._changes(message):
                return

    def _changes(self, message: Json) -> bool:
        for refused in message.get("rejected", ()):
            _log.warning("ladder_rejected", **{key: refused[key] for key in ("sell", "buy", "code", "reason")})
            self._posted.pop((refused["sell"], refused["buy"]), None)
            self._version = max(self._version, int(refused.get("context", {}).get("version", 0)))
        if message["type"] == "fill":
            _log.info("quote_filled", sold=message["sold"], bought=message["bought"])
            self._posted.pop((message["sold"]["currency"], message["bought"]["currency"]), None)  # to be filled up
        return message["type"] in ("fill", "reserved")


def service_worths(client: Client) -> Worths:
    """Mid as the service has it: what one unit of each currency is worth in EUR."""
    rates = client.get("/v1/rates")["rates"]
    return {code: 1 / Fraction(rate) for code, rate in rates.items()}


def open_maker(client: Client, alias: str, full_name: str, country: str) -> str:
    """The id of the maker with this alias, opened if there is none."""
    body = {"type": "maker", "alias": alias, "full_name": full_name, "country": country}
    try:
        return str(client.post("/v1/customers", body)["id"])
    except ApiError as error:
        if error.code != "CUSTOMER_ALIAS_TAKEN":
            raise
    return next(str(one["id"]) for one in client.items("/v1/customers", limit=200) if one["alias"] == alias.lower())


def fund_maker(client: Client, maker_id: str, currencies: Sequence[str], worths: Worths, worth_units: int) -> None:
    """Deposit, through the issuer, what the maker lacks of that much worth in each currency. For a sandbox."""
    has = {one["currency"]: _units(one["inventory"]) for one in client.get(f"/v1/makers/{maker_id}/exposure")["items"]}
    for code in currencies:
        lacking = units_worth(worth_units, code, worths) - has.get(code, 0)
        if lacking > 0:
            client.deposit(maker_id, {"currency": code, "value": Money(code, lacking).value})


def _units(value: str) -> int:
    return int(Fraction(value) * UNITS_PER_CURRENCY_UNIT)
