"""Small images and indexes for tests of the registry."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor, BlobRecord, PutResult
from entrepot.registry.service import Registry

ALICE = Actor(name="alice", may_create_project=True)
STRANGER = Actor(name="stranger")
NAME = RepositoryName.parse("team/app")
OWNER = "user:alice"


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield chunks as a request's body would."""
    for chunk in chunks:
        yield chunk


def descriptor(content: bytes, media_type: str = media_types.OCTET_STREAM, **more: object) -> dict[str, object]:
    """Describe content as manifests do."""
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def image(config: bytes, *layers: bytes, **more: object) -> bytes:
    """Write an OCI image manifest."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
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


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pushes to a registry as a client would."""

    registry: Registry
    name: RepositoryName = NAME

    async def blob(self, content: bytes) -> BlobRecord:
        """Push a blob in one piece."""
        session = await self.registry.uploads.start(self.name, principal=OWNER, actor=ALICE)
        return await self.registry.uploads.complete(
            self.name, session.id, Digest.of(content), pieces(content), principal=OWNER, actor=ALICE
        )

    async def manifest(self, body: bytes, tag: str | None = None, *more: str) -> PutResult:
        """Push a manifest, by digest when no tag is given."""
        reference = Digest.of(body) if tag is None else Tag.parse(tag)
        tags = [Tag.parse(other) for other in more]
        return await self.registry.manifests.put(self.name, reference, None, body, tags=tags, actor=ALICE)

    async def image(self, tag: str | None, *layers: bytes, config: bytes = b"{}") -> bytes:
        """Push an image with its blobs and return its manifest."""
        for content in (config, *layers):
            await self.blob(content)
        body = image(config, *layers)
        await self.manifest(body, tag)
        return body
