"""Writers that push images in every way a client may, while something goes wrong around them.

Each has repositories of its own, so that what it wrote last is known. Whatever is answered goes into the ledger;
whatever is not answered may or may not have happened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import aiohttp

from tests.support.acknowledged import OCI_MANIFEST, Ledger, OpenUpload, TagHistory, digest_of

_KIB = 1024
_TAGS = 4
#: Breaks of a connection, as the client sees them.
INTERRUPTIONS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class Refused(Exception):
    """The registry answered with an error."""


@asynccontextmanager
async def client_of(url: str, authorization: str = "", *, patience: float = 20) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client that waits for no answer longer than `patience` seconds."""
    headers = {"Authorization": authorization} if authorization else {}
    timeout = aiohttp.ClientTimeout(total=patience, sock_connect=5)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout, connector=connector) as session:
        # aiohttp repeats a PUT whose connection broke; a body that was stored already would be appended twice.
        session._retry_connection = False
        yield session


@dataclass(slots=True)
class Writer:
    """Pushes image after image into repositories under its name."""

    name: str
    ledger: Ledger
    random: Random
    session: aiohttp.ClientSession

    async def run(self, stop: asyncio.Event) -> None:
        """Push until stopped; a broken connection or a refusal ends one image, not the writer."""
        while not stop.is_set():
            try:
                await self.push_image()
            except INTERRUPTIONS:
                self.ledger.interrupted += 1
                await asyncio.sleep(0.02)
            except Refused as error:
                self.ledger.refused.append(str(error))
                await asyncio.sleep(0.02)

    async def push_image(self) -> None:
        """Push an image of one to three layers, and sometimes begin an upload that stays open."""
        repository = f"{self.name}/r{self.random.randrange(3)}"
        config = await self.push_blob(repository, self._bytes(64))
        layers = [await self.push_blob(repository, self._layer()) for _ in range(self.random.randint(1, 3))]
        await self.push_manifest(repository, f"t{self.random.randrange(_TAGS)}", config, layers)
        if self.random.random() < 0.3:
            await self._send_parts(await self._start(repository, self._bytes(300 * _KIB)), keep=True)

    async def push_blob(self, repository: str, data: bytes) -> tuple[str, int]:
        """Push a blob in one of four ways; returns digest and size."""
        ways = (self._single_post, self._post_put, self._chunks, self._streamed)
        await self.random.choice(ways)(repository, data)
        digest = digest_of(data)
        self.ledger.blobs.add((repository, digest))
        return digest, len(data)

    async def push_manifest(
        self, repository: str, tag: str, config: tuple[str, int], layers: Sequence[tuple[str, int]]
    ) -> str:
        """Push a manifest by tag; returns its digest."""
        body = image_manifest(config, layers)
        digest = digest_of(body)
        history = self.ledger.tags.setdefault((repository, tag), TagHistory())
        history.tried.add(digest)
        url, headers = f"/v2/{repository}/manifests/{tag}", {"Content-Type": OCI_MANIFEST}
        async with self.session.put(url, data=body, headers=headers) as answer:
            await _expect(answer, 201)
        history.acknowledged, history.tried = digest, set()
        self.ledger.manifests.add((repository, digest))
        return digest

    async def _single_post(self, repository: str, data: bytes) -> None:
        url = f"/v2/{repository}/blobs/uploads/"
        async with self.session.post(url, params={"digest": digest_of(data)}, data=data) as answer:
            await _expect(answer, 201)

    async def _post_put(self, repository: str, data: bytes) -> None:
        upload = await self._start(repository, data)
        upload.sent = len(data)
        await self._close(upload, data)

    async def _chunks(self, repository: str, data: bytes) -> None:
        upload = await self._start(repository, data)
        await self._send_parts(upload)
        await self._close(upload)

    async def _streamed(self, repository: str, data: bytes) -> None:
        """Send one PATCH whose length is not announced."""
        upload = await self._start(repository, data)
        upload.sent = len(data)
        async with self.session.patch(upload.location, data=_trickle(data)) as answer:
            await _expect(answer, 202)
            upload.location, upload.acknowledged = answer.headers["Location"], len(data)
        await self._close(upload)

    async def _start(self, repository: str, data: bytes) -> OpenUpload:
        async with self.session.post(f"/v2/{repository}/blobs/uploads/") as answer:
            await _expect(answer, 202)
            upload = OpenUpload(repository=repository, location=answer.headers["Location"], data=data)
        self.ledger.uploads.append(upload)
        return upload

    async def _send_parts(self, upload: OpenUpload, *, keep: bool = False) -> None:
        """Send chunk by chunk; with `keep`, not all of them."""
        size = max(1, len(upload.data) // self.random.randint(2, 5))
        last = len(upload.data) - (size if keep else 0)
        for start in range(0, last, size):
            part = upload.data[start : start + size]
            upload.sent = start + len(part)
            headers = {"Content-Range": f"{start}-{upload.sent - 1}"}
            async with self.session.patch(upload.location, data=part, headers=headers) as answer:
                await _expect(answer, 202)
                upload.location, upload.acknowledged = answer.headers["Location"], upload.sent

    async def _close(self, upload: OpenUpload, body: bytes | None = None) -> None:
        upload.closing = True
        async with self.session.put(upload.location, params={"digest": digest_of(upload.data)}, data=body) as answer:
            await _expect(answer, 201)
        self.ledger.uploads.remove(upload)

    def _layer(self) -> bytes:
        return self._bytes(self.random.choice((1, 16, 64, 200)) * _KIB)

    def _bytes(self, most: int) -> bytes:
        # No chunk of these is a single byte: an upload that has one and an upload that has none both say `Range: 0-0`.
        return self.random.randbytes(self.random.randint(10, most))


def image_manifest(config: tuple[str, int], layers: Sequence[tuple[str, int]]) -> bytes:
    """Write the manifest of an image."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor("application/vnd.oci.image.config.v1+json", *config),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", *layer) for layer in layers],
    }
    return json.dumps(document).encode()


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


async def _trickle(data: bytes) -> AsyncIterator[bytes]:
    """Give the data in pieces, with time between them in which something may happen."""
    for start in range(0, len(data), 16 * _KIB):
        yield data[start : start + 16 * _KIB]
        await asyncio.sleep(0.001)


async def _expect(answer: aiohttp.ClientResponse, status: int) -> None:
    if answer.status != status:
        text = (await answer.read())[:300]
        raise Refused(f"{answer.method} {answer.url.path} answered {answer.status}, not {status}: {text!r}")
