"""The hashers that a process keeps for its open uploads."""

from __future__ import annotations

from entrepot.adapters.blobs.hashers import LiveHash, LiveHashes
from entrepot.oci.digest import Digest


def _after(data: bytes, algorithm: str = "sha256") -> LiveHash:
    live = LiveHash(algorithm)
    live.update([data])
    return live


def test_a_hasher_goes_on_where_it_was() -> None:
    """A digest on the way does not end the hash."""
    hashes = LiveHashes()
    hashes.keep("upload", _after(b"one"))
    live = hashes.take("upload", "sha256", 3)
    assert live.digest() == Digest.of(b"one")
    live.update([b"two", b"three"])
    assert live.digest() == Digest.of(b"onetwothree")
    assert live.offset == 11


def test_a_hasher_is_taken_once() -> None:
    """Who works with a hasher has it alone; the next begins anew."""
    hashes = LiveHashes()
    hashes.keep("upload", _after(b"one"))
    hashes.take("upload", "sha256", 3)
    assert hashes.take("upload", "sha256", 3).offset == 0


def test_a_hasher_that_does_not_fit_is_not_given() -> None:
    """A hasher of another algorithm, or of more bytes than there are, is useless."""
    hashes = LiveHashes()
    hashes.keep("other", _after(b"one", "sha512"))
    hashes.keep("ahead", _after(b"one"))
    assert hashes.take("other", "sha256", 3).offset == 0
    assert hashes.take("ahead", "sha256", 2).offset == 0


def test_hashers_are_bounded() -> None:
    """Of very many uploads those used longest ago are forgotten."""
    hashes = LiveHashes()
    for n in range(5_000):
        hashes.keep(str(n), _after(b"x"))
    assert hashes.take("0", "sha256", 1).offset == 0
    assert hashes.take("4999", "sha256", 1).offset == 1
    assert sum(hashes.take(str(n), "sha256", 1).offset for n in range(5_000)) == 4_095
