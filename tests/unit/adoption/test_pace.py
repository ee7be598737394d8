"""Pieces are as large as a short transaction allows."""

from __future__ import annotations

from entrepot.adoption.batch_size import TARGET_SECONDS, Pace


def _play(pace: Pace, costs: list[float]) -> None:
    for cost in costs:
        pace.took(pace.size * cost, pace.size)


def test_a_piece_takes_the_time_it_should() -> None:
    """At half a millisecond an item, forty items fill the time."""
    pace = Pace(8)
    _play(pace, [0.0005] * 10)
    assert pace.size == int(TARGET_SECONDS / 0.0005)


def test_it_grows_by_doubling_at_most() -> None:
    """A first quick piece is no promise."""
    pace = Pace(10)
    _play(pace, [0.0])
    assert pace.size == 20


def test_one_slow_piece_does_not_slow_down_the_rest() -> None:
    """A processor that was busy for a moment says nothing about the next piece."""
    pace = Pace(40)
    _play(pace, [0.0005] * 5)
    _play(pace, [0.05])
    assert pace.size == 40


def test_it_shrinks_where_everything_is_slow() -> None:
    """After some slow pieces in a row the pieces are small, and never too small to get on."""
    pace = Pace(40)
    _play(pace, [0.0005] * 7 + [0.002] * 7)
    assert pace.size == 10
    _play(pace, [1.0] * 7)
    assert pace.size == 8


def test_nothing_is_learned_from_nothing() -> None:
    """A piece without items keeps the size."""
    pace = Pace(40)
    pace.took(1.0, 0)
    assert pace.size == 40
