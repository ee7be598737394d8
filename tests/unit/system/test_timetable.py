"""Schedules as lines of text: what they mean, in which time zone, over changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from entrepot.system.jobs.timetable import TimetableInvalid, every, first_time, next_time

BERLIN = ZoneInfo("Europe/Berlin")


def moments(line: str, after: datetime, count: int = 1, zone: str = "UTC") -> list[str]:
    """Give the next times as they are in their zone."""
    found, now = [], int(after.timestamp() * 1e6)
    for _ in range(count):
        now = next_time(line, zone, now)
        found.append(datetime.fromtimestamp(now / 1e6, after.tzinfo).strftime("%m-%d %H:%M:%S %z"))
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("*/5 * * * *", "03-01 10:05:00 +0000"),
        ("0 0 * * *", "03-02 00:00:00 +0000"),
        ("30 0 0 * * *", "03-02 00:00:30 +0000"),
        ("0 0 0 * * 0", "03-08 00:00:00 +0000"),
        ("0 0 * * MON", "03-02 00:00:00 +0000"),
        ("0 0 L * *", "03-31 00:00:00 +0000"),
        ("@daily", "03-02 00:00:00 +0000"),
        ("@hourly", "03-01 11:00:00 +0000"),
        ("@weekly", "03-08 00:00:00 +0000"),
        ("@every 90s", "03-01 10:03:30 +0000"),
    ],
)
def test_the_next_time_of_a_line(line: str, expected: str) -> None:
    """Five fields, six with seconds first, short names, and a fixed time between two runs."""
    assert moments(line, datetime(2026, 3, 1, 10, 2, tzinfo=UTC)) == [expected]


def test_a_time_that_the_clocks_leave_out_comes_once_they_moved() -> None:
    """At half past two in Berlin on the night when two becomes three: at three, once."""
    found = moments("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=BERLIN), 2, "Europe/Berlin")
    assert found == ["03-29 03:00:00 +0200", "03-30 02:30:00 +0200"]


def test_a_time_that_comes_twice_is_taken_once() -> None:
    """At half past two in Berlin on the night when three becomes two."""
    found = moments("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=BERLIN), 2, "Europe/Berlin")
    assert found == ["10-25 02:30:00 +0200", "10-26 02:30:00 +0100"]


def test_an_hourly_line_follows_real_hours() -> None:
    """Over both changes of clocks there is an hour between two runs."""
    for after in (datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN), datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN)):
        now = int(after.timestamp() * 1e6)
        times = [now := next_time("0 * * * *", "Europe/Berlin", now) for _ in range(5)]
        assert {later - earlier for earlier, later in pairwise(times)} == {3600 * 10**6}


@pytest.mark.parametrize(
    ("line", "zone"),
    [
        ("", "UTC"),
        ("* * * *", "UTC"),
        ("* * * * * * *", "UTC"),
        ("60 * * * *", "UTC"),
        ("0 0 31 2 *", "UTC"),
        ("@every soon", "UTC"),
        ("@every 10ms", "UTC"),
        ("@sometimes", "UTC"),
        ("* " * 1000, "UTC"),
        ("0 0 * * *", "Mars/Olympus"),
        ("0 0 * * *", "../../etc/passwd"),
        ("0 0 * * *", "Europe"),
        ("0 0 * * *", ""),
    ],
)
def test_what_is_no_schedule_is_refused(line: str, zone: str) -> None:
    """With a message that says how to write one."""
    with pytest.raises(TimetableInvalid, match=r"write|characters|shortest"):
        next_time(line, zone, 0)


def test_an_interval_of_the_configuration_becomes_a_line() -> None:
    """Also an odd one; one below the shortest becomes the shortest."""
    assert [every(seconds) for seconds in (86400.0, 1e7, 1.5, 0.1)] == [
        "@every 24h",
        "@every 2777h46m40s",
        "@every 1s500ms",
        "@every 1s",
    ]


def test_a_new_schedule_with_an_interval_begins_at_once() -> None:
    """One with a cron line waits for its time."""
    assert first_time("@every 24h", "UTC", 5) == 5
    assert first_time("0 0 * * *", "UTC", 5) == 86_400 * 10**6
