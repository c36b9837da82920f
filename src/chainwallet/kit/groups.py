"""Group commit: concurrent requests of one kind share one transaction, and each is told its own outcome."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from psycopg import errors
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from chainwallet.kit.database import Database

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

_log = structlog.get_logger(__name__)

_CONFLICTS = (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure)


@dataclass(frozen=True, slots=True)
class _Member(Generic[Request]):
    """A request with whoever waits for its outcome: in `loop`, or in a thread where there is none."""

    request: Request
    future: Any
    loop: asyncio.AbstractEventLoop | None = None


class GroupCommit(Generic[Request, Outcome]):
    """Runs `work(session, requests)` for whatever has queued up, in one transaction per group.

    `work` returns one outcome per request, in order; an outcome that is an exception is raised to
    its own caller only. Outcomes are handed out after the commit, so "accepted" means durable, unless
    `durable` is false: then a power cut may undo what was just answered. If a
    group as a whole fails (a constraint, a lost connection), its members are tried one at a time, so
    that one bad request cannot take its neighbours with it. One that meets what another process does
    at the same moment (a unique key, a deadlock) is tried once more, when that is there to be seen.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        work: Callable[[Session, Sequence[Request]], Sequence[Outcome | Exception]],
        *,
        largest: int = 64,
        durable: bool = True,
        after_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._work = work
        self._largest = largest
        self._durable = durable
        self._after_commit = after_commit
        self._queue: queue.SimpleQueue[_Member[Request] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"group-{name}", daemon=True)
        self._thread.start()

    async def submit(self, request: Request) -> Outcome:
        """The outcome of `request`, once its group is committed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._queue.put(_Member(request, future, loop))
        return await future

    def submit_wait(self, request: Request) -> Outcome:
        """As `submit`, for callers outside an event loop."""
        future: Future[Outcome] = Future()
        self._queue.put(_Member(request, future))
        return future.result()

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._queue.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            stop = False
            while len(group) < self._largest:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    stop = True
                    break
                group.append(item)
            # From here on a caller that goes away no longer cancels its request; one that went before is left out.
            self._commit([member for member in group if not member.future.cancelled()])
            if stop:
                return

    def _commit(self, group: list[_Member[Request]], *, is_retry: bool = False) -> None:
        """Never raises: the thread serves everyone who comes later too."""
        try:
            with self._database.transaction(durable=self._durable) as session:
                outcomes = self._work(session, [member.request for member in group])
                if len(outcomes) != len(group):
                    raise RuntimeError(f"{len(outcomes)} outcomes for {len(group)} requests")
        except Exception as error:
            if len(group) == 1 and (is_retry or not _is_conflict(error)):
                _tell(group, [error])
                return
            _log.warning("group_commit_split", size=len(group), error=repr(error))
            for member in group:
                self._commit([member], is_retry=len(group) == 1)
            return
        _tell(group, outcomes)
        try:
            self._after_commit()
        except Exception:
            _log.exception("group_after_commit_failed")


def _tell(group: Sequence[_Member[Request]], outcomes: Sequence[Outcome | Exception]) -> None:
    """Wake each event loop once, however many wait in it: a wake-up of its own for each costs more than the answer."""
    told: dict[asyncio.AbstractEventLoop, list[tuple[Any, Any]]] = defaultdict(list)
    for member, outcome in zip(group, outcomes, strict=True):
        if member.loop is None:
            _resolve([(member.future, outcome)])
        else:
            told[member.loop].append((member.future, outcome))
    for loop, answers in told.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Iterable[tuple[Any, Any]]) -> None:
    for future, outcome in answers:
        if future.done():  # its caller went away
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _is_conflict(error: Exception) -> bool:
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, _CONFLICTS)
