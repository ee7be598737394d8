"""A manifest means one thing to everybody, and its bytes stay as they came."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci import media_type as mt
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import MAX_DESCRIPTORS, parse
from tests.unit.oci.bodies import descriptor, digests, embedded, encode, image, index, json_values


def digests_of(descriptors: tuple[object, ...]) -> list[str]:
    """List what was found, as text."""
    return [str(found.digest) for found in descriptors]  # type: ignore[attr-defined]  # all are descriptors


def without(body: dict[str, object], *names: str) -> dict[str, object]:
    """Leave fields out."""
    return {name: value for name, value in body.items() if name not in names}


def test_an_image_is_read() -> None:
    """Config, layers, digest and type are those of the body."""
    raw = encode(image(annotations={"k": "v"}))
    manifest = parse(raw, mt.OCI_MANIFEST)
    assert (manifest.media_type, manifest.kind, manifest.raw) == (mt.OCI_MANIFEST, "image", raw)
    assert manifest.digest == Digest.of(raw)
    assert manifest.config is not None
    assert manifest.config.media_type == mt.OCI_EMPTY
    assert [layer.size for layer in manifest.layers] == [5]
    assert manifest.annotations == {"k": "v"}
    assert (manifest.manifests, manifest.blobs, manifest.subject, manifest.artifact_type) == ((), (), None, None)


def test_an_index_is_read() -> None:
    """An index has children and needs no blobs."""
    manifest = parse(encode(index()), mt.OCI_INDEX)
    assert manifest.kind == "index"
    assert digests_of(manifest.children) == [str(Digest.of(b"child"))]
    assert manifest.required_blobs == ()
    assert manifest.config is None


def test_docker_manifests_are_read() -> None:
    """Schema 2 and manifest list are an image and an index under other names."""
    schema2 = parse(encode(image(mediaType=mt.DOCKER_MANIFEST)), mt.DOCKER_MANIFEST)
    listed = parse(encode(index(mediaType=mt.DOCKER_MANIFEST_LIST)), mt.DOCKER_MANIFEST_LIST)
    assert (schema2.kind, listed.kind) == ("image", "index")
    assert len(schema2.required_blobs) == 2
    assert len(listed.children) == 1


def test_an_artifact_manifest_is_read() -> None:
    """The withdrawn artifact manifest has blobs, no config, and may have a subject."""
    body = {
        "mediaType": mt.OCI_ARTIFACT,
        "artifactType": "application/vnd.example.sbom",
        "blobs": [descriptor(b"sbom", "application/json")],
        "subject": descriptor(b"subject", mt.OCI_MANIFEST),
    }
    manifest = parse(encode(body), mt.OCI_ARTIFACT)
    assert manifest.kind == "image"
    assert digests_of(manifest.required_blobs) == [str(Digest.of(b"sbom"))]
    assert manifest.referrer_artifact_type == "application/vnd.example.sbom"
    assert manifest.subject is not None
    assert parse(encode(without(body, "blobs", "subject")), None).required_blobs == ()


def test_an_artifact_manifest_names_itself() -> None:
    """Without mediaType its body would be one of anything."""
    with pytest.raises(ManifestInvalid, match="needs 'mediaType'"):
        parse(encode({"blobs": []}), mt.OCI_ARTIFACT)


def test_blobs_mean_nothing_in_an_image() -> None:
    """A field of another type of manifest is an unknown field."""
    assert parse(encode(image(blobs="whatever")), mt.OCI_MANIFEST).blobs == ()


@given(st.sampled_from(["sha256", "sha512"]))
def test_the_digest_uses_the_algorithm_asked_for(algorithm: str) -> None:
    """A manifest pushed by a sha512 digest has that digest."""
    raw = encode(image())
    assert parse(raw, None, algorithm=algorithm).digest == Digest.of(raw, algorithm)


@given(
    st.dictionaries(st.from_regex(r"org\.[a-z.]+", fullmatch=True), json_values, max_size=3), st.sampled_from([None, 3])
)
def test_unknown_fields_and_bytes_are_kept(more: dict[str, object], indent: int | None) -> None:
    """Fields nobody knows are allowed anywhere, and the digest is that of the bytes as they came."""
    raw = json.dumps(image(**more, config=descriptor(**more)), indent=indent, ensure_ascii=False).encode() + b"\n"
    manifest = parse(raw, mt.OCI_MANIFEST)
    assert manifest.raw == raw
    assert manifest.digest == Digest.of(raw)


@given(digests)
def test_the_subject_may_be_anything(digest: Digest) -> None:
    """A subject is a descriptor; whether it exists is not asked."""
    subject = {"mediaType": mt.OCI_MANIFEST, "digest": str(digest), "size": 123}
    for body in (image(subject=subject), index(subject=subject)):
        found = parse(encode(body), None).subject
        assert found is not None
        assert found.digest == digest


@pytest.mark.parametrize("nothing", [[], None])
def test_empty_lists_are_allowed(nothing: object) -> None:
    """An index without manifests and an image without layers are fine, written as [] or as Go's null."""
    assert parse(encode(index(manifests=nothing)), mt.OCI_INDEX).children == ()
    assert len(parse(encode(image(layers=nothing)), mt.OCI_MANIFEST).required_blobs) == 1


def test_an_image_may_leave_its_layers_out() -> None:
    """Only the config makes an image."""
    assert parse(encode(without(image(), "layers")), mt.OCI_MANIFEST).layers == ()


# --- which type -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", [None, "", mt.OCI_INDEX, f"{mt.OCI_INDEX}; charset=utf-8", mt.OCI_INDEX.upper()]
)
def test_the_content_type_may_be_missing_or_decorated(content_type: str | None) -> None:
    """Parameters and case do not matter; without a header the body speaks."""
    assert parse(encode(index()), content_type).media_type == mt.OCI_INDEX


@pytest.mark.parametrize("absent", [{}, {"mediaType": None}, {"mediaType": ""}])
@pytest.mark.parametrize(("body", "expected"), [(image(), mt.OCI_MANIFEST), (index(), mt.OCI_INDEX)])
def test_without_any_type_the_shape_decides(absent: dict[str, object], body: dict[str, object], expected: str) -> None:
    """mediaType is optional in OCI manifests."""
    raw = encode(without(body, "mediaType") | absent)
    assert parse(raw, None).media_type == expected
    assert parse(raw, expected).media_type == expected


@pytest.mark.parametrize("content_type", ["application/json", "text/html", mt.OCI_LAYER, "nonsense", "\u2028"])
def test_other_content_types_are_refused_with_a_list(content_type: str) -> None:
    """The message says what is possible."""
    with pytest.raises(ManifestInvalid, match=r"is not a manifest type; use one of application/vnd\.docker"):
        parse(encode(without(image(), "mediaType")), content_type)


def test_an_unknown_media_type_in_the_body_is_refused() -> None:
    """Without a header, the body's unknown type is refused too."""
    with pytest.raises(ManifestInvalid, match="is not a manifest type"):
        parse(encode(image(mediaType="application/vnd.example")), None)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"schemaVersion": 1, "fsLayers": [], "history": []}, mt.DOCKER_SCHEMA1),
        ({"schemaVersion": 1, "fsLayers": [], "history": []}, mt.DOCKER_SCHEMA1_SIGNED),
        ({"schemaVersion": 1, "fsLayers": [], "history": []}, None),
        ({"fsLayers": []}, None),
        (image(schemaVersion=1), mt.DOCKER_MANIFEST),
        (image(), mt.DOCKER_SCHEMA1),
    ],
)
def test_schema_1_is_refused_with_the_way_out(body: dict[str, object], content_type: str | None) -> None:
    """The message says what to do with an old image."""
    with pytest.raises(ManifestInvalid, match=r"schema 1 is not supported.*skopeo copy --format v2s2"):
        parse(encode(body), content_type)


@pytest.mark.parametrize("version", [None, 3, 0, "2", 2.0, True, [2]])
def test_other_schema_versions_are_refused(version: object) -> None:
    """Only the whole number 2 will do."""
    with pytest.raises(ManifestInvalid):
        parse(encode(image(schemaVersion=version)), mt.OCI_MANIFEST)


# --- one meaning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (image(manifests=[]), mt.OCI_MANIFEST, "must not have 'manifests'"),
        (image(manifests=None), None, "must not have 'manifests'"),
        (index(layers=[]), mt.OCI_INDEX, "must not have 'layers'"),
        (index(config=descriptor()), mt.OCI_INDEX, "must not have 'config'"),
        (index(config=descriptor(), mediaType=mt.DOCKER_MANIFEST_LIST), mt.DOCKER_MANIFEST_LIST, "not have 'config'"),
        (index(layers=[], mediaType=mt.DOCKER_MANIFEST_LIST), mt.DOCKER_MANIFEST_LIST, "not have 'layers'"),
        (image(fsLayers=[]), mt.DOCKER_MANIFEST, "differs from"),
        (image(fsLayers=[]), mt.OCI_MANIFEST, "must not have 'fsLayers'"),
        (index(fsLayers=[]), mt.OCI_INDEX, "must not have 'fsLayers'"),
        (without(image(manifests=[]), "mediaType"), None, "must not have 'layers'"),
        (image(), mt.OCI_INDEX, "differs from the Content-Type"),
        (index(), mt.OCI_MANIFEST, "differs from the Content-Type"),
        (image(), mt.DOCKER_MANIFEST, "differs from the Content-Type"),
        (without(index(), "mediaType"), mt.OCI_MANIFEST, "must not have 'manifests'"),
        (without(image(), "mediaType"), mt.OCI_INDEX, "must not have 'layers'"),
        (without(image(), "mediaType"), mt.OCI_ARTIFACT, "must not have 'layers'"),
        (image(Manifests=[]), mt.OCI_MANIFEST, "write 'manifests' instead of 'Manifests'"),
        (image() | {"manifest\u017f": []}, mt.OCI_MANIFEST, "write 'manifests' instead of"),
        (image(MediaType=mt.OCI_INDEX), mt.OCI_MANIFEST, "write 'mediaType' instead of"),
        (image(mediaType=7), mt.OCI_MANIFEST, "mediaType must be a string"),
    ],
)
def test_cve_2021_41190_type_confusion_is_refused(
    body: dict[str, object], content_type: str | None, reason: str
) -> None:
    """A body that two clients could read as two things is refused."""
    with pytest.raises(ManifestInvalid, match=reason):
        parse(encode(body), content_type)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xef\xbb\xbf" + encode(image()), "byte order mark"),
        (encode(image()) + b"{}", "Extra data"),
        (encode(image()) + b"\x00", "Extra data"),
        (b'{"mediaType": "x", ' + encode(image())[1:], "'mediaType' appears twice"),
        (encode(image())[:-1] + b', "layers": []}', "'layers' appears twice"),
        (encode(image()).decode().encode("utf-16"), "UTF-8"),
        (b"", "cannot be read"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b'"x"', "must be an object"),
    ],
)
def test_cve_2021_41190_ambiguous_json_is_refused(raw: bytes, reason: str) -> None:
    """A body that two parsers could read differently is refused."""
    with pytest.raises(ManifestInvalid, match=reason):
        parse(raw, mt.OCI_MANIFEST)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (without(image(), "config"), "needs 'config'"),
        (image(config=None), "needs 'config'"),
        (image(config=[]), "config must be an object"),
        (image(layers={}), "layers must be an array"),
        (image(layers=[descriptor(), descriptor(size=-1)]), r"layers\[1\].size must be"),
        (image(subject=descriptor(digest="sha256:x")), "subject.digest: invalid"),
        (image(subject="x"), "subject must be an object"),
        (image(annotations={"a": ["b"]}), "annotations: the value of 'a'"),
        (image(artifactType="no type"), "artifactType must be a media type"),
        (without(index(), "manifests"), "needs 'manifests'"),
        (index(manifests=[1]), r"manifests\[0\] must be an object"),
        (image(config=descriptor(data=embedded(b"other"))), "config.data does not match"),
    ],
)
def test_malformed_manifests_are_refused_with_the_place(body: dict[str, object], reason: str) -> None:
    """The message leads to the field."""
    with pytest.raises(ManifestInvalid, match=reason):
        parse(encode(body), None)


@given(json_values)
def test_any_json_is_a_manifest_or_refused(value: object) -> None:
    """No document makes the parser fail in another way."""
    with pytest.raises(ManifestInvalid):
        parse(encode(value), None)


@given(st.sampled_from([image(), index()]), st.data())
def test_any_damaged_manifest_is_read_or_refused(body: dict[str, object], data: st.DataObject) -> None:
    """Any value in the place of any field leads to a manifest or the one error."""
    damaged = body | {
        data.draw(st.sampled_from([*body, "subject", "annotations", "artifactType"])): data.draw(json_values)
    }
    try:
        assert parse(encode(damaged), None).raw == encode(damaged)
    except ManifestInvalid as error:
        message = error.message
    else:
        return
    assert message.isascii()


# --- what must be there -----------------------------------------------------------------------------------------------


def test_config_and_layers_are_required() -> None:
    """In this order: config first."""
    manifest = parse(encode(image()), None)
    assert digests_of(manifest.required_blobs) == [str(Digest.of(b"{}")), str(Digest.of(b"layer"))]


@pytest.mark.parametrize(
    "media_type",
    [
        mt.OCI_NONDISTRIBUTABLE_LAYER,
        mt.OCI_NONDISTRIBUTABLE_LAYER_GZIP,
        mt.OCI_NONDISTRIBUTABLE_LAYER_ZSTD,
        mt.DOCKER_FOREIGN_LAYER,
        mt.DOCKER_FOREIGN_LAYER_GZIP,
    ],
)
@pytest.mark.parametrize("urls", [["https://store.example.com/layer"], []])
def test_nondistributable_layers_are_not_required(media_type: str, urls: list[str]) -> None:
    """A layer that clients fetch elsewhere need not be pushed, but it is still listed."""
    manifest = parse(encode(image(layers=[descriptor(b"foreign", media_type, urls=urls), descriptor(b"own")])), None)
    assert digests_of(manifest.required_blobs) == [str(Digest.of(b"{}")), str(Digest.of(b"own"))]
    assert len(manifest.layers) == 2


def test_a_config_is_always_required() -> None:
    """Calling the config non-distributable does not excuse it."""
    manifest = parse(encode(image(config=descriptor(b"c", mt.DOCKER_FOREIGN_LAYER), layers=[])), None)
    assert digests_of(manifest.required_blobs) == [str(Digest.of(b"c"))]


def test_a_layer_with_urls_of_a_usual_type_is_required() -> None:
    """URLs alone do not excuse a layer."""
    layer = descriptor(b"l", mt.OCI_LAYER, urls=["https://store.example.com/layer"])
    assert len(parse(encode(image(layers=[layer])), None).required_blobs) == 2


def test_a_buildkit_cache_index_lists_blobs() -> None:
    """BuildKit writes an index whose entries are layers and a configuration; they are blobs, not children."""
    entries = [
        descriptor(b"one", mt.OCI_LAYER_GZIP, annotations={"buildkit/createdat": "2025-01-01T00:00:00Z"}),
        descriptor(b"two", mt.DOCKER_LAYER_GZIP),
        descriptor(b"config", "application/vnd.buildkit.cacheconfig.v0"),
    ]
    manifest = parse(encode(index(manifests=entries)), mt.OCI_INDEX)
    assert manifest.children == ()
    assert digests_of(manifest.required_blobs) == [str(Digest.of(content)) for content in (b"one", b"two", b"config")]


@pytest.mark.parametrize("media_type", sorted(mt.MANIFEST_TYPES | mt.SCHEMA1_TYPES))
def test_entries_that_are_manifests_are_children(media_type: str) -> None:
    """Nested indexes, artifacts and even withdrawn manifests are looked for among manifests."""
    manifest = parse(encode(index(manifests=[descriptor(b"child", media_type)])), None)
    assert len(manifest.children) == 1
    assert manifest.required_blobs == ()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (image(), mt.OCI_EMPTY),
        (image(artifactType=""), mt.OCI_EMPTY),
        (image(artifactType="a/b"), "a/b"),
        (index(artifactType="a/b"), "a/b"),
        (index(), None),
        (index(artifactType=None), None),
    ],
)
def test_the_artifact_type_of_a_referrer(body: dict[str, object], expected: str | None) -> None:
    """An image without a type takes its config's media type; an index has none then."""
    assert parse(encode(body), None).referrer_artifact_type == expected


# --- limits -----------------------------------------------------------------------------------------------------------


def test_the_number_of_descriptors_is_bounded() -> None:
    """The last one allowed is taken, one more is refused before any is read."""
    assert len(parse(encode(index(manifests=[descriptor()] * MAX_DESCRIPTORS)), None).manifests) == MAX_DESCRIPTORS
    with pytest.raises(ManifestInvalid, match="more than 10000 descriptors"):
        parse(encode(index(manifests=[0] * (MAX_DESCRIPTORS + 1))), None)


def test_200_000_levels_in_a_manifest_are_refused_within_50_ms() -> None:
    """A deep body ends as an invalid manifest, without recursion."""
    raw = encode(image())[:-1] + b', "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    times = []
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(ManifestInvalid, match="levels deep"):
            parse(raw, mt.OCI_MANIFEST)
        times.append(time.thread_time() - started)
    assert min(times) < 0.05


def test_a_manifest_of_nearly_4_mib_is_read() -> None:
    """The specification's floor: 390 annotations of 10,000 characters."""
    raw = encode(image(annotations={f"key{number}": "x" * 10_000 for number in range(390)}))
    assert len(parse(raw, mt.OCI_MANIFEST).annotations) == 390
