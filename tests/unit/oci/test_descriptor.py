"""Descriptors are read strictly; unknown fields are nobody's business."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.descriptor import MAX_DATA_SIZE, MAX_SIZE, Descriptor, parse_descriptor
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from tests.unit.oci.bodies import descriptor, digests, embedded, json_values


def test_all_fields_are_read() -> None:
    """Each field of the specification has its attribute."""
    platform = {"os": "linux", "architecture": "arm64"}
    value = descriptor(
        b"hello",
        "text/plain",
        annotations={"k": "v"},
        artifactType="a/b",
        platform=platform,
        urls=["https://example.org/x"],
        data=embedded(b"hello"),
    )
    assert parse_descriptor(value, "config") == Descriptor(
        media_type="text/plain",
        digest=Digest.of(b"hello"),
        size=5,
        annotations={"k": "v"},
        artifact_type="a/b",
        platform=platform,
        urls=("https://example.org/x",),
        data=b"hello",
    )


@given(digests, st.integers(min_value=0, max_value=MAX_SIZE))
def test_the_required_fields_are_enough(digest: Digest, size: int) -> None:
    """Optional fields may be missing, null or empty."""
    value = {"mediaType": "a/b", "digest": str(digest), "size": size}
    assert MAX_SIZE == 9_223_372_036_854_775_807
    plain = Descriptor(media_type="a/b", digest=digest, size=size)
    nothing = {"annotations": None, "artifactType": None, "platform": None, "urls": None, "data": None}
    assert parse_descriptor(value, "x") == plain
    assert parse_descriptor(value | nothing, "x") == plain
    assert parse_descriptor(value | {"artifactType": ""}, "x") == plain


@given(
    st.text().filter(lambda key: key.lower() not in descriptor() and key.isascii() and not key.isalpha()), json_values
)
def test_unknown_fields_are_allowed(key: str, value: object) -> None:
    """Whatever else a descriptor says does not matter."""
    assert parse_descriptor(descriptor(**{key: value}), "x") == parse_descriptor(descriptor(), "x")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": -1}, "size must be a whole number"),
        ({"size": True}, "size must be a whole number"),
        ({"size": 2.0}, "size must be a whole number"),
        ({"size": "2"}, "size must be a whole number"),
        ({"size": None}, "size must be a whole number"),
        ({"size": 2**63}, "size must be a whole number"),
        ({"digest": "sha256:bad"}, r"layers\[0\].digest: invalid digest"),
        ({"digest": None}, "digest must be a string"),
        ({"digest": 1}, "digest must be a string"),
        ({"mediaType": None}, "mediaType must be a media type"),
        ({"mediaType": ""}, "mediaType must be a media type"),
        ({"mediaType": "a/b\r\nX: y"}, "mediaType must be a media type"),
        ({"mediaType": ["a/b"]}, "mediaType must be a media type"),
        ({"artifactType": "nonsense"}, "artifactType must be a media type"),
        ({"artifactType": 1}, "artifactType must be a media type"),
        ({"annotations": []}, "annotations must be an object"),
        ({"annotations": {"k": 1}}, "the value of 'k' must be a string"),
        ({"annotations": {"k": None}}, "the value of 'k' must be a string"),
        ({"platform": "linux"}, "platform must be an object"),
        ({"urls": "https://example.org"}, "urls must be an array"),
        ({"urls": [1]}, "urls must be an array of strings"),
        ({"Digest": "x"}, "write 'digest' instead of 'Digest'"),
        ({"MEDIATYPE": "x"}, "write 'mediaType' instead of 'MEDIATYPE'"),
        ({"\u017fize": 2}, "write 'size' instead of"),
    ],
)
def test_malformed_fields_are_refused_with_their_place(change: dict[str, object], reason: str) -> None:
    """The message names the descriptor, the field and the rule."""
    with pytest.raises(ManifestInvalid, match=reason) as caught:
        parse_descriptor(descriptor() | change, "layers[0]")
    assert "layers[0]" in caught.value.message


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_descriptor_is_an_object(value: object) -> None:
    """Other JSON values are none."""
    with pytest.raises(ManifestInvalid, match="config must be an object"):
        parse_descriptor(value, "config")


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_embedded_data_is_taken_exactly_when_it_is_the_content(content: bytes, data: bytes) -> None:
    """Data that differs from what the digest promises is refused."""
    value = descriptor(content, data=embedded(data))
    if data == content:
        assert parse_descriptor(value, "x").data == content
    else:
        with pytest.raises(ManifestInvalid, match=r"x\.data does not match"):
            parse_descriptor(value, "x")


@pytest.mark.parametrize("data", ["!", "e30", "e30=\n", " e30=", "e30é", 1, ["e30="], {}])
def test_data_that_is_no_base64_is_refused(data: object) -> None:
    """Only a strict base64 string is data."""
    with pytest.raises(ManifestInvalid, match="must be a base64 string"):
        parse_descriptor(descriptor(data=data), "x")


def test_data_of_the_wrong_length_is_refused() -> None:
    """Digest and data may agree while the size does not."""
    with pytest.raises(ManifestInvalid, match="does not match"):
        parse_descriptor(descriptor(data=embedded(b"{}"), size=3), "x")


def test_embedded_data_is_bounded() -> None:
    """The largest data is taken, one byte more is not even decoded."""
    largest = b"x" * MAX_DATA_SIZE
    assert parse_descriptor(descriptor(largest, data=embedded(largest)), "x").data == largest
    with pytest.raises(ManifestInvalid, match="push the content as a blob"):
        parse_descriptor(descriptor(largest + b"x", data="not looked at"), "x")


def test_sha512_data_is_checked_with_sha512() -> None:
    """The digest's own algorithm decides."""
    value = descriptor(b"{}", data=embedded(b"{}"), digest=str(Digest.of(b"{}", "sha512")))
    assert parse_descriptor(value, "x").data == b"{}"
