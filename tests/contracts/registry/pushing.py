"""Pushing to the registry's services, and who does it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor, BlobRecord, PutResult
from entrepot.registry.service import Registry
from tests.support.manifests import image

ALICE = Actor(name="alice", may_create_project=True)
STRANGER = Actor(name="stranger")
NAME = RepositoryName.parse("team/app")
OWNER = "user:alice"


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield chunks as a request's body would."""
    for chunk in chunks:
        yield chunk


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
