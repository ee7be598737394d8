"""Descriptors: media type, digest and size of some content (OCI image specification, descriptor.md)."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, ManifestInvalid

#: The largest size that a database's BIGINT keeps.
MAX_SIZE = 2**63 - 1

#: The most bytes a descriptor may carry in its ``data`` field.
MAX_DATA_SIZE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a manifest says about a piece of content it refers to."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    #: The platform object as it was written, of an index entry.
    platform: Mapping[str, object] | None = None
    urls: tuple[str, ...] = ()
    #: The content itself, where the descriptor carries it.
    data: bytes | None = None


def parse_descriptor(value: object, where: str) -> Descriptor:
    """Read a descriptor out of parsed JSON; ``where`` names the place in messages. Unknown fields are ignored.

    Raises:
        ManifestInvalid: A required field is missing, a field has the wrong type, or ``data`` contradicts the rest.
    """
    fields = expect_object(value, where)
    refuse_lookalikes(fields, _FIELDS, where)
    digest, size = _digest(fields.get("digest"), where), _size(fields.get("size"), where)
    platform = fields.get("platform")
    return Descriptor(
        media_type=_media_type(fields.get("mediaType"), f"{where}.mediaType"),
        digest=digest,
        size=size,
        annotations=parse_annotations(fields.get("annotations"), f"{where}.annotations"),
        artifact_type=parse_artifact_type(fields.get("artifactType"), f"{where}.artifactType"),
        platform=None if platform is None else expect_object(platform, f"{where}.platform"),
        urls=_urls(fields.get("urls"), f"{where}.urls"),
        data=_data(fields.get("data"), digest, size, f"{where}.data"),
    )


def folded(*names: str) -> dict[str, str]:
    """Index field names by what a parser that ignores case makes of them."""
    return {name.casefold(): name for name in names}


def refuse_lookalikes(fields: Mapping[str, object], known: Mapping[str, str], where: str) -> None:
    """Refuse keys that differ from a known one by case only: some parsers take them for the known one.

    Raises:
        ManifestInvalid: There is such a key.
    """
    for key in fields:
        name = known.get(key.casefold(), key)
        if name != key:
            raise ManifestInvalid(f"{where}: write {name!r} instead of {key!a}")


#: The fields of a descriptor that this registry or its clients give a meaning.
_FIELDS = folded("mediaType", "digest", "size", "annotations", "artifactType", "platform", "urls", "data")


def expect_object(value: object, where: str) -> dict[str, object]:
    """Narrow a JSON value to an object.

    Raises:
        ManifestInvalid: It is something else.
    """
    if not isinstance(value, dict):
        raise ManifestInvalid(f"{where} must be an object")
    return value


def expect_list(value: object, where: str) -> list[object]:
    """Narrow a JSON value to an array; ``null`` and a missing one are empty.

    Raises:
        ManifestInvalid: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise ManifestInvalid(f"{where} must be an array")
    return value


def parse_annotations(value: object, where: str) -> dict[str, str]:
    """Read annotations; ``null`` and missing ones are empty.

    Raises:
        ManifestInvalid: Not an object of strings.
    """
    if value is None:
        return {}
    annotations: dict[str, str] = {}
    for key, text in expect_object(value, where).items():
        if not isinstance(text, str):
            raise ManifestInvalid(f"{where}: the value of {key[:100]!a} must be a string")
        annotations[key] = text
    return annotations


def parse_artifact_type(value: object, where: str) -> str | None:
    """Read an artifact type; ``null``, an empty and a missing one are ``None``.

    Raises:
        ManifestInvalid: Not a media type.
    """
    return None if value is None or value == "" else _media_type(value, where)


def _media_type(value: object, where: str) -> str:
    if not isinstance(value, str) or not media_types.is_well_formed(value):
        raise ManifestInvalid(f"{where} must be a media type such as {media_types.OCI_LAYER_GZIP}")
    return value


def _digest(value: object, where: str) -> Digest:
    if not isinstance(value, str):
        raise ManifestInvalid(f"{where}.digest must be a string")
    try:
        return Digest.parse(value)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}.digest: {error.message}") from None


def _size(value: object, where: str) -> int:
    # A JSON true is a bool, which Python counts among the integers.
    if type(value) is not int or not 0 <= value <= MAX_SIZE:
        raise ManifestInvalid(f"{where}.size must be a whole number from 0 to {MAX_SIZE}")
    return value


def _urls(value: object, where: str) -> tuple[str, ...]:
    urls = tuple(url for url in expect_list(value, where) if isinstance(url, str))
    if len(urls) != len(expect_list(value, where)):
        raise ManifestInvalid(f"{where} must be an array of strings")
    return urls


def _data(value: object, digest: Digest, size: int, where: str) -> bytes | None:
    if value is None:
        return None
    if size > MAX_DATA_SIZE:
        raise ManifestInvalid(f"{where} may hold at most {MAX_DATA_SIZE} bytes; push the content as a blob instead")
    data = _decode(value, where)
    if len(data) != size or Digest.of(data, digest.algorithm) != digest:
        raise ManifestInvalid(f"{where} does not match the descriptor's size and digest")
    return data


def _decode(value: object, where: str) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise ManifestInvalid(f"{where} must be a base64 string") from None
