"""registry:2's tree, path by path, and that no path leaves it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadUnknown, RegistryError
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout
from entrepot.registry.layout import UploadId

HEX = "ab" + "0" * 62
DIGEST = Digest.parse(f"sha256:{HEX}")
NAME = RepositoryName.parse("team/app")
TAG = Tag.parse("v1.0")
REPOSITORY = "docker/registry/v2/repositories/team/app"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (layout.blob_data(DIGEST), f"docker/registry/v2/blobs/sha256/ab/{HEX}/data"),
        (layout.layer_link(NAME, DIGEST), f"{REPOSITORY}/_layers/sha256/{HEX}/link"),
        (layout.revision_link(NAME, DIGEST), f"{REPOSITORY}/_manifests/revisions/sha256/{HEX}/link"),
        (layout.tag_current_link(NAME, TAG), f"{REPOSITORY}/_manifests/tags/v1.0/current/link"),
        (layout.tag_index_link(NAME, TAG, DIGEST), f"{REPOSITORY}/_manifests/tags/v1.0/index/sha256/{HEX}/link"),
        (layout.upload(UploadId.parse("a-b")), "entrepot/uploads/a-b"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    """Every path is the one that registry:2 uses."""
    assert path == expected


def test_sha512_has_its_own_folder() -> None:
    """A sha512 blob lies below its own algorithm."""
    digest = Digest.of(b"", "sha512")
    assert layout.blob_data(digest) == f"docker/registry/v2/blobs/sha512/cf/{digest.encoded}/data"


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_a_blob_path_can_be_read_back(data: bytes, algorithm: str) -> None:
    """The folders of a blob's bytes tell its digest."""
    digest = Digest.of(data, algorithm)
    assert layout.blob_at(*layout.blob_folder(digest).split("/")[-3:]) == digest


@pytest.mark.parametrize(
    "folders",
    [
        ("", "", ""),
        ("sha256", "ac", HEX),
        ("sha256", "ab", HEX[:-1]),
        ("sha256", "ab", f"{HEX}0"),
        ("md5", "ab", HEX),
        ("sha512", "ab", HEX),
        ("sha256", "AB", HEX.upper()),
        ("sha256", "ab", f"{HEX}.tmp"),
        ("sha256", "ab", f"{HEX}\n"),
    ],
)
def test_other_folders_are_no_blobs(folders: tuple[str, str, str]) -> None:
    """Folders that no blob has are told apart."""
    assert layout.blob_at(*folders) is None


HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet="./\\_-%aA0\0\n:\u2024\uff0e"),
    st.sampled_from(
        ["..", "../..", "a/../../b", "/etc", "a//b", "%2e%2e%2f", "_layers", "a/_manifests", "sha256:../x"]
    ),
)

PATHS: list[Callable[[str], str]] = [
    lambda text: layout.blob_data(Digest.parse(text)),
    lambda text: layout.layer_link(RepositoryName.parse(text), DIGEST),
    lambda text: layout.revision_link(RepositoryName.parse(text), DIGEST),
    lambda text: layout.tag_current_link(RepositoryName.parse(text), TAG),
    lambda text: layout.tag_index_link(NAME, Tag.parse(text), DIGEST),
    lambda text: layout.tag_folder(NAME, Tag.parse(text)),
    lambda text: layout.upload(UploadId.parse(text)),
]


@given(HOSTILE, st.sampled_from(PATHS))
def test_no_input_leads_out_of_its_folder(text: str, path: Callable[[str], str]) -> None:
    """CVE-2014-9358: whatever comes from outside is refused, or stays below the folder it is meant for."""
    try:
        built = path(text)
    except RegistryError:
        return
    assert posixpath.normpath(built) == built
    assert built.startswith(("docker/registry/v2/", "entrepot/uploads/"))
    assert "\0" not in built


def test_an_upload_id_is_short_and_plain() -> None:
    """64 letters are an id, 65 are none."""
    assert UploadId.parse("x" * 64) == "x" * 64
    with pytest.raises(BlobUploadUnknown):
        UploadId.parse("x" * 65)
