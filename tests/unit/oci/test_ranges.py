"""Ranges are those of RFC 9110; what a server may ignore costs nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.errors import BlobRangeInvalid, UploadRangeInvalid
from entrepot.oci.ranges import ByteRange, parse_content_range, parse_range

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
    assert parse_range(value, SIZE) == expected


@pytest.mark.parametrize(
    "value", ["bytes=500-0", "bytes=2000-", "bytes=2000-3000", "bytes=-0", f"bytes={'9' * 10_000}-"]
)
def test_a_range_without_a_byte_is_refused(value: str) -> None:
    """The error knows the size for the answer's Content-Range."""
    with pytest.raises(BlobRangeInvalid) as caught:
        parse_range(value, SIZE)
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
        "bytes=0-1,5-6",
        "bytes=0-1,",
        "bytes=0x1-2",
    ],
)
def test_what_is_no_single_range_is_ignored(value: str | None) -> None:
    """Other units, malformed headers and several ranges get the whole blob."""
    assert parse_range(value, SIZE) is None


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-99", "bytes=-5", "bytes=7-"])
def test_an_empty_blob_has_no_ranges(value: str) -> None:
    """Clients that ask for `bytes=0-` each time get an empty blob, not an error."""
    assert parse_range(value, 0) is None


@given(st.integers(0, 3000), st.integers(0, 3000) | st.none(), st.integers(1, 3000))
def test_a_range_gives_what_slicing_gives(first: int, last: int | None, size: int) -> None:
    """Start and length cut the same bytes out as Python's own slice."""
    positions = list(range(size))
    expected = positions[first:] if last is None else positions[first : last + 1]
    try:
        found = parse_range(f"bytes={first}-{'' if last is None else last}", size)
    except BlobRangeInvalid:
        assert expected == []
    else:
        assert found is not None
        assert positions[found.start : found.start + found.length] == expected
        assert found.last == expected[-1]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_a_suffix_gives_what_slicing_gives(length: int, size: int) -> None:
    """The last bytes are the last bytes."""
    positions = list(range(size))
    found = parse_range(f"bytes=-{length}", size)
    assert found is not None
    assert positions[found.start : found.start + found.length] == positions[-length:]


@given(st.text(max_size=30) | st.text(alphabet="bytes=0123-, ", max_size=30), st.integers(0, 50))
def test_any_header_is_a_range_ignored_or_refused(value: str, size: int) -> None:
    """No header makes the parser fail, and a range always lies inside of the blob."""
    try:
        found = parse_range(value, size)
    except BlobRangeInvalid:
        return
    assert found is None or (found.start >= 0 and found.length >= 1 and found.last < size)


@pytest.mark.parametrize(
    "value", ["bytes=" + "0-1," * 10_000, "bytes=" + "0-1 " * 10_000, "bytes=" + " " * 60_000, "bytes=" + "1" * 60_000]
)
def test_ten_thousand_parts_cost_no_time(value: str) -> None:
    """A hostile header is passed over in one go."""
    started = time.thread_time()
    assert parse_range(value, SIZE) is None
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
