"""Customers' programmes: they pay, retry what they are not sure of under the same key, and write down what they heard.

Plain HTTP of the standard library; nothing of the service's own client.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.record import Record

FINAL = range(400, 500)
TRY_AGAIN_S = 0.1
DEPOSITS = 0.03  # of what clients ask for
_LOST = (OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, or `status` 0 for none."""

    status: int
    body: dict[str, Any]


class Caller:
    """Calls any of several servers with one key; moves to the next one when one fails."""

    def __init__(self, urls: Sequence[str], key: str, *, timeout_s: float = 30.0) -> None:
        self._hosts = [urlsplit(url).netloc for url in urls]
        self._turn = itertools.cycle(range(len(self._hosts)))
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """One attempt."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._hosts[next(self._turn)], timeout=self._timeout_s)
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            return Answer(answer.status, json.loads(answer.read() or b"{}"))
        except _LOST as lost:
            self.hang_up()
            return Answer(0, {"detail": repr(lost)})

    def insist(self, method: str, path: str, body: Any = None, *, key: str | None = None, for_s: float = 120) -> Any:
        """The body of a success; tried again until then, RuntimeError for a refusal."""
        end = time.monotonic() + for_s
        while True:
            answer = self.call(method, path, body, key=key)
            if 200 <= answer.status < 300:
                return answer.body
            if (answer.status in FINAL and answer.status != 429) or time.monotonic() > end:
                raise RuntimeError(f"{method} {path}: {answer}")
            time.sleep(TRY_AGAIN_S)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Who pays whom, in which currencies."""

    payers: tuple[str, ...]
    payees: tuple[str, ...]
    currencies: tuple[str, ...]
    cross_share: float = 0.4


class Fleet:
    """`clients` threads that pay until told to stop, `per_s` payments a second in all at most."""

    def __init__(
        self,
        urls: Sequence[str],
        key: str,
        record: Record,
        stage: Stage,
        *,
        seed: int,
        clients: int = 4,
        per_s: float = 40,
        run: str = "run",
    ) -> None:
        self._urls, self._key, self._record, self._stage = urls, key, record, stage
        self._stopping = threading.Event()
        self._pause_s = clients / per_s
        self._name = f"{run}-{seed}"
        self._threads = [
            threading.Thread(target=self._pay, args=(n, random.Random(f"{seed}/{n}")), name=f"client-{n}", daemon=True)
            for n in range(clients)
        ]
        self.accepted = 0
        self._counting = threading.Lock()
        self.error: BaseException | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, *, patience_s: float = 60) -> None:
        """No new payments; those asked for are insisted on, for `patience_s` at most."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(patience_s)
        if self.error is not None:
            raise RuntimeError("a client failed") from self.error

    def _pay(self, number: int, draw: random.Random) -> None:
        try:
            caller = Caller(self._urls, self._key)
            for count in itertools.count():
                if self._stopping.wait(self._pause_s * draw.uniform(0.5, 1.5)):
                    return
                key = f"{self._name}-{number}-{count}"
                if draw.random() < DEPOSITS:
                    self._deposit(caller, key, draw)
                else:
                    self._pay_one(caller, key, draw)
        except BaseException as error:
            self.error = error
            raise

    def _pay_one(self, caller: Caller, key: str, draw: random.Random) -> None:
        body = self._payment(key, draw)
        self._record.add("asked", key=key, body=body)
        end: float | None = None
        while True:
            answer = caller.call("POST", "/v1/transfers", body, key=key)
            if answer.status == 201:
                self._record.add("told", key=key, transfer=answer.body)
                with self._counting:
                    self.accepted += 1
                if draw.random() < 0.05:  # a client that forgot that it was answered
                    again = caller.call("POST", "/v1/transfers", body, key=key)
                    if again.status == 201:
                        self._record.add("told", key=key, transfer=again.body)
                return
            if answer.status in FINAL and answer.status != 429:
                self._record.add("refused", key=key, status=answer.status, code=answer.body.get("code"))
                return
            if self._stopping.is_set():
                end = end or time.monotonic() + 30
                if time.monotonic() > end:
                    self._record.add("gave_up", key=key, answer=answer.status)
                    return
            time.sleep(TRY_AGAIN_S)

    def _deposit(self, caller: Caller, key: str, draw: random.Random) -> None:
        """A deposit is insisted on: of one that was asked for, it is known what it must have become."""
        code, owner, cents = (
            draw.choice(self._stage.currencies),
            draw.choice(self._stage.payees),
            draw.randint(100, 900),
        )
        amount = {"currency": code, "value": f"{cents // 100}.{cents % 100:02}"}
        caller.insist("POST", "/v1/deposits", {"customer_id": owner, "amount": amount}, key=key)
        self._record.add("deposited", customer=owner, currency=code, units=cents * 10**4)

    def _payment(self, key: str, draw: random.Random) -> dict[str, Any]:
        source = draw.choice(self._stage.currencies)
        others = [code for code in self._stage.currencies if code != source]
        target = draw.choice(others) if others and draw.random() < self._stage.cross_share else source
        cents = draw.randint(100, 2_000)
        return {
            "quote": {
                "source_currency": source,
                "target_currency": target,
                "source_amount": {"currency": source, "value": f"{cents // 100}.{cents % 100:02}"},
            },
            "payer_id": draw.choice(self._stage.payers),
            "payee": {"customer_id": draw.choice(self._stage.payees)},
            "reference": key,
        }
