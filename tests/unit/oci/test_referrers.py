"""The referrers list and its fallback tag are as the specification writes them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci import media_type as mt
from entrepot.oci.descriptor import Descriptor
from entrepot.oci.digest import Digest
from entrepot.oci.manifest import parse
from entrepot.oci.reference import Tag
from entrepot.oci.referrers import fallback_tag, render_index
from tests.unit.oci.bodies import digests

descriptors = st.builds(
    Descriptor,
    media_type=st.sampled_from(sorted(mt.MANIFEST_TYPES)),
    digest=digests,
    size=st.integers(min_value=0, max_value=2**40),
    artifact_type=st.none() | st.just("application/vnd.example"),
    annotations=st.dictionaries(st.text(), st.text(), max_size=3),
)


def test_the_fallback_tag_of_sha256() -> None:
    """The colon becomes a dash."""
    digest = Digest.of(b"")
    assert fallback_tag(digest) == f"sha256-{digest.encoded}"


def test_the_fallback_tag_is_cut_at_the_specified_length() -> None:
    """Long algorithms keep 32 characters, long values 64."""
    digest = Digest.of(b"", "sha512")
    assert fallback_tag(digest) == f"sha512-{digest.encoded[:64]}"
    assert fallback_tag(Digest("multihash+base58" * 3, "Qm=" * 30)) == (
        "multihash-base58multihash-base58-" + ("Qm-" * 30)[:64]
    )


@given(digests)
def test_the_fallback_tag_is_a_tag(digest: Digest) -> None:
    """Any digest gives a tag that the grammar allows."""
    assert Tag.parse(fallback_tag(digest)) == fallback_tag(digest)


def test_an_empty_list_is_an_empty_index() -> None:
    """An unknown subject has an index without manifests, which says what it is."""
    assert json.loads(render_index([])) == {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": []}


def test_entries_have_the_fields_of_the_specification() -> None:
    """artifactType and annotations appear only where there are any."""
    bare = Descriptor(media_type=mt.OCI_INDEX, digest=Digest.of(b"1"), size=1)
    full = Descriptor(
        media_type=mt.OCI_MANIFEST, digest=Digest.of(b"2"), size=2, artifact_type="a/b", annotations={"k": "é"}
    )
    assert json.loads(render_index([bare, full]))["manifests"] == [
        {"mediaType": mt.OCI_INDEX, "digest": str(bare.digest), "size": 1},
        {
            "mediaType": mt.OCI_MANIFEST,
            "digest": str(full.digest),
            "size": 2,
            "artifactType": "a/b",
            "annotations": {"k": "é"},
        },
    ]


@given(st.lists(descriptors, max_size=5))
def test_what_is_rendered_is_an_index_of_the_same_descriptors(listed: list[Descriptor]) -> None:
    """A client that reads the answer sees what was put in, in order."""
    assert parse(render_index(listed), mt.OCI_INDEX).manifests == tuple(listed)
