"""One watcher per process that publishes new events and wakes every open event stream."""

from __future__ import annotations

import asyncio

import structlog
from starlette.concurrency import run_in_threadpool

from chainwallet.kit.database import Database
from chainwallet.records import outbox, webhooks

POLL_S = 0.2
STREAMS_MAX = 200

_log = structlog.get_logger(__name__)


class EventFeed:
    """Streams wait here for a position beyond theirs. The database is asked only while somebody waits."""

    def __init__(self, database: Database, *, poll_s: float = POLL_S) -> None:
        self._database = database
        self._poll_s = poll_s
        self._position = -1
        self._listeners = 0
        self._changed: asyncio.Event | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return self._listeners >= STREAMS_MAX

    def join(self) -> None:
        """Called when a stream opens; `leave` when it ends."""
        self._listeners += 1
        if self._watcher is None or self._watcher.done():
            self._changed = asyncio.Event()
            self._watcher = asyncio.create_task(self._watch())

    def leave(self) -> None:
        self._listeners -= 1
        if self._listeners == 0 and self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def wait_beyond(self, position: int, *, timeout_s: float) -> bool:
        """Whether there may be events after `position` now; False after `timeout_s` without."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._position <= position:
                    assert self._changed is not None
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        while True:
            try:
                position = await run_in_threadpool(self._publish)
            except Exception:
                _log.exception("event_feed_failed")
                position = self._position
            if position > self._position:
                self._position = position
                assert self._changed is not None
                woken, self._changed = self._changed, asyncio.Event()
                woken.set()
            await asyncio.sleep(self._poll_s)

    def _publish(self) -> int:
        with self._database.transaction() as session:
            webhooks.publish(session)
        with self._database.transaction() as session:
            return outbox.last_position(session)
