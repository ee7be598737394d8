"""Clients that move tags on and on, and see to it that nobody is shown an older one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import aiohttp

from tests.support.acknowledged import OCI_MANIFEST, TagHistory, digest_of
from tests.support.writers import INTERRUPTIONS


def manifest(name: str) -> bytes:
    """Write an image manifest like no other, of one blob."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty]}
    return json.dumps({**document, "annotations": {"name": name}}).encode()


@dataclass
class Lane:
    """One tag, moved on and on by one client and read through another."""

    name: str
    history: TagHistory = field(default_factory=TagHistory)
    interrupted: int = 0
    #: The workers that answered the readers.
    workers: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where the tag is."""
        return f"/v2/lanes/{self.name}/manifests/latest"

    async def open(self, session: aiohttp.ClientSession) -> None:
        """Push the blob that all manifests name."""
        blob = f"/v2/lanes/{self.name}/blobs/uploads/?digest={digest_of(b'{}')}"
        async with session.post(blob, data=b"{}") as answer:
            assert answer.status == 201, await answer.text()

    async def move(self, session: aiohttp.ClientSession, number: int) -> None:
        """Move the tag to a new manifest."""
        body = manifest(f"{self.name}-{number}")
        self.history.tried.add(digest_of(body))
        async with session.put(self.url, data=body, headers={"Content-Type": OCI_MANIFEST}) as answer:
            if answer.status >= 502:
                raise aiohttp.ClientConnectionError(answer.reason)
            assert answer.status == 201, await answer.text()
        self.history = TagHistory(acknowledged=digest_of(body))

    async def read(self, session: aiohttp.ClientSession) -> None:
        """See what was acknowledged last, or what was tried since."""
        async with session.head(self.url, headers={"Accept": OCI_MANIFEST}) as answer:
            if answer.status >= 502:
                raise aiohttp.ClientConnectionError(answer.reason)
            assert answer.status == 200
            assert self.history.allows(answer.headers["Docker-Content-Digest"])
            self.workers.add(answer.headers["X-Request-Id"].partition("-")[0])

    async def run(self, writer: aiohttp.ClientSession, readers: list[aiohttp.ClientSession], moves: int) -> None:
        """Move and read, in turn; every reader sees each move."""
        for number in range(moves):
            await self.move(writer, number)
            assert not self.history.tried  # so the readers may see nothing but the last acknowledged
            for reader in readers:
                await self.read(reader)

    async def run_through_faults(self, session: aiohttp.ClientSession, moves: int) -> None:
        """Move and read; what is interrupted may or may not have happened."""
        for number in range(moves):
            try:
                await self.move(session, number)
                await self.read(session)
            except INTERRUPTIONS:
                self.interrupted += 1
                await asyncio.sleep(0.05)


def lanes_of(number: int) -> list[Lane]:
    """Give so many lanes, each with a tag in a repository of its own."""
    return [Lane(f"lane{index}") for index in range(number)]
