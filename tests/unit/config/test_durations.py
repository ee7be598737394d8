"""Durations as Go reads and we write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.config.durations import format_duration, from_nanoseconds, parse_duration

GO_READS = [
    ("0", 0.0),
    ("0s", 0.0),
    ("30s", 30.0),
    ("168h", 604_800.0),
    ("1h30m", 5400.0),
    ("1.5h", 5400.0),
    (".5s", 0.5),
    ("5.s", 5.0),
    ("-1.5h", -5400.0),
    ("+5s", 5.0),
    ("250ms", 0.25),
    ("10us", 0.00001),
    ("10\u00b5s", 0.00001),
    ("10\u03bcs", 0.00001),
    ("7ns", 7e-9),
    ("1m1m", 120.0),
]
GO_REFUSES = ["", "s", "5", "1 h", "1h ", "h1", "1d", "-", ".s", "1e3s", "1..5s", "0x5s", "٣s", "300000000h"]


@pytest.mark.parametrize(("text", "seconds"), GO_READS)
def test_it_reads_what_go_reads(text: str, seconds: float) -> None:
    """A text of Go's grammar means the same number of seconds."""
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", GO_REFUSES)
def test_it_refuses_what_go_refuses(text: str) -> None:
    """A text outside Go's grammar, or longer than Go can hold, is no duration."""
    with pytest.raises(ValueError, match=r"duration|292 years"):
        parse_duration(text)


@given(st.integers(min_value=-(2**51), max_value=2**51))
def test_what_is_written_is_read_back(nanoseconds: int) -> None:
    """Every number of nanoseconds up to 26 days survives, as does every whole second beyond."""
    seconds = from_nanoseconds(nanoseconds)
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.lists(st.tuples(st.integers(0, 10**4), st.sampled_from(["h", "m", "s", "ms", "us", "ns"])), min_size=1))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    """A duration is the sum of its parts, in whatever order and however often a unit comes."""
    units = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    total = sum(count * units[unit] for count, unit in parts)
    assert parse_duration("".join(f"{count}{unit}" for count, unit in parts)) == total / 10**9


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """No text breaks the reader in another way than by ValueError."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert isinstance(seconds, float)
