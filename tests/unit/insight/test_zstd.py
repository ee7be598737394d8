"""Layers in zstd are opened as builders make them, and no layer takes more memory or time than there is for it."""

from __future__ import annotations

import random

import pytest

from entrepot.insight.duplicates import expansion as expanding
from entrepot.insight.duplicates import zstd as rules
from entrepot.insight.duplicates.expansion import Expansion, Outcome

zstd = rules._library()
KIB = 1024
DATA = random.Random(1).randbytes(300 * KIB)
SKIPPED = b"\x5e\x2a\x4d\x18" + (9).to_bytes(4, "little") + b"\x28\xb5\x2f\xfdtable"


def expanded(packed: bytes, step: int = 1 << 30) -> tuple[bytes, Outcome]:
    """Expand something, given so many bytes at a time; return what came out and what came of it."""
    work = Expansion()
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
    found = b"".join(plain for piece in pieces for plain in work.expand(piece))
    assert work.expanded == len(found)
    return found, work.outcome


def frame(data: bytes, *, window: int = 20) -> bytes:
    """Pack bytes as a stream: the frame does not say how large it will be, but how far it looks back."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
    return bytes(packer.compress(data) + packer.flush())


@pytest.mark.parametrize("step", [7, 4099, 1 << 30])
def test_frames_follow_each_other(step: int) -> None:
    """Whole ones, streamed ones, empty ones, ones to be skipped in front and between, and padding; in any pieces."""
    parts = [DATA[:1000], b"", DATA[200:900]]
    packed = SKIPPED + frame(parts[0]) + SKIPPED * 2 + zstd.compress(parts[1]) + zstd.compress(parts[2]) + SKIPPED
    assert expanded(packed, step) == (b"".join(parts), Outcome.WHOLE)
    assert expanded(packed + bytes(512), step) == (b"".join(parts), Outcome.WHOLE)


def test_a_bomb_is_left_before_it_has_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five kilobytes that would be fifty megabytes: what comes out is bounded, and comes in small pieces."""
    monkeypatch.setattr(expanding, "MOST", 5 * KIB * KIB)
    bomb, work = zstd.compress(bytes(50 * KIB * KIB)), Expansion()
    assert len(bomb) < 5 * KIB
    sizes = [len(plain) for plain in work.expand(bomb)]
    assert (sum(sizes), work.outcome) == (5 * KIB * KIB, Outcome.CUT)
    assert max(sizes) <= KIB * KIB


def test_a_frame_gets_only_so_much_memory() -> None:
    """What looks back farther than builders do is not looked into, and that is told; up to the bound all is."""
    assert expanded(frame(DATA, window=rules.WINDOW)) == (DATA, Outcome.WHOLE)
    assert expanded(frame(DATA, window=rules.WINDOW + 1)) == (b"", Outcome.WIDE)
    assert expanded(zstd.compress(DATA) + frame(DATA, window=27) + zstd.compress(DATA)) == (DATA, Outcome.WIDE)


def test_only_so_many_frames_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that hold nothing take time as well."""
    monkeypatch.setattr(rules, "MOST_FRAMES", 3)
    assert expanded(zstd.compress(b"one") + SKIPPED * 2) == (b"one", Outcome.WHOLE)
    assert expanded(zstd.compress(b"one") + SKIPPED * 3 + zstd.compress(b"two")) == (b"one", Outcome.CUT)


def test_what_is_broken_is_told() -> None:
    """A frame that is none, one that was damaged, and bytes behind the last one."""
    assert expanded(b"\x28\xb5\x2f\xfd" + DATA)[1] is Outcome.BROKEN
    packed = bytearray(zstd.compress(b"words that repeat, " * 20_000, options={_CHECKSUM: 1}))
    packed[len(packed) // 2] ^= 255
    assert expanded(bytes(packed))[1] is Outcome.BROKEN
    assert expanded(zstd.compress(b"one") + b"garbage" * 20_000) == (b"one", Outcome.BROKEN)


_CHECKSUM = zstd.CompressionParameter.checksum_flag
