"""Manifests: the pushed bytes, exactly as they came, beside a checked view of them.

The rules are those that keep one body from meaning two things to two clients (CVE-2021-41190 and its family):

1. strict JSON: UTF-8, no byte order mark, no repeated key, nothing behind the document, bounded depth;
2. the body's ``mediaType``, where it has one, equals the Content-Type, where there is one;
3. the body's shape fits its type: an index has no ``layers`` or ``config``, an image has no ``manifests``;
4. no key imitates a known one by case (``Manifests``), because some parsers ignore case.

Unknown fields are allowed; they stay in the bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from entrepot.oci import media_type as media_types
from entrepot.oci.descriptor import (
    Descriptor,
    expect_list,
    expect_object,
    folded,
    parse_annotations,
    parse_artifact_type,
    parse_descriptor,
    refuse_lookalikes,
)
from entrepot.oci.digest import CANONICAL, Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.strict_json import JsonInvalid, loads

#: The most descriptors one manifest may have.
MAX_DESCRIPTORS = 10_000

SCHEMA_VERSION = 2

_FIELDS = folded(
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "blobs",
    "fsLayers",
    "subject",
    "annotations",
)

#: Fields that would make a body of this type mean something else to another reader.
_FOREIGN_FIELDS = {
    media_types.OCI_MANIFEST: ("manifests", "fsLayers"),
    media_types.DOCKER_MANIFEST: ("manifests", "fsLayers"),
    media_types.OCI_INDEX: ("layers", "config", "fsLayers"),
    media_types.DOCKER_MANIFEST_LIST: ("layers", "config", "fsLayers"),
    media_types.OCI_ARTIFACT: ("manifests", "layers", "config", "fsLayers"),
}

#: What makes a body one of this type. Go programs write an empty list of manifests as null, so null is taken for one.
_REQUIRED_FIELD = {
    media_types.OCI_MANIFEST: "config",
    media_types.DOCKER_MANIFEST: "config",
    media_types.OCI_INDEX: "manifests",
    media_types.DOCKER_MANIFEST_LIST: "manifests",
    media_types.OCI_ARTIFACT: "mediaType",
}

_SCHEMA1_REFUSED = (
    "Docker image manifest version 2, schema 1 is not supported: it cannot be verified by digest and has been "
    "withdrawn by Docker. Push the image again with Docker 1.10 or newer, or convert it with "
    "'skopeo copy --format v2s2'"
)

#: Classes of content, as registry:2 tells them apart: by the manifest's type and that of its configuration.
_CLASSES = {
    (media_types.DOCKER_MANIFEST, media_types.DOCKER_CONFIG): "image",
    (media_types.DOCKER_MANIFEST, media_types.DOCKER_PLUGIN_CONFIG): "plugin",
    (media_types.OCI_MANIFEST, media_types.OCI_CONFIG): "image",
}

Kind = Literal["image", "index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest's bytes and what they say. Build it with ``parse``."""

    media_type: str
    kind: Kind
    digest: Digest
    raw: bytes
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    #: Of an OCI artifact manifest.
    blobs: tuple[Descriptor, ...] = ()
    #: All entries of an index.
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests that an index lists."""
        return tuple(entry for entry in self.manifests if _is_manifest(entry))

    @property
    def required_blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that a repository must have before it takes this manifest.

        Those are config, layers and blobs, without layers that may not be distributed. Entries of an index that are no
        manifests count too: BuildKit lists the layers of its cache in an index.
        """
        config = () if self.config is None else (self.config,)
        loose = tuple(entry for entry in self.manifests if not _is_manifest(entry))
        return config + tuple(blob for blob in (*self.layers, *self.blobs, *loose) if _is_distributable(blob))

    @property
    def content_class(self) -> str | None:
        """What an image holds: `image`, `plugin`, or None for anything else. An index has no class: its images have."""
        return _CLASSES.get((self.media_type, "" if self.config is None else self.config.media_type))

    @property
    def referrer_artifact_type(self) -> str | None:
        """The artifact type that the referrers list shows (distribution specification, "Listing Referrers")."""
        if self.artifact_type is None and self.config is not None:
            return self.config.media_type
        return self.artifact_type


def parse(raw: bytes, content_type: str | None, *, algorithm: str = CANONICAL) -> Manifest:
    """Check a manifest and give a view of it; the caller bounds its size.

    Args:
        raw: The bytes, which are kept as they are.
        content_type: The request's Content-Type; without one the body's own ``mediaType`` or its shape decides.
        algorithm: The digest's algorithm.

    Raises:
        ManifestInvalid: The body breaks a rule above, or the media type is none that this registry stores.
    """
    body = _body(raw)
    media_type = _media_type(body, content_type)
    _check_shape(body, media_type)
    read = _Reader(body)
    return Manifest(
        media_type=media_type,
        kind="index" if media_types.is_index(media_type) else "image",
        digest=Digest.of(raw, algorithm),
        raw=raw,
        config=read.one("config"),
        layers=read.many("layers"),
        blobs=read.many("blobs") if media_type == media_types.OCI_ARTIFACT else (),
        manifests=read.many("manifests"),
        subject=read.one("subject"),
        artifact_type=parse_artifact_type(body.get("artifactType"), "artifactType"),
        annotations=parse_annotations(body.get("annotations"), "annotations"),
    )


def _is_manifest(entry: Descriptor) -> bool:
    return entry.media_type in media_types.MANIFEST_TYPES or entry.media_type in media_types.SCHEMA1_TYPES


def _is_distributable(blob: Descriptor) -> bool:
    return not media_types.is_nondistributable(blob.media_type)


class _Reader:
    """Reads descriptors out of a body and bounds their number."""

    def __init__(self, body: Mapping[str, object]) -> None:
        self._body = body
        self._left = MAX_DESCRIPTORS

    def one(self, name: str) -> Descriptor | None:
        value = self._body.get(name)
        return None if value is None else parse_descriptor(value, name)

    def many(self, name: str) -> tuple[Descriptor, ...]:
        values = expect_list(self._body.get(name), name)
        self._left -= len(values)
        if self._left < 0:
            raise ManifestInvalid(f"more than {MAX_DESCRIPTORS} descriptors in one manifest")
        return tuple(parse_descriptor(value, f"{name}[{position}]") for position, value in enumerate(values))


def _body(raw: bytes) -> dict[str, object]:
    try:
        value = loads(raw)
    except JsonInvalid as error:
        raise ManifestInvalid(f"the manifest cannot be read: {error}") from None
    body = expect_object(value, "the manifest")
    refuse_lookalikes(body, _FIELDS, "the manifest")
    return body


def _media_type(body: Mapping[str, object], content_type: str | None) -> str:
    """Decide which manifest this claims to be."""
    declared = body.get("mediaType")
    if declared is not None and not isinstance(declared, str):
        raise ManifestInvalid("mediaType must be a string")
    media_type = media_types.essence(content_type) if content_type else declared or _type_of_shape(body)
    if media_type in media_types.SCHEMA1_TYPES or body.get("schemaVersion") == 1:
        raise ManifestInvalid(_SCHEMA1_REFUSED)
    if media_type not in media_types.MANIFEST_TYPES:
        known = ", ".join(sorted(media_types.MANIFEST_TYPES))
        raise ManifestInvalid(f"{media_type[:100]!a} is not a manifest type; use one of {known}")
    if declared and declared != media_type:
        raise ManifestInvalid(f"the body's mediaType {declared[:100]!a} differs from the Content-Type {media_type}")
    return media_type


def _type_of_shape(body: Mapping[str, object]) -> str:
    if "fsLayers" in body:
        return media_types.DOCKER_SCHEMA1
    return media_types.OCI_INDEX if "manifests" in body else media_types.OCI_MANIFEST


def _check_shape(body: Mapping[str, object], media_type: str) -> None:
    """Refuse a body that another reader could take for another type of manifest."""
    for name in _FOREIGN_FIELDS[media_type]:
        if name in body:
            raise ManifestInvalid(f"a manifest of type {media_type} must not have {name!r}")
    if media_type != media_types.OCI_ARTIFACT:
        _check_version(body.get("schemaVersion"))
    required = _REQUIRED_FIELD[media_type]
    if required not in body or (required == "config" and body["config"] is None):
        raise ManifestInvalid(f"a manifest of type {media_type} needs {required!r}")


def _check_version(version: object) -> None:
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ManifestInvalid(f"schemaVersion must be {SCHEMA_VERSION}")
