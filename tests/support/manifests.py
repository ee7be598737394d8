"""Small manifests, written as clients write them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of content as text."""
    return str(Digest.of(content, algorithm))


def descriptor(
    content: bytes, media_type: str = media_types.OCTET_STREAM, algorithm: str = "sha256", **more: object
) -> dict[str, object]:
    """Describe content as manifests do."""
    return {"mediaType": media_type, "digest": digest_of(content, algorithm), "size": len(content), **more}


def image(config: bytes, /, *layers: bytes, **more: object) -> bytes:
    """Write an OCI image manifest; `more` may replace any of its fields."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(layer, media_types.OCI_LAYER) for layer in layers],
            **more,
        }
    ).encode()


def index(*entries: Mapping[str, object], **more: object) -> bytes:
    """Write an OCI image index."""
    body = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": list(entries), **more}
    return json.dumps(body).encode()


def entry(manifest: bytes, media_type: str = media_types.OCI_MANIFEST) -> dict[str, object]:
    """Describe a manifest as an index does."""
    return descriptor(manifest, media_type)
