"""An object store in memory: blobs under keys of its own, and URLs that it signs and checks.

It does what registries see of one: nothing local to open, no number of a file, and a URL that lets in whoever has it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.registry.ports import StoredBlob

HOST = "https://store.example.org"
_KEY = b"the store's own"


class PresigningStore(MemoryBlobStore):
    """Counts what it is asked for, by name of the method."""

    def __init__(self) -> None:
        """Begin with no blob."""
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.token = ""  #: put at the end of each URL
        self.salt = b""  #: what was written in another way has another ETag

    async def stat(self, key: str) -> StoredBlob:
        """Describe a blob."""
        self.asked["stat"] += 1
        return replace(await super().stat(key), etag=hashlib.md5(self._blob(key) + self.salt).hexdigest())

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a blob in pieces."""
        self.asked["stream"] += 1
        async for piece in super().stream(key, start, length):
            yield piece

    async def presign(self, key: str, seconds: int) -> str:
        """Sign a URL."""
        self.asked["presign"] += 1
        return (
            f"{HOST}/bucket/{key}?expires={seconds}&signature={self._sign(f'/bucket/{key}', str(seconds))}{self.token}"
        )

    def fetch(self, url: str) -> bytes:
        """Do what a client does with a URL; raise PermissionError unless the signature is this store's."""
        parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
        if query["signature"][0] != self._sign(parts.path, query["expires"][0]):
            raise PermissionError(url)
        return self._blob(parts.path.removeprefix("/bucket/"))

    def _sign(self, path: str, seconds: str) -> str:
        return hmac.new(_KEY, f"{path} {seconds}".encode(), hashlib.sha256).hexdigest()
