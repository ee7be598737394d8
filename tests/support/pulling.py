"""Clients that pull without a pause and excuse nothing: each request is answered, at once, with the right bytes."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from random import Random

import aiohttp

from tests.support.acknowledged import digest_of, needed_blobs
from tests.support.writers import INTERRUPTIONS

#: How much a slow reader takes at a time, and its pause.
_SIP_BYTES = 64 * 1024
_SIP_SECONDS = 0.02
#: Between two images: enough that the registries have time for their starts, on few cores.
_PAUSE_SECONDS = 0.05


#: Repository, tag and digest.
Image = tuple[str, str, str]


@dataclass(slots=True)
class Pulls:
    """What came of all pulls."""

    done: int = 0
    failed: list[str] = field(default_factory=list)
    slowest: float = 0.0  #: seconds to the head of an answer

    def add(self, others: Pulls) -> None:
        """Add what came of others."""
        self.done += others.done
        self.failed += others.failed
        self.slowest = max(self.slowest, others.slowest)


@dataclass(slots=True, kw_only=True)
class Puller:
    """Pulls images as clients do: a token, a manifest by tag and by digest, and each of its blobs."""

    session: aiohttp.ClientSession
    authorization: str
    images: list[Image]
    pulls: Pulls
    random: Random
    slow: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Pull until stopped."""
        while not stop.is_set():
            await self._pull(*self.random.choice(self.images))
            self.pulls.done += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _pull(self, repository: str, tag: str, digest: str) -> None:
        asked = {"service": "entrepot", "scope": f"repository:{repository}:pull"}
        found = await self._get("/token", {"Authorization": self.authorization}, asked)
        if found is None:
            return
        token = json.loads(found)["token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": "*/*"}
        for reference in (tag, digest):
            manifest = await self._get(f"/v2/{repository}/manifests/{reference}", headers, digest=digest)
        for blob in needed_blobs(manifest) if manifest else ():
            await self._get(f"/v2/{repository}/blobs/{blob}", headers, digest=blob)

    async def _get(
        self, path: str, headers: dict[str, str], query: dict[str, str] | None = None, *, digest: str = ""
    ) -> bytes | None:
        """Ask for something; None when it failed, which is written down."""
        begun = time.monotonic()
        try:
            async with self.session.get(path, headers=headers, params=query) as answer:
                self.pulls.slowest = max(self.pulls.slowest, time.monotonic() - begun)
                body = await (self._sip(answer) if self.slow else answer.read())
        except INTERRUPTIONS as error:
            self._fail(f"{path}: {error!r}")
        else:
            if answer.status == 200 and digest in ("", digest_of(body)):
                return body
            self._fail(f"{path}: {answer.status}, {body[:200]!r}")
        return None

    async def _sip(self, answer: aiohttp.ClientResponse) -> bytes:
        """Read slowly, so that the way it came is being closed meanwhile."""
        taken = []
        async for piece in answer.content.iter_chunked(_SIP_BYTES):
            taken.append(piece)
            await asyncio.sleep(_SIP_SECONDS)
        return b"".join(taken)

    def _fail(self, text: str) -> None:
        self.pulls.failed.append(f"{time.strftime('%H:%M:%S')} {text}")
