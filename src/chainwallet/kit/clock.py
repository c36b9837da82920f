"""Time: always UTC, always from here, so that a test can move it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def unix_seconds(moment: datetime) -> int:
    """Whole seconds since 1970, rounded down: what deadlines on chain are counted in."""
    return int(moment.timestamp())


def rfc3339(moment: datetime) -> str:
    """The moment in UTC, to the millisecond: 2026-11-22T04:05:06.789Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
