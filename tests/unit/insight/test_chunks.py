"""Chunks are cut where their bytes say so, sketches tell how much is in both, and layers are opened within bounds."""

from __future__ import annotations

import gzip
import random
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.insight.duplicates import chunks as rules
from entrepot.insight.duplicates import expansion as expanding
from entrepot.insight.duplicates.chunks import LEAST, MOST, Chunks
from entrepot.insight.duplicates.expansion import Expansion, Outcome
from entrepot.insight.duplicates.sketch import KEPT, Sketching, count_of, hashes_of, in_both

KIB = 1024


def noise(size: int, seed: int = 1) -> bytes:
    """Give bytes that do not repeat."""
    return random.Random(seed).randbytes(size)


def cut(data: bytes, piece: int = 100 * KIB) -> list[bytes]:
    """Cut bytes that come in pieces."""
    work = Chunks()
    found = [chunk for at in range(0, len(data), piece) for chunk in work.cut(data[at : at + piece])]
    return [*found, *work.last()]


def sketch(chunks: list[bytes]) -> list[int]:
    """Sketch chunks."""
    work = Sketching()
    for chunk in chunks:
        work.add(chunk)
    return hashes_of(work.finish())


def test_the_pattern_is_no_part_of_itself() -> None:
    """No beginning of it is an end of it, and no run of one byte has it: runs of zeros are cut by length alone."""
    pattern = rules._PATTERN
    assert not any(pattern.endswith(pattern[:size]) for size in range(1, len(pattern)))
    assert set(cut(bytes(10 * MOST))) == {bytes(MOST)}
    assert 110 < rules._TABLE.count(b"1") < 146


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 90 * KIB), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    kind=st.sampled_from([b"", b"\0", b"line of text\n"]),
)
def test_cutting_loses_nothing_and_does_not_mind_pieces(sizes: list[int], seed: int, kind: bytes) -> None:
    """Put together again the chunks are the bytes; each is within the bounds, but for the last."""
    data = b"".join(
        noise(size, seed + number) if number % 2 or not kind else kind * (size // len(kind))
        for number, size in enumerate(sizes)
    )
    chunks = cut(data)
    assert b"".join(chunks) == data
    assert all(LEAST <= len(chunk) <= MOST for chunk in chunks[:-1])
    assert chunks == cut(data, 777) == cut(data, max(1, len(data)))


@given(at=st.integers(0, 900 * KIB), size=st.integers(0, 5 * KIB), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_what_is_put_in_changes_few_chunks(at: int, size: int, seed: int) -> None:
    """Wherever some bytes are put in, almost all chunks are the old ones."""
    data = noise(900 * KIB, seed)
    before, after = set(cut(data)), set(cut(data[:at] + noise(size, seed + 99) + data[at:]))
    assert len(after - before) <= 8
    assert len(before) > 60


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_two_sketches_tell_what_is_in_both(share: float) -> None:
    """Of 2,000 chunks of one and 3,000 of the other; within a tenth, on average over eight pairs."""
    errors = []
    for seed in range(8):
        common = [noise(40, 10_000 * seed + n) for n in range(int(2000 * share))]
        one = common + [noise(40, 10_000 * seed + 3_000 + n) for n in range(2000 - len(common))]
        other = common + [noise(40, 10_000 * seed + 6_000 + n) for n in range(3000 - len(common))]
        errors.append(in_both(sketch(one), sketch(other)) - share)
    assert abs(sum(errors)) / 8 < 0.1


def test_small_sets_are_known_exactly_and_large_ones_about() -> None:
    """Up to the hashes that are kept each chunk is counted, whichever came how often."""
    few = [noise(40, n) for n in range(50)]
    assert count_of(sketch(few * 3)) == 50
    assert in_both(sketch(few[:20]), sketch(few[10:])) == 0.5
    assert in_both(sketch([]), sketch(few)) == in_both(sketch([]), sketch([])) == 0
    many = sketch([noise(40, n) for n in range(20_000)])
    assert len(many) == KEPT
    assert 14_000 < count_of(many) < 26_000


def expanded(*pieces: bytes) -> tuple[bytes, Outcome]:
    """Expand pieces; return what came out and what came of it."""
    work = Expansion()
    found = b"".join(plain for piece in pieces for plain in work.expand(piece))
    assert work.expanded == len(found)
    return found, work.outcome


def test_layers_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain ones, gzip in one or several members and with padding, in any pieces."""
    data = noise(300 * KIB)
    members = gzip.compress(data[: 100 * KIB]) + gzip.compress(data[100 * KIB :]) + bytes(512)
    assert expanded(data[:4], data[4:]) == (data, Outcome.WHOLE)
    assert expanded(gzip.compress(data)) == (data, Outcome.WHOLE)
    assert expanded(*(members[at : at + 4099] for at in range(0, len(members), 4099))) == (data, Outcome.WHOLE)
    monkeypatch.setattr(expanding, "MOST", 100 * KIB)
    assert expanded(gzip.compress(data), b"more") == (data[: 100 * KIB], Outcome.CUT)


def test_a_bomb_is_left_before_it_has_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes that would be fifty megabytes: what comes out is bounded, and comes in small pieces."""
    monkeypatch.setattr(expanding, "MOST", 5 * KIB * KIB)
    work, packer = Expansion(), zlib.compressobj(6, wbits=31)
    bomb = b"".join(packer.compress(bytes(KIB * KIB)) for _ in range(50)) + packer.flush()
    sizes = [len(plain) for plain in work.expand(bomb)]
    assert (sum(sizes), work.outcome) == (5 * KIB * KIB, Outcome.CUT)
    assert max(sizes) <= KIB * KIB


def test_very_many_small_members_take_a_time_in_proportion() -> None:
    """A megabyte may hold fifty thousand of them: four times as many take four times as long, and not sixteen."""
    member = gzip.compress(b"")
    few, many = (seconds_to_open(member * (size // len(member))) for size in (256 * KIB, 1024 * KIB))
    assert many < 10 * few


def seconds_to_open(packed: bytes) -> float:
    """Measure the best of three times."""
    found = []
    for _ in range(3):
        begun = time.thread_time()
        assert expanded(packed) == (b"", Outcome.WHOLE)
        found.append(time.thread_time() - begun)
    return min(found)


def test_what_is_broken_is_told() -> None:
    """A layer that says it is gzip and is not; what came out before is left as it is."""
    data = noise(300 * KIB)
    packed = bytearray(gzip.compress(data))
    packed[len(packed) // 2] ^= 255
    assert expanded(bytes(packed[:10]), bytes(packed[10:]))[1] in (Outcome.BROKEN, Outcome.WHOLE)
    assert expanded(b"\x1f\x8b\x08\x00garbage that is none", noise(1000))[1] is Outcome.BROKEN
