"""A corridor's clock: cut-off, both sides' holidays, summer time, and what follows for the delivery."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwallet.controls.corridors.hours import AfterCutOff, CalendarUnknown, Hours, check_calendar

moments = st.integers(min_value=0, max_value=2 * 365 * 86_400).map(
    lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


def hours(
    *calendars: str, zone: str = "Europe/Berlin", cut_off: str | None = "16:00", days: int | None = None
) -> Hours:
    closes = None if cut_off is None else time.fromisoformat(cut_off)
    return Hours(ZoneInfo(zone), closes, calendars, AfterCutOff.NEXT_DAY, 30, days, time(17))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("at", "opens_at"),
    [
        ("2026-11-20T14:59:59+00:00", None),  # Friday, before the cut-off at 16:00 in Berlin
        ("2026-11-20T15:00:00+00:00", "2026-11-22T23:00:00+00:00"),  # at the cut-off: Monday, midnight in Berlin
        ("2026-11-21T10:00:00+00:00", "2026-11-22T23:00:00+00:00"),  # Saturday
        ("2026-07-03T13:59:00+00:00", None),  # summer time: 15:59 in Berlin
        ("2026-07-03T14:00:00+00:00", "2026-07-05T22:00:00+00:00"),
        ("2026-09-30T14:00:00+00:00", "2026-10-07T22:00:00+00:00"),  # China's National Day, a week
        ("2026-10-10T08:00:00+00:00", "2026-10-11T22:00:00+00:00"),  # China works this Saturday, TARGET2 does not
        ("2026-12-24T18:00:00+00:00", "2026-12-27T23:00:00+00:00"),  # Christmas, then a weekend
    ],
    ids=str,
)
def test_shift__is_open_only_where_both_sides_work(at: str, opens_at: str | None) -> None:
    found = hours("ECB", "CN").shift(moment(at))
    assert found.starts_at <= moment(at) < found.ends_at
    assert found.opens_at == (None if opens_at is None else moment(opens_at))


def test_delivery__counts_seconds_or_working_days() -> None:
    friday, saturday = moment("2026-11-20T10:00:00+00:00"), moment("2026-11-21T10:00:00+00:00")
    assert hours("ECB").deliver_by(friday) == moment("2026-11-20T10:00:30+00:00")
    assert hours("ECB").deliver_by(saturday) == moment("2026-11-22T23:00:30+00:00"), "from the opening on Monday"
    assert hours("ECB", days=1).deliver_by(friday) == moment("2026-11-23T16:00:00+00:00"), "Monday, 17:00 in Berlin"
    assert hours("ECB", days=1).deliver_by(saturday) == moment("2026-11-24T16:00:00+00:00")
    assert hours("ECB", days=0).deliver_by(friday) == moment("2026-11-20T16:00:00+00:00")


@given(moments)
def test_no_rules__is_always_open(at: datetime) -> None:
    assert hours(zone="UTC", cut_off=None).shift(at).opens_at is None


_KEPT = hours("ECB", "CN", days=2)


@given(moments)
def test_what_is_kept__is_what_would_be_made_anew(at: datetime) -> None:
    assert _KEPT.shift(at) == hours("ECB", "CN", days=2).shift(at)
    assert _KEPT.deliver_by(at) > at


def test_calendar__that_is_none__is_refused_by_name() -> None:
    check_calendar("DE")
    with pytest.raises(CalendarUnknown, match="Atlantis"):
        check_calendar("Atlantis")
