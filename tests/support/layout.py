"""Writes OCI image layouts: folders that every client can read, with content that a test knows byte by byte."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Descriptor = dict[str, Any]


class Layout:
    """A layout being written, with digests of one algorithm."""

    def __init__(self, folder: Path, algorithm: str = "sha256") -> None:
        self.folder = folder
        self._algorithm = algorithm
        (folder / "blobs" / algorithm).mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")
        self._tagged: list[Descriptor] = []

    def blob(self, data: bytes, media_type: str) -> Descriptor:
        """Store bytes and give the descriptor that points at them."""
        encoded = hashlib.new(self._algorithm, data).hexdigest()
        (self.folder / "blobs" / self._algorithm / encoded).write_bytes(data)
        return {"mediaType": media_type, "digest": f"{self._algorithm}:{encoded}", "size": len(data)}

    def file(self, path: Path, media_type: str) -> Descriptor:
        """Move a large file into the layout and give the descriptor that points at it."""
        with path.open("rb") as source:
            encoded = hashlib.file_digest(source, self._algorithm).hexdigest()
        moved = path.replace(self.folder / "blobs" / self._algorithm / encoded)
        return {"mediaType": media_type, "digest": f"{self._algorithm}:{encoded}", "size": moved.stat().st_size}

    def image(self, layers: list[tuple[Descriptor, str]], architecture: str = "amd64", **config: object) -> Descriptor:
        """Store the configuration and the manifest of an image of layers, each with the digest of its plain bytes."""
        described = {
            "architecture": architecture,
            "os": "linux",
            "created": "2025-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]},
            "history": [{"created": "2025-01-01T00:00:00Z", "created_by": "test"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(json.dumps(described).encode(), CONFIG),
            "layers": [layer for layer, _ in layers],
        }
        return self.blob(json.dumps(manifest).encode(), MANIFEST)

    def index(self, images: Mapping[str, Descriptor]) -> Descriptor:
        """Store an index of images by their architecture."""
        entries = [
            {**image, "platform": {"os": "linux", "architecture": architecture}}
            for architecture, image in images.items()
        ]
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return self.blob(json.dumps(body).encode(), INDEX)

    def tag(self, descriptor: Descriptor, name: str = "latest") -> str:
        """Name a manifest, and give its digest."""
        self._tagged.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}})
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._tagged}
        (self.folder / "index.json").write_text(json.dumps(body), encoding="utf-8")
        return str(descriptor["digest"])


def digest_in(layout: Path, name: str = "latest") -> str:
    """Look up which digest a name has in a layout."""
    entries = json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"]
    key = "org.opencontainers.image.ref.name"
    return str(next(entry for entry in entries if entry.get("annotations", {}).get(key) == name)["digest"])


def blob_names(layout: Path) -> set[str]:
    """List the digests of everything in a layout, after checking that the bytes have them."""
    names = set()
    for path in (layout / "blobs").glob("*/*"):
        with path.open("rb") as source:
            assert hashlib.file_digest(source, path.parent.name).hexdigest() == path.name
        names.add(f"{path.parent.name}:{path.name}")
    return names


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Make a tar of files that root owns and everybody may run."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o755
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def small_layer(layout: Layout, files: Mapping[str, bytes]) -> tuple[Descriptor, str]:
    """Store a gzipped layer of a few files; gives it with the digest of its plain bytes."""
    plain = tar_of(files)
    diff = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    return layout.blob(gzip.compress(plain, 6, mtime=0), LAYER), diff
