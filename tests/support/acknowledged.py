"""What a registry has said yes to, and whether it keeps its word.

Writers (`tests/support/writers.py`) note in a `Ledger` every 201 and 202 they were given; after a fault, `Ledger.check`
asks for all of it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_AT_ONCE = 8

T = TypeVar("T")


def digest_of(data: bytes) -> str:
    """Give the digest that a registry calls these bytes by."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(slots=True)
class TagHistory:
    """What a tag may point at: the last that was acknowledged, or anything tried since."""

    acknowledged: str | None = None
    tried: set[str] = field(default_factory=set)

    def allows(self, digest: str | None) -> bool:
        """Say whether a reader may see this manifest, or none."""
        return digest == self.acknowledged or digest in self.tried


@dataclass(slots=True, kw_only=True)
class OpenUpload:
    """A session, as far as its writer knows."""

    repository: str
    location: str
    data: bytes
    #: The offset that the last answer named.
    acknowledged: int = 0
    #: How many bytes have been sent, answered or not.
    sent: int = 0
    #: Whether the closing PUT was sent.
    closing: bool = False


@dataclass(slots=True)
class Ledger:
    """Everything that was acknowledged, over all writers."""

    blobs: set[tuple[str, str]] = field(default_factory=set)
    manifests: set[tuple[str, str]] = field(default_factory=set)
    tags: dict[tuple[str, str], TagHistory] = field(default_factory=dict)
    uploads: list[OpenUpload] = field(default_factory=list)
    #: Answers that no fault excuses.
    refused: list[str] = field(default_factory=list)
    #: Requests without an answer.
    interrupted: int = 0

    async def check(self, session: aiohttp.ClientSession, *, power_failed: bool = False) -> list[str]:
        """Ask for everything; returns what is not as it was acknowledged.

        Uploads are gone on with where they stand, to their end. After a power cut they may have lost bytes, or be gone:
        only a 201 is a promise. When a connection breaks, it can be asked again.
        """
        reader = _Reader(session, power_failed=power_failed)
        await reader.each(sorted(self.blobs), reader.blob)
        await reader.each(sorted(self.manifests), reader.manifest)
        await reader.each(sorted(self.tags), lambda key: reader.tag(key, self.tags[key]))
        await reader.each(self.uploads, self._resume_with(reader))
        self.uploads.clear()
        return reader.wrong

    def _resume_with(self, reader: _Reader) -> Callable[[OpenUpload], Awaitable[None]]:
        async def resume(upload: OpenUpload) -> None:
            if await reader.upload(upload):
                self.blobs.add((upload.repository, digest_of(upload.data)))

        return resume


class _Reader:
    """Reads back, and collects what is wrong."""

    def __init__(self, session: aiohttp.ClientSession, *, power_failed: bool) -> None:
        self.wrong: list[str] = []
        self._session = session
        self._power_failed = power_failed

    async def each(self, things: Iterable[T], check: Callable[[T], Awaitable[None]]) -> None:
        """Check all of them, a few at a time."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(thing: T) -> None:
            async with places:
                await check(thing)

        await asyncio.gather(*map(one, things))

    async def blob(self, key: tuple[str, str]) -> None:
        """Read a blob whole."""
        repository, digest = key
        async with self._session.get(f"/v2/{repository}/blobs/{digest}") as answer:
            body = await answer.read()
        if answer.status != 200 or digest_of(body) != digest:
            self.wrong.append(f"blob {repository}@{digest}: {answer.status}, {len(body)} bytes")

    async def manifest(self, key: tuple[str, str]) -> None:
        """Read a manifest by its digest."""
        repository, digest = key
        status, body = await self._manifest(repository, digest)
        if status != 200 or digest_of(body) != digest:
            self.wrong.append(f"manifest {repository}@{digest}: {status}, {len(body)} bytes")

    async def tag(self, key: tuple[str, str], history: TagHistory) -> None:
        """Read a tag: it names what it may name, and all that its manifest needs is there."""
        repository, tag = key
        status, body = await self._manifest(repository, tag)
        seen = digest_of(body) if status == 200 else None
        if not history.allows(seen):
            self.wrong.append(f"tag {repository}:{tag}: {status} {seen}, acknowledged was {history.acknowledged}")
        if seen is None:
            return
        for digest in needed_blobs(body):
            async with self._session.head(f"/v2/{repository}/blobs/{digest}") as answer:
                if answer.status != 200:
                    self.wrong.append(f"tag {repository}:{tag}: its blob {digest} answers {answer.status}")

    async def upload(self, upload: OpenUpload) -> bool:
        """Go on with an upload at the offset that it reports; true when it became a blob."""
        async with self._session.get(upload.location) as answer:
            status, span = answer.status, answer.headers.get("Range", "")
            upload.location = answer.headers.get("Location", upload.location)
        if status == 404 and (upload.closing or self._power_failed):
            return False
        offset = int(span.partition("-")[2] or 0)
        offset += offset > 0
        least = 0 if self._power_failed else upload.acknowledged
        if status != 204 or not least <= offset <= upload.sent:
            self._complain(upload, f"{status}, range {span!r}, expected {least} to {upload.sent}")
            return False
        return await self._finish(upload, offset)

    async def _finish(self, upload: OpenUpload, offset: int) -> bool:
        rest, location = upload.data[offset:], upload.location
        upload.sent, upload.closing = len(upload.data), True
        if rest:
            headers = {"Content-Range": f"{offset}-{len(upload.data) - 1}"}
            async with self._session.patch(location, data=rest, headers=headers) as answer:
                if answer.status != 202:
                    self._complain(upload, f"resuming at {offset} answers {answer.status}")
                    return False
                location = answer.headers["Location"]
        async with self._session.put(location, params={"digest": digest_of(upload.data)}) as answer:
            lost = self._power_failed and answer.status == 400
            if answer.status != 201 and not lost:
                self._complain(upload, f"closing after resuming at {offset} answers {answer.status}")
        return answer.status == 201

    def _complain(self, upload: OpenUpload, text: str) -> None:
        self.wrong.append(f"upload of {upload.repository}: {text}")

    async def _manifest(self, repository: str, reference: str) -> tuple[int, bytes]:
        url = f"/v2/{repository}/manifests/{reference}"
        async with self._session.get(url, headers={"Accept": OCI_MANIFEST}) as answer:
            return answer.status, await answer.read()


def needed_blobs(manifest: bytes) -> list[str]:
    """List the digests of the blobs that an image cannot do without."""
    document = json.loads(manifest)
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
