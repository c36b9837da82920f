"""When a corridor works: cut-off, weekends and holidays of both sides, and when a payment therefore arrives.

Calendars are those of the `holidays` library: a country ("DE", "CN"), or a market or settlement system ("ECB" is
TARGET2, "XNYS" the New York exchange), with each one's own weekend and its make-up working days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

_LOOK_AHEAD_DAYS = 60  # no calendar closes for longer


class AfterCutOff(StrEnum):
    NEXT_DAY = "next_day"  # accepted, and counted from the next day both sides work
    REFUSE = "refuse"  # not taken until then


class CalendarUnknown(ValueError):
    """No such calendar in the library."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A stretch of time in which every payment counts from the same moment.

    `opens_at` is None while the corridor is open; otherwise payments count from then.
    """

    starts_at: datetime
    ends_at: datetime
    opens_at: datetime | None
    delivered_by: datetime | None


@dataclass(slots=True)
class Hours:
    """A corridor's clock. Without calendars every day is a working day; without a cut-off the day is whole.

    `delivery_s` counts from acceptance or from the opening; `delivery_days`, where given, counts working days of both
    sides instead, until `delivery_time` of the last.
    """

    zone: ZoneInfo
    cut_off: time | None
    calendars: tuple[str, ...]
    after_cut_off: AfterCutOff
    delivery_s: int
    delivery_days: int | None = None
    delivery_time: time = time(23, 59)
    _shift: Shift | None = field(default=None, compare=False, repr=False)

    def shift(self, at: datetime) -> Shift:
        """The shift that `at` falls in. It is kept: the next payment most likely falls in the same."""
        kept = self._shift
        if kept is None or not kept.starts_at <= at < kept.ends_at:
            kept = self._shift = self._make(at)
        return kept

    def deliver_by(self, at: datetime) -> datetime:
        """When a payment accepted at `at` is estimated to be with the payee."""
        shift = self.shift(at)
        return shift.delivered_by or (shift.opens_at or at) + timedelta(seconds=self.delivery_s)

    def _make(self, at: datetime) -> Shift:
        """From one boundary to the next: midnight and, on a working day, the cut-off."""
        local = at.astimezone(self.zone)
        today = local.date()
        midnight, next_midnight = self._moment(today, time.min), self._moment(today + timedelta(days=1), time.min)
        if not is_working_day(self.calendars, today):
            return self._closed(midnight, next_midnight, today)
        if self.cut_off is None or self.cut_off == time.min:
            return Shift(midnight, next_midnight, None, self._delivered(today))
        closes_at = self._moment(today, self.cut_off)
        if at < closes_at:
            return Shift(midnight, closes_at, None, self._delivered(today))
        return self._closed(closes_at, next_midnight, today)

    def _closed(self, starts_at: datetime, ends_at: datetime, today: date) -> Shift:
        opening = next(_working_days(self.calendars, after=today))
        return Shift(starts_at, ends_at, self._moment(opening, time.min), self._delivered(opening))

    def _delivered(self, start: date) -> datetime | None:
        if self.delivery_days is None:
            return None
        days = _working_days(self.calendars, after=start)
        last = start
        for _ in range(self.delivery_days):
            last = next(days)
        return self._moment(last, self.delivery_time)

    def _moment(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self.zone).astimezone(UTC)


def is_working_day(calendars: Sequence[str], day: date) -> bool:
    """Whether every one of these calendars works on `day`."""
    return all(_calendar(name).is_working_day(day) for name in calendars)


def check_calendar(name: str) -> None:
    """CalendarUnknown unless the library has it."""
    _calendar(name)


def _working_days(calendars: Sequence[str], *, after: date) -> Iterator[date]:
    for ahead in range(1, _LOOK_AHEAD_DAYS + 1):
        day = after + timedelta(days=ahead)
        if is_working_day(calendars, day):
            yield day
    raise CalendarUnknown(f"The calendars {', '.join(calendars)} have no working day in common.")


@cache
def _calendar(name: str) -> Any:
    import holidays  # most of a second: only where a corridor has a calendar

    if name in holidays.list_supported_financial(include_aliases=True):
        return holidays.financial_holidays(name)
    if name in holidays.list_supported_countries(include_aliases=True):
        return holidays.country_holidays(name)
    raise CalendarUnknown(f"There is no calendar {name[:16]}; use a country such as DE, or a market such as ECB.")
