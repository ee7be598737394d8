"""Content addresses: ``algorithm:encoded`` (OCI image specification, descriptor.md, "Digests")."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from entrepot.oci.errors import DigestInvalid


class Hasher(Protocol):
    """The part of a ``hashlib`` object that callers need."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """Give the digest of all bytes so far."""

    def hexdigest(self) -> str:
        """Give the digest of all bytes so far as lower-case hexadecimal."""

    def copy(self) -> "Hasher":
        """Give an independent hasher that has seen the same bytes."""


#: The registered algorithms and the length of their hexadecimal form.
ALGORITHMS = {"sha256": 64, "sha512": 128}

CANONICAL = "sha256"

_DIGEST = re.compile(r"(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})")
_MAKERS: dict[str, Callable[[], Hasher]] = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}

#: Longer texts are cut in messages.
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Digest:
    """A content address. Build it with ``parse`` or ``of``; the constructor trusts its caller."""

    algorithm: str
    #: Lower-case hexadecimal.
    encoded: str

    @staticmethod
    def parse(text: str) -> "Digest":
        """Read a digest, strictly.

        Raises:
            DigestInvalid: Malformed, or of an algorithm other than sha256 and sha512.
        """
        return _parse(text)

    @staticmethod
    def of(data: bytes | bytearray | memoryview, algorithm: str = CANONICAL) -> "Digest":
        """Compute the digest of bytes in memory.

        Raises:
            DigestInvalid: The algorithm is not supported.
        """
        hasher = new_hasher(algorithm)
        hasher.update(data)
        return Digest(algorithm, hasher.hexdigest())

    def __str__(self) -> str:
        """Give the canonical text."""
        return f"{self.algorithm}:{self.encoded}"


# Only well-formed texts are remembered (an exception is not cached), so an entry is at most 135 characters.
@lru_cache(maxsize=16_384)
def _parse(text: str) -> Digest:
    if _DIGEST.fullmatch(text) is None:
        raise DigestInvalid(_why_not(text))
    algorithm, _, encoded = text.partition(":")
    return Digest(algorithm, encoded)


def _why_not(text: str) -> str:
    """Explain what is wrong with a text that is no digest."""
    shown = ascii(text[:_SHOWN])
    algorithm, colon, _ = text.partition(":")
    if not colon:
        return f"invalid digest {shown}: expected <algorithm>:<hex>"
    if algorithm not in ALGORITHMS:
        return f"invalid digest {shown}: the algorithm must be one of {', '.join(ALGORITHMS)}"
    return f"invalid digest {shown}: {algorithm} needs {ALGORITHMS[algorithm]} lower-case hexadecimal digits"


def new_hasher(algorithm: str = CANONICAL) -> Hasher:
    """Start hashing.

    Raises:
        DigestInvalid: The algorithm is not supported.
    """
    try:
        return _MAKERS[algorithm]()
    except KeyError:
        raise DigestInvalid(
            f"unsupported digest algorithm {algorithm[:_SHOWN]!a}: use one of {', '.join(ALGORITHMS)}"
        ) from None
