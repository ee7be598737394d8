"""The referrers list and its fallback tag (distribution specification, "Listing Referrers", "Referrers Tag Schema")."""

import json
import re
from collections.abc import Iterable
from typing import Final

from entrepot.oci.descriptor import Descriptor
from entrepot.oci.digest import Digest
from entrepot.oci.media_type import OCI_INDEX
from entrepot.oci.reference import Tag

_NOT_IN_TAGS = re.compile(r"[^a-zA-Z0-9._-]")
#: What follows the digest in a tag of an accessory.
TAG_SUFFIXES: Final = (".sig", ".att", ".sbom")
_ACCESSORY_TAG: Final = re.compile(r"sha256-([0-9a-f]{64})(\.sig|\.att|\.sbom)?")


def fallback_tag(digest: Digest) -> Tag:
    """Name the tag under which clients list referrers where a registry has no referrers API."""
    algorithm = _NOT_IN_TAGS.sub("-", digest.algorithm[:32])
    encoded = _NOT_IN_TAGS.sub("-", digest.encoded[:64])
    return Tag(f"{algorithm}-{encoded}")


def accessory_tags(digest: str) -> list[str]:
    """Name the tags under which clients keep what is about a manifest: signatures, attestations, SBOMs."""
    return [digest.replace(":", "-", 1) + suffix for suffix in TAG_SUFFIXES]


def tags_beside(digest: str) -> list[str]:
    """Name these tags and the fallback tag: all that goes where the manifest goes."""
    return [*accessory_tags(digest), digest.replace(":", "-", 1)]


def subject_of_tag(tag: str) -> str | None:
    """Return the digest that an accessory's tag or a fallback tag names; None where it is another tag."""
    found = _ACCESSORY_TAG.fullmatch(tag)
    return None if found is None else f"sha256:{found[1]}"


def render_index(descriptors: Iterable[Descriptor]) -> bytes:
    """Render the answer of the referrers API: an image index of the descriptors in the order given."""
    manifests = [_entry(descriptor) for descriptor in descriptors]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()


def _entry(descriptor: Descriptor) -> dict[str, object]:
    entry: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.artifact_type is not None:
        entry["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        entry["annotations"] = dict(descriptor.annotations)
    return entry
