"""Ranges are those of RFC 9110; what a server may ignore costs nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.errors import BlobRangeInvalid, UploadRangeInvalid
from entrepot.oci.ranges import MOST_RANGES, ByteRange, parse_content_range, parse_ranges

SIZE = 2000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=500-1499", ByteRange(500, 1000)),
        ("bytes=500-", ByteRange(500, 1500)),
        ("bytes=0-", ByteRange(0, 2000)),
        ("bytes=-500", ByteRange(1500, 500)),
        ("bytes=-5000", ByteRange(0, 2000)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=1999-1999", ByteRange(1999, 1)),
        ("bytes=1999-99999", ByteRange(1999, 1)),
        ("Bytes=0-9", ByteRange(0, 10)),
        (" bytes= 0-9 ", ByteRange(0, 10)),
        ("bytes=0000000000000000000000000-9", ByteRange(0, 10)),
        (f"bytes=0-{'9' * 10_000}", ByteRange(0, 2000)),
        (f"bytes=-{'9' * 10_000}", ByteRange(0, 2000)),
    ],
)
def test_one_range(value: str, expected: ByteRange) -> None:
    """A range inside of the blob is found, an end beyond it is cut."""
    assert parse_ranges(value, SIZE) == (expected,)


@pytest.mark.parametrize(
    "value",
    ["bytes=500-0", "bytes=2000-", "bytes=2000-3000", "bytes=-0", f"bytes={'9' * 10_000}-", "bytes=2000-,3000-"],
)
def test_a_range_without_a_byte_is_refused(value: str) -> None:
    """The error knows the size for the answer's Content-Range."""
    with pytest.raises(BlobRangeInvalid) as caught:
        parse_ranges(value, SIZE)
    assert caught.value.size == SIZE


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=\u0661-\u0662",
        "lines=0-1",
        "bytes=0-1,a",
        "bytes=0-1,5-3",
        "bytes=0-1,-",
        "bytes=,",
        "bytes=0x1-2",
        "bytes=0-10,5-15",
        "bytes=0-,1999-",
        "bytes=-5,0-",
        "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(MOST_RANGES + 1)),
    ],
)
def test_what_is_no_range_is_ignored(value: str | None) -> None:
    """Other units, malformed headers, too many ranges and those that want bytes twice get the whole blob."""
    assert parse_ranges(value, SIZE) == ()


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-99", "bytes=-5", "bytes=7-"])
def test_an_empty_blob_has_no_ranges(value: str) -> None:
    """Clients that ask for `bytes=0-` each time get an empty blob, not an error."""
    assert parse_ranges(value, 0) == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-1,5-6", [(0, 2), (5, 2)]),
        ("bytes=5-6, 0-1", [(5, 2), (0, 2)]),
        ("bytes=0-0,-1", [(0, 1), (1999, 1)]),
        ("bytes=0-1,", [(0, 2)]),
        ("bytes=5000-,0-1,-0", [(0, 2)]),
        ("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(MOST_RANGES)), [(2 * n, 1) for n in range(MOST_RANGES)]),
    ],
)
def test_several_ranges(value: str, expected: list[tuple[int, int]]) -> None:
    """They are found in the order asked for; what lies outside of the blob is left out."""
    assert [(one.start, one.length) for one in parse_ranges(value, SIZE)] == expected


@given(st.integers(0, 3000), st.integers(0, 3000) | st.none(), st.integers(1, 3000))
def test_a_range_gives_what_slicing_gives(first: int, last: int | None, size: int) -> None:
    """Start and length cut the same bytes out as Python's own slice."""
    positions = list(range(size))
    expected = positions[first:] if last is None else positions[first : last + 1]
    try:
        (found,) = parse_ranges(f"bytes={first}-{'' if last is None else last}", size)
    except BlobRangeInvalid:
        assert expected == []
    else:
        assert positions[found.start : found.start + found.length] == expected
        assert found.last == expected[-1]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_a_suffix_gives_what_slicing_gives(length: int, size: int) -> None:
    """The last bytes are the last bytes."""
    positions = list(range(size))
    (found,) = parse_ranges(f"bytes=-{length}", size)
    assert positions[found.start : found.start + found.length] == positions[-length:]


@given(st.text(max_size=30) | st.text(alphabet="bytes=0123-, ", max_size=30), st.integers(0, 50))
def test_any_header_is_a_range_ignored_or_refused(value: str, size: int) -> None:
    """No header makes the parser fail; ranges lie inside of the blob, and have no more bytes than it."""
    try:
        found = parse_ranges(value, size)
    except BlobRangeInvalid:
        return
    assert all(one.start >= 0 and one.length >= 1 and one.last < size for one in found)
    assert sum(one.length for one in found) <= size


@pytest.mark.parametrize(
    "value", ["bytes=" + "0-1," * 10_000, "bytes=" + "0-1 " * 10_000, "bytes=" + " " * 60_000, "bytes=" + "1" * 60_000]
)
def test_ten_thousand_parts_cost_no_time(value: str) -> None:
    """A hostile header is passed over in one go."""
    started = time.thread_time()
    assert parse_ranges(value, SIZE) == ()
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0-99", (0, 99)),
        ("100-100", (100, 100)),
        (" 0-99 ", (0, 99)),
        ("bytes 0-99/200", (0, 99)),
        ("bytes 0-99/*", (0, 99)),
        ("bytes 0-99/100", (0, 99)),
        ("bytes=0-99", (0, 99)),
        ("Bytes 5-6", (5, 6)),
    ],
)
def test_content_range(value: str, expected: tuple[int, int]) -> None:
    """The specification's form and HTTP's own are both read."""
    assert parse_content_range(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "0-",
        "-1",
        "a-b",
        "1-0",
        "bytes 0-99/99",
        "bytes */100",
        "0-99,100-199",
        "0-" + "9" * 20,
        "0- 9",
        "\u0660-\u0669",
    ],
)
def test_malformed_content_ranges_are_refused(value: str) -> None:
    """The offset is not known here; the message says what is expected."""
    with pytest.raises(UploadRangeInvalid, match="invalid Content-Range") as caught:
        parse_content_range(value)
    assert caught.value.offset is None


@given(st.integers(0, 10**18), st.integers(0, 10**6))
def test_content_range_and_back(first: int, more: int) -> None:
    """Both numbers come through."""
    assert parse_content_range(f"{first}-{first + more}") == (first, first + more)


@given(st.text(max_size=30) | st.text(alphabet="bytes 0123-/*=", max_size=30))
def test_any_content_range_is_read_or_refused(value: str) -> None:
    """No header makes the parser fail in another way."""
    try:
        first, last = parse_content_range(value)
    except UploadRangeInvalid:
        return
    assert 0 <= first <= last
