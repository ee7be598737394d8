"""Encrypted pieces: any length, any cut, and no change that is not noticed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.backup import cipher
from entrepot.backup.cipher import seal, sealed_size, unseal
from entrepot.backup.errors import PieceDamaged

KEY = bytes(range(32))
MIB = 1024 * 1024


async def cut(content: bytes, size: int) -> AsyncIterator[bytes]:
    """Give bytes in pieces of a size."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def sealed(content: bytes, name: str = "blobs/a", key: bytes = KEY, size: int = 100_000) -> bytes:
    """Encrypt."""
    return b"".join([piece async for piece in seal(key, name, cut(content, size))])


async def opened(content: bytes, name: str = "blobs/a", key: bytes = KEY, size: int = 100_000) -> bytes:
    """Decrypt."""
    return b"".join([piece async for piece in unseal(key, name, cut(content, size))])


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 17])
async def test_any_length_comes_back(size: int) -> None:
    """Also none, and whole chunks; the length in the target is known beforehand."""
    content = secrets.token_bytes(size)
    stored = await sealed(content)
    assert len(stored) == sealed_size(size)
    assert await opened(stored) == content
    assert content not in stored or size < 2


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 700), st.integers(1, 700))
async def test_any_cut_comes_back(content: bytes, ins: int, outs: int) -> None:
    """However the stream is cut on its way in and out."""
    assert await opened(await sealed(content, size=ins), size=outs) == content


async def test_two_pieces_of_the_same_bytes_have_nothing_in_common() -> None:
    """Each has a key of its own."""
    one, two = await sealed(b"content"), await sealed(b"content")
    assert one[4:] != two[4:]
    assert not set(zip(one[36:44], two[36:44], strict=True)) <= {(a, a) for a in range(256)}


async def test_every_change_is_noticed() -> None:
    """Any bit of a piece of one chunk, its end, another name, another key."""
    content = secrets.token_bytes(40)
    stored = await sealed(content)
    for at in range(len(stored)):
        changed = bytearray(stored)
        changed[at] ^= 1 << (at % 8)
        with pytest.raises(PieceDamaged, match="blobs/a"):
            await opened(bytes(changed))
    for length in range(len(stored)):
        with pytest.raises(PieceDamaged):
            await opened(stored[:length])
    for wrong in (opened(stored + b"x"), opened(stored, name="blobs/b"), opened(stored, key=bytes(32))):
        with pytest.raises(PieceDamaged):
            await wrong


async def test_chunks_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """None may be left out, exchanged, repeated or become the last one; no wrong byte is given before that is seen."""
    monkeypatch.setattr(cipher, "_CHUNK", 100)
    monkeypatch.setattr(cipher, "_SEALED_CHUNK", 116)
    content = secrets.token_bytes(450)
    stored = await sealed(content)
    assert await opened(stored) == content
    head, body = stored[:36], stored[36:]
    chunks = [body[start : start + 116] for start in range(0, len(body), 116)]
    a, b, c, d, e = chunks
    for order in ([a, b, c, d], [a, b, c], [a, c, b, d, e], [a, b, b, d, e], [b, c, d, e], [a, b, c, d, e, e]):
        given_out = bytearray()
        with pytest.raises(PieceDamaged):
            await take_all(unseal(KEY, "blobs/a", cut(head + b"".join(order), 50)), given_out)
        assert content.startswith(given_out)


async def take_all(pieces: AsyncIterator[bytes], taken: bytearray) -> None:
    """Take what comes until it ends."""
    async for piece in pieces:
        taken += piece
