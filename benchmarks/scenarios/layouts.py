"""OCI layouts on disk, for clients that push from a folder."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import MANIFEST_TYPE, digest_of

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def write_layout(folder: Path, layers: Sequence[bytes]) -> None:
    """Write an image of these layers as an OCI layout with the name `x`.

    They are packed, as in every registry: a client would otherwise pack them anew for each push, and that is most of
    what would be measured.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    packed = [gzip.compress(layer, compresslevel=1) for layer in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _describe(_CONFIG_TYPE, config),
            "layers": [_describe(_LAYER_TYPE, layer) for layer in packed],
        }
    ).encode()
    for content in (*packed, config, manifest):
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
    entry = {**_describe(MANIFEST_TYPE, manifest), "annotations": {"org.opencontainers.image.ref.name": "x"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def _describe(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
