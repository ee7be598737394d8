"""What an artifact is, by Harbor's names: told by its artifact type, or by its media type when it has none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from entrepot.oci import media_type as media_types

IMAGE: Final = "IMAGE"
CHART: Final = "CHART"
UNKNOWN: Final = "UNKNOWN"

_OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"

#: The artifact types, or media types, of each kind; the first is what a manifest of that kind has today.
TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    IMAGE: (_OCI_CONFIG, _DOCKER_CONFIG, media_types.OCI_INDEX, media_types.DOCKER_MANIFEST_LIST),
    CHART: ("application/vnd.cncf.helm.config.v1+json",),
    "CNAB": ("application/vnd.cnab.manifest.v1",),
    "WASM": ("application/vnd.wasm.config.v1+json",),
    "SBOM": ("application/vnd.goharbor.harbor.sbom.v1",),
    "CNAI": ("application/vnd.cncf.model.manifest.v1+json", "application/vnd.cnai.model.manifest.v1+json"),
}
_KINDS: Final = {type_: kind for kind, types in TYPES.items() for type_ in types}
#: `application/vnd.acme.rocket.config.v1+json` is a ROCKET.
_NAMED: Final = re.compile(r"application/vnd\.[^.]*\.(.*)\.config\.[^.]*\+json")

_COSIGN: Final = "signature.cosign"
#: Accessories by artifact type; every other one is `subject.accessory`.
_ACCESSORIES: Final = {
    "application/vnd.dev.cosign.artifact.sig.v1+json": _COSIGN,
    "application/vnd.dev.sigstore.bundle.v0.3+json": _COSIGN,
    "application/vnd.cncf.notary.signature": "signature.notation",
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
}

#: What can be read out of an artifact beside its attributes.
_ADDITIONS: Final[Mapping[str, tuple[str, ...]]] = {
    IMAGE: ("build_history",),
    CHART: ("values.yaml", "readme.md", "dependencies"),
}


def kind_of(artifact_type: str | None, media_type: str) -> str:
    """Return the kind of an artifact."""
    type_ = artifact_type or media_type
    known = _KINDS.get(type_)
    if known is not None:
        return known
    named = _NAMED.fullmatch(type_)
    return UNKNOWN if named is None else named[1].upper()


def is_image_config(artifact_type: str | None) -> bool:
    """Tell whether a manifest's artifact type is an image's configuration."""
    return artifact_type in (_OCI_CONFIG, _DOCKER_CONFIG)


def accessory_kind(artifact_type: str | None, tag: str = "") -> str:
    """Return what an accessory is to its subject, told by its type or by the tag that names the subject."""
    if tag.endswith(".sig"):
        return _COSIGN
    return _ACCESSORIES.get(artifact_type or "", "subject.accessory")


def additions_of(kind: str, media_type: str) -> tuple[str, ...]:
    """Return the names of what can be read out of an artifact; an index has nothing of its own."""
    return () if media_types.is_index(media_type) else _ADDITIONS.get(kind, ())
