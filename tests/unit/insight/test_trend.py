"""Trends and the days they lead to: right for lines, unmoved by odd days, and honest about what they do not know."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from entrepot.insight.forecast import HORIZON, Outlook, foretell
from entrepot.insight.trend import FEWEST, Point, trend_of

TODAY = 20_000
GIB = 1024**3
SLOPES = st.integers(-50 * GIB, 50 * GIB)
LENGTHS = st.integers(FEWEST, 60)
LEVELS = st.integers(0, 5_000 * GIB)


def line(slope: int, days: int, level: int = 0) -> list[Point]:
    """Give days on a line, the last one today."""
    return [Point(TODAY - days + 1 + day, level + slope * day) for day in range(days)]


@given(slope=SLOPES, days=LENGTHS, level=LEVELS)
def test_a_line_has_its_own_slope(slope: int, days: int, level: int) -> None:
    """Without scatter there is no doubt either."""
    trend = trend_of(line(slope, days, level))
    assert trend is not None
    assert (trend.slope, trend.lowest, trend.highest) == (slope, slope, slope)


@given(slope=SLOPES, days=st.integers(20, 60), data=st.data())
def test_odd_days_do_not_matter(slope: int, days: int, data: st.DataObject) -> None:
    """One day in five may be anything: the slope stays that of the others."""
    points = line(slope, days, 10**13)
    for number in data.draw(st.sets(st.integers(0, days - 1), max_size=days // 5)):
        points[number] = Point(points[number].day, data.draw(st.integers(0, 10**15)))
    trend = trend_of(points)
    assert trend is not None
    assert trend.slope == slope


@given(points=st.lists(st.integers(0, 10**15), min_size=FEWEST, max_size=40), shift=st.integers(0, 10**14))
def test_the_interval_holds_the_slope_and_shifts_do_not_matter(points: list[int], shift: int) -> None:
    """Whatever the days look like; and the same more on each day is the same trend."""
    days = [Point(TODAY + day, size) for day, size in enumerate(points)]
    trend = trend_of(days)
    assert trend is not None
    assert trend.lowest <= trend.slope <= trend.highest
    assert trend == trend_of([Point(one.day, one.bytes + shift) for one in days])


@given(points=st.lists(st.integers(0, 10**15), min_size=FEWEST, max_size=30))
def test_what_grows_the_other_way_has_the_other_slope(points: list[int]) -> None:
    """Mirrored days have the mirrored trend, interval and all."""
    trend = trend_of([Point(TODAY + day, size) for day, size in enumerate(points)])
    mirrored = trend_of([Point(TODAY + day, -size) for day, size in enumerate(points)])
    assert trend is not None
    assert mirrored is not None
    assert mirrored.slope == -trend.slope
    low, high = -mirrored.highest, -mirrored.lowest
    assert abs(low - trend.lowest) <= abs(trend.highest - trend.lowest)
    assert abs(high - trend.highest) <= abs(trend.highest - trend.lowest)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of 400 lines with scatter, at least 92 in 100 have their own slope within the interval."""
    chance, held = random.Random(20260102), 0
    for _ in range(400):
        slope = chance.uniform(-5, 5) * GIB
        points = [Point(day, int(slope * day + chance.gauss(0, 20 * GIB))) for day in range(30)]
        trend = trend_of(points)
        assert trend is not None
        held += trend.lowest <= slope <= trend.highest
    assert held >= 0.92 * 400


def test_too_few_days_say_nothing() -> None:
    """Six days are no trend, seven are."""
    assert trend_of(line(1, FEWEST - 1)) is None
    assert trend_of(line(1, FEWEST)) is not None
    assert foretell(line(GIB, FEWEST - 1), 1000 * GIB).outlook is Outlook.UNKNOWN
    assert foretell([], 1000).outlook is Outlook.UNKNOWN


@given(slope=st.integers(2, 50 * GIB), days=LENGTHS, left=st.integers(0, 400))
def test_the_day_is_when_the_line_reaches_the_limit(slope: int, days: int, left: int) -> None:
    """On that day there is room for no other like the last; the line without scatter leaves no doubt."""
    points = line(slope, days)
    limit = points[-1].bytes + slope * left + 1
    told = foretell(points, limit)
    assert (told.outlook, told.days_left(TODAY)) == (Outlook.FILLING, left)
    assert (told.earliest, told.latest) == (told.day, told.day)


@given(points=st.lists(st.integers(0, 10**12), min_size=FEWEST, max_size=30), room=st.integers(1, 10**13))
def test_the_dates_are_in_order(points: list[int], room: int) -> None:
    """Never later than the latest, never sooner than the earliest, none before today or beyond the horizon."""
    days = [Point(TODAY - len(points) + 1 + day, size) for day, size in enumerate(points)]
    told = foretell(days, points[-1] + room)
    dates = [date for date in (told.earliest, told.day, told.latest) if date is not None]
    assert dates == sorted(dates)
    assert all(TODAY <= date <= TODAY + HORIZON for date in dates)
    assert (told.outlook is Outlook.FILLING) == (told.day is not None)
    if told.latest is not None:
        assert None not in (told.day, told.earliest)


def test_what_is_full_or_does_not_fill_is_told_so() -> None:
    """Full, unlimited, shrinking, standing still, and so slow that nobody can tell."""
    full = foretell(line(GIB, 10), 9 * GIB)
    assert (full.outlook, full.days_left(TODAY)) == (Outlook.FULL, 0)
    free = foretell(line(GIB, 10), None)
    assert (free.outlook, free.days_left(TODAY)) == (Outlook.UNLIMITED, None)
    for slope in (-GIB, 0, 1):
        told = foretell(line(slope, 10, 100 * GIB), 1000 * GIB)
        assert (told.outlook, told.day, told.days_left(TODAY)) == (Outlook.STEADY, None, HORIZON)


def test_the_slope_is_the_median_of_all_pairs() -> None:
    """Held against the plainest way to say it."""
    sizes = [5, 1, 9, 2, 2, 30, 4, 8]
    slopes = sorted(Fraction(b - a, j - i) for i, a in enumerate(sizes) for j, b in enumerate(sizes) if j > i)
    trend = trend_of([Point(day, size) for day, size in enumerate(sizes)])
    assert trend is not None
    assert trend.slope == float(slopes[13] + slopes[14]) / 2
