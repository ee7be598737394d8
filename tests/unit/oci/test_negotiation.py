"""Accept and If-None-Match are read as RFC 9110 says, and as old clients write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci import media_type as mt
from entrepot.oci.digest import Digest
from entrepot.oci.negotiation import accepts, matches_etag
from tests.unit.oci.bodies import digests

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    "accept",
    [
        [],
        [""],
        [" , "],
        ["*/*"],
        ["application/*"],
        [mt.OCI_INDEX],
        [mt.OCI_INDEX.upper()],
        [f"{mt.OCI_MANIFEST}, {mt.OCI_INDEX}"],
        [mt.OCI_MANIFEST, mt.OCI_INDEX],
        [f"{mt.OCI_INDEX};q=0.1"],
        [f"{mt.OCI_INDEX} ; charset=utf-8 ; q=1.0"],
        [f"{mt.OCI_INDEX};q=0.001"],
        [f"*/*;q=0, {mt.OCI_INDEX}"],
        [f"application/*;q=0.0,{mt.OCI_INDEX};q=0.5"],
        [f"{mt.OCI_MANIFEST},*/*;q=0.1"],
    ],
)
def test_an_index_is_accepted(accept: list[str]) -> None:
    """Nothing said, everything, or the type itself; several headers count as one list."""
    assert accepts(accept, mt.OCI_INDEX)


@pytest.mark.parametrize(
    "accept",
    [
        [mt.OCI_MANIFEST],
        ["text/html, image/*"],
        [f"{mt.OCI_INDEX};q=0"],
        [f"{mt.OCI_INDEX}; q=0.000"],
        [f"{mt.OCI_INDEX};Q=0 ;v=1"],
        [f"*/*, {mt.OCI_INDEX};q=0"],
        ["*/*, application/*;q=0"],
        ["*/*;q=0"],
        [f"{mt.OCI_INDEX}x"],
    ],
)
def test_an_index_is_not_accepted(accept: list[str]) -> None:
    """Other types only, or the most specific fitting range has no quality."""
    assert not accepts(accept, mt.OCI_INDEX)


@given(st.lists(st.text(max_size=20) | st.sampled_from(sorted(mt.MANIFEST_TYPES)), min_size=1), st.text(max_size=20))
def test_any_header_is_read(accept: list[str], before: str) -> None:
    """No header fails, and a last element that names the type always counts."""
    assert accepts([*accept, f"{before},{mt.OCI_INDEX}"], mt.OCI_INDEX)


def test_long_headers_are_read_alike() -> None:
    """A header too long to be remembered gives the same answer."""
    padding = ",".join(f"application/x{number}" for number in range(1000))
    assert accepts([padding, mt.OCI_INDEX], mt.OCI_INDEX)
    assert not accepts([padding], mt.OCI_INDEX)


@given(digests)
def test_a_digest_matches_as_clients_write_it(digest: Digest) -> None:
    """Quoted, bare, weak, in a list, or by asterisk."""
    for value in (f'"{digest}"', str(digest), f'W/"{digest}"', f'"x", "{digest}" ', "*"):
        assert matches_etag(value, digest)


@pytest.mark.parametrize("value", [None, "", '""', '"*x"', f"{DIGEST}0", f'"{Digest.of(b"other")}"', DIGEST.encoded])
def test_other_tags_do_not_match(value: str | None) -> None:
    """No header and other content mean that the client has nothing."""
    assert not matches_etag(value, DIGEST)
