"""Pushers that share layers and delete images again, so that a collector always has something to take away.

Whoever pushes asks first which layers are there, as clients do, and sends the others. What was answered by 201 is read
back at once, to the last byte; what is kept is read again at the end.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import aiohttp

from tests.support.acknowledged import OCI_MANIFEST, digest_of, needed_blobs
from tests.support.writers import INTERRUPTIONS, image_manifest

_KIB = 1024
_LAYERS_OF_ALL = 100
_IMAGES_OF_ONE = 3
_TRIES = 20


@dataclass(slots=True)
class Shelf:
    """What all of them share: the layers, and what they were told."""

    layers: list[bytes]
    #: What was acknowledged and not asked to go: manifests by repository and digest.
    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    #: pushes, deletes, layers sent, layers found, pushes refused because a layer had gone, interrupted requests.
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, random: Random) -> Shelf:
        """Make layers."""
        return cls([random.randbytes(random.randint(1, 8 * _KIB)) for _ in range(_LAYERS_OF_ALL)])

    def files(self) -> dict[str, int]:
        """Give the digests of all that the kept images need, themselves included, with their sizes."""
        needed = {digest_of(body): len(body) for body in self.kept.values()}
        for body in self.kept.values():
            document = json.loads(body)
            needed |= {part["digest"]: part["size"] for part in (document["config"], *document["layers"])}
        return needed

    async def check(self, session: aiohttp.ClientSession) -> list[str]:
        """Read back everything that is kept; return what is not there."""
        wrong: list[str] = []
        for (repository, digest), body in list(self.kept.items()):
            wrong += await missing(session, repository, digest, body)
        return wrong


@dataclass(slots=True)
class Sharer:
    """Pushes images into a repository of its own, and deletes all but the last."""

    repository: str
    shelf: Shelf
    random: Random
    session: aiohttp.ClientSession
    mine: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        """Push until stopped; a broken connection ends one image, not the pusher."""
        while not stop.is_set():
            try:
                await self.push()
                await self.delete_the_oldest()
            except INTERRUPTIONS:
                self.shelf.counts["interrupted"] += 1
                await asyncio.sleep(0.02)

    async def push(self) -> None:
        """Push an image; one that was acknowledged is whole."""
        config, layers = self.random.randbytes(64), self.random.sample(self.shelf.layers, 2)
        body = image_manifest((digest_of(config), len(config)), [(digest_of(layer), len(layer)) for layer in layers])
        for _ in range(_TRIES):
            for blob in (config, *layers):
                await self._blob(blob)
            if await self._manifest(body):
                break
        else:
            self.shelf.wrong.append(f"{self.repository}: refused {_TRIES} times")
            return
        self.shelf.kept[self.repository, digest_of(body)] = body
        self.mine.append(digest_of(body))
        self.shelf.counts["pushes"] += 1
        self.shelf.wrong += await missing(self.session, self.repository, digest_of(body), body)

    async def delete_the_oldest(self) -> None:
        """Delete an image if there are enough."""
        if len(self.mine) <= _IMAGES_OF_ONE:
            return
        digest = self.mine.pop(0)
        del self.shelf.kept[self.repository, digest]
        async with self.session.delete(f"/v2/{self.repository}/manifests/{digest}") as answer:
            if answer.status != 202:
                self.shelf.wrong.append(f"{self.repository}: deleting {digest} answers {answer.status}")
        self.shelf.counts["deletes"] += 1

    async def _blob(self, data: bytes) -> None:
        """Send a blob, unless it is there."""
        digest = digest_of(data)
        async with self.session.head(f"/v2/{self.repository}/blobs/{digest}") as answer:
            found = answer.status == 200
        self.shelf.counts["found" if found else "sent"] += 1
        if found:
            return
        url = f"/v2/{self.repository}/blobs/uploads/"
        async with self.session.post(url, params={"digest": digest}, data=data) as answer:
            if answer.status != 201:
                self.shelf.wrong.append(f"{self.repository}: pushing a blob answers {answer.status}")

    async def _manifest(self, body: bytes) -> bool:
        """Push a manifest under a tag of its own; false when a blob of it is not there (any more)."""
        url = f"/v2/{self.repository}/manifests/t{digest_of(body)[7:19]}"
        async with self.session.put(url, data=body, headers={"Content-Type": OCI_MANIFEST}) as answer:
            said = await answer.text()
        if answer.status == 201:
            return True
        self.shelf.counts["refused"] += 1
        if answer.status != 400 or "MANIFEST_BLOB_UNKNOWN" not in said:
            self.shelf.wrong.append(f"{self.repository}: pushing a manifest answers {answer.status} {said[:200]}")
        return False


async def missing(session: aiohttp.ClientSession, repository: str, digest: str, body: bytes) -> list[str]:
    """Read an image whole; return what of it is not there as it should be."""
    parts = [f"manifests/{digest}", *(f"blobs/{blob}" for blob in needed_blobs(body))]
    wrong = []
    for part in parts:
        async with session.get(f"/v2/{repository}/{part}", headers={"Accept": OCI_MANIFEST}) as answer:
            status, data = answer.status, await answer.read()
        if status != 200 or digest_of(data) != part.partition("/")[2]:
            wrong.append(f"{repository}/{part}: {status}, {len(data)} bytes")
    return wrong
