"""Encryption of a stream of bytes of any length, piece by piece.

    "EBK1" · 32 random bytes · chunk · chunk · … · last chunk

Each piece has a key of its own, derived (HKDF-SHA-256) from the operator's key, the random bytes and the piece's name.
A chunk is 1 MiB of the bytes (the last one whatever is left, perhaps nothing), sealed with AES-256-GCM; its nonce is
its number and whether it is the last. So a chunk that was changed, moved, repeated or left out does not open, nor does
a piece that was cut at the end of a chunk, or given another's name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from entrepot.backup.errors import PieceDamaged
from entrepot.vault.cipher import KEY_BYTES

_MAGIC = b"EBK1"
_SALT_BYTES = 32
_HEAD_BYTES = len(_MAGIC) + _SALT_BYTES
_CHUNK = 1024 * 1024
_TAG_BYTES = 16
_SEALED_CHUNK = _CHUNK + _TAG_BYTES
_COUNTER_BYTES = 11


def sealed_size(size: int) -> int:
    """Return how many bytes `size` bytes have when they are sealed."""
    chunks = max(1, -(-size // _CHUNK))
    return _HEAD_BYTES + size + chunks * _TAG_BYTES


async def seal(key: bytes, name: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Encrypt a stream that will be the piece of this name."""
    salt = secrets.token_bytes(_SALT_BYTES)
    chunks = AESGCM(_derived(key, salt, name))
    yield _MAGIC + salt
    number = 0
    async for chunk, is_last in _cut(pieces, _CHUNK):
        yield await asyncio.to_thread(chunks.encrypt, _nonce(number, last=is_last), chunk, None)
        number += 1


async def unseal(key: bytes, name: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Decrypt the piece of this name.

    Raises:
        PieceDamaged: It is not what was sealed under this name with this key; raised before any wrong byte is given.
    """
    head, rest = await _take(pieces, _HEAD_BYTES)
    if len(head) != _HEAD_BYTES or not head.startswith(_MAGIC):
        raise PieceDamaged(name, "it does not begin as a piece does")
    chunks = AESGCM(_derived(key, head[len(_MAGIC) :], name))
    number = 0
    async for chunk, is_last in _cut(_joined(rest, pieces), _SEALED_CHUNK):
        try:
            yield await asyncio.to_thread(chunks.decrypt, _nonce(number, last=is_last), chunk, None)
        except (InvalidTag, ValueError):
            raise PieceDamaged(name, "its bytes were changed, or it was cut") from None
        number += 1


def _derived(key: bytes, salt: bytes, name: str) -> bytes:
    info = b"entrepot backup piece: " + name.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_BYTES, "big") + (b"\x01" if last else b"\x00")


async def _cut(pieces: AsyncIterator[bytes], size: int) -> AsyncGenerator[tuple[bytes, bool], None]:
    """Cut a stream into chunks of one size; the last one, which is told, may be shorter, and always comes."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        while len(held) > size:
            yield bytes(held[:size]), False
            del held[:size]
    yield bytes(held), True


async def _take(pieces: AsyncIterator[bytes], size: int) -> tuple[bytes, bytes]:
    """Take the first bytes of a stream, and what came with them."""
    held = b""
    while len(held) < size:
        piece = await anext(pieces, None)
        if piece is None:
            break
        held += piece
    return held[:size], held[size:]


async def _joined(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    if first:
        yield first
    async for piece in pieces:
        yield piece
