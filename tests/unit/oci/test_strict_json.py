"""Two readers cannot see two documents in bytes that this reader takes."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.strict_json import MAX_DEPTH, JsonInvalid, loads
from tests.unit.oci.bodies import json_values


def depth_of(value: object) -> int:
    """Count levels the slow way."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def seconds_to_refuse(raw: bytes) -> float:
    """Take the best of three times of this thread alone, since the machine has other things to do too."""
    times = []
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(JsonInvalid):
            loads(raw)
        times.append(time.thread_time() - started)
    return min(times)


@given(json_values, st.booleans(), st.sampled_from([None, 2]))
def test_what_python_writes_is_read_back(value: object, escaped: bool, indent: int | None) -> None:  # noqa: FBT001 -- hypothesis chooses it
    """Every JSON value survives, however it is written."""
    assert loads(json.dumps(value, ensure_ascii=escaped, indent=indent).encode(), max_depth=100) == value


@given(json_values)
def test_depth_is_counted_exactly(value: object) -> None:
    """The quick count agrees with the slow one, brackets and quotes inside of strings included."""
    raw = json.dumps(value).encode()
    depth = depth_of(value)
    assert loads(raw, max_depth=depth) == value
    if depth:
        with pytest.raises(JsonInvalid, match=f"more than {depth - 1} levels"):
            loads(raw, max_depth=depth - 1)


@given(st.text(alphabet='\\"[]{}:,a', max_size=40))
def test_text_that_looks_like_structure_is_text(text: str) -> None:
    """Backslashes, quotes and brackets in strings never count as structure."""
    assert loads(json.dumps([text, [text]]).encode(), max_depth=2) == [text, [text]]


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0d8 1', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No input raises anything but the one error, and what is taken, the plain reader takes too."""
    try:
        value = loads(raw)
    except JsonInvalid:
        return
    assert json.loads(raw) == value


def test_the_deepest_document_allowed_is_read() -> None:
    """The bound is inclusive."""
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(JsonInvalid, match="nested more than 64 levels deep"):
        loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


#: What the parser would make very many Python objects of, or spend quadratic time on.
HOSTILE = {
    "objects": b"[" + b"{}," * 1_398_100 + b"{}]",
    "numbers": b"[" + b"1," * 2_097_150 + b"1]",
    "members": b"{" + b",".join(b'"%x":1' % number for number in range(400_000)) + b"}",
    "strings": b"[" + b'"",' * 1_398_100 + b'""]',
    "closings": b"[[" + b"]" * 4_194_302,
    "digits": b"[" + b",".join([b"9" * 4_000] * 1_000) + b"]",
}


@pytest.mark.parametrize(
    "raw", [b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 200_000, b'{"a":[' * 100_000]
)
def test_200_000_levels_are_refused_within_50_ms(raw: bytes) -> None:
    """Hostile nesting neither recurses nor takes time."""
    assert seconds_to_refuse(raw) < 0.05


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_4_mib_of_values_are_refused_within_50_ms(raw: bytes) -> None:
    """Millions of objects would take seconds and hundreds of megabytes; they are counted before they are made."""
    assert seconds_to_refuse(raw) < 0.05


def test_an_index_of_ten_thousand_entries_is_read() -> None:
    """As many entries as a manifest may have, with platform and annotations, are within the bound."""
    platform = {"architecture": "arm", "os": "linux", "variant": "v7"}
    entry = {"mediaType": "a/b", "digest": "d", "size": 1, "platform": platform, "annotations": {"a": ",", "b": "["}}
    index = {"schemaVersion": 2, "manifests": [entry] * 10_000}
    assert loads(json.dumps(index).encode()) == index


@pytest.mark.parametrize("raw", [b'"' + b'\\"' * 2_000_000, b"[[" + b'"' * 4_000_000, b"[[" + b"\\" * 4_000_000])
def test_unterminated_strings_take_linear_time(raw: bytes) -> None:
    """Four megabytes of quotes or backslashes are read once, not once for each."""
    assert seconds_to_refuse(raw) < 1


def test_a_flat_document_of_4_mib_is_read_quickly() -> None:
    """The size that clients are promised costs next to nothing."""
    annotations = {f"key{number}": "x" * 10_000 for number in range(390)}
    raw = json.dumps({"annotations": annotations}).encode()
    started = time.thread_time()
    assert loads(raw) == {"annotations": annotations}
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("\ufeff{}".encode("utf-16"), "UTF-8"),
        ("{}".encode("utf-16-le"), "not valid JSON"),
        (b'{"a":1,"a":1}', "'a' appears twice"),
        (b'{"a":1,"b":2,"\\u0061":1}', "'a' appears twice"),
        (b'[{"x":{"a":1,"a":2}}]', "'a' appears twice"),
        (b"{}{}", "Extra data"),
        (b"{}\x00", "Extra data"),
        (b"{} x", "Extra data"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e999", "too large"),
        (b'{"a":[-1E+400]}', "too large"),
        (b'"\xff"', "not valid UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),
        (b'"\xc0\xaf"', "not valid UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b"9" * 5000, "too many digits"),
        (b"", "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b"01", "not valid JSON"),
        (b'"\n"', "not valid JSON"),
        (b"/**/{}", "not valid JSON"),
    ],
)
def test_liberties_are_refused(raw: bytes, reason: str) -> None:
    """Every liberty that some parser takes is refused with its reason."""
    with pytest.raises(JsonInvalid, match=reason):
        loads(raw)


def test_a_whole_surrogate_pair_is_text() -> None:
    """An escaped character beyond the basic plane is read."""
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_white_space_around_the_document_is_allowed() -> None:
    """Clients may end a manifest with a line feed."""
    assert loads(b' \r\n\t{"a": [1]}\n') == {"a": [1]}
