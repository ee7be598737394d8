"""Digests are strict content addresses."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.digest import ALGORITHMS, Digest, new_hasher
from entrepot.oci.errors import DigestInvalid
from tests.unit.oci.bodies import digests

HEX = "ab" * 32


@given(digests)
def test_text_and_back(digest: Digest) -> None:
    """Every digest reads back from its own text."""
    assert Digest.parse(str(digest)) == digest
    assert len(digest.encoded) == ALGORITHMS[digest.algorithm]


@given(st.binary(), st.sampled_from(sorted(ALGORITHMS)))
def test_of_is_what_hashlib_says(content: bytes, algorithm: str) -> None:
    """A digest is the plain hash of the bytes."""
    assert Digest.of(content, algorithm).encoded == hashlib.new(algorithm, content).hexdigest()


def test_sha256_is_the_default() -> None:
    """Who names no algorithm gets the canonical one."""
    assert str(Digest.of(b"")) == f"sha256:{hashlib.sha256().hexdigest()}"
    assert new_hasher().hexdigest() == hashlib.sha256().hexdigest()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sha256:baddigeststring", "64 lower-case"),
        (f"sha256:{HEX.upper()}", "64 lower-case"),
        (f"sha256:{HEX}0", "64 lower-case"),
        (f"sha256:{HEX}\n", "64 lower-case"),
        (f" sha256:{HEX}", "must be one of"),
        (f"sha512:{HEX}", "128 lower-case"),
        (f"sha256:{HEX[:-1]}\u0665", "64 lower-case"),
        (f"SHA256:{HEX}", "must be one of"),
        (f"md5:{HEX}", "must be one of"),
        ("sha256:../../../etc/passwd", "64 lower-case"),
        ("sha256", "expected <algorithm>:<hex>"),
        ("", "expected <algorithm>:<hex>"),
    ],
)
def test_malformed_digests_are_refused_with_the_reason(text: str, reason: str) -> None:
    """Anything but a lower-case hexadecimal sha256 or sha512 is refused, and the message says why."""
    with pytest.raises(DigestInvalid, match=reason):
        Digest.parse(text)


def test_a_long_text_is_cut_in_the_message() -> None:
    """A megabyte of nonsense does not come back in the answer."""
    with pytest.raises(DigestInvalid) as caught:
        Digest.parse("sha256:" + "x" * 1_000_000)
    assert len(caught.value.message) < 300


@given(st.text())
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    """No text makes the parser fail in another way."""
    try:
        assert str(Digest.parse(text)) == text
    except DigestInvalid as error:
        message = error.message
    else:
        return
    assert message.isascii()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "SHA256", ""])
def test_unsupported_algorithms_are_refused(algorithm: str) -> None:
    """Hashing with anything else is refused, naming what is possible."""
    with pytest.raises(DigestInvalid, match="sha256, sha512"):
        new_hasher(algorithm)


def test_a_copied_hasher_goes_its_own_way() -> None:
    """The digest so far can be taken without ending the hashing."""
    hasher = new_hasher("sha512")
    hasher.update(b"a")
    so_far = hasher.copy()
    hasher.update(b"b")
    assert so_far.digest() == hashlib.sha512(b"a").digest()
    assert hasher.digest() == hashlib.sha512(b"ab").digest()
