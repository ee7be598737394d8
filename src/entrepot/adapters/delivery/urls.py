"""URLs of blobs, but for those of CDNs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from entrepot.registry.ports import BlobUrls

#: Seconds for which a presigned URL is good, and for which one is given to all who ask.
LIFE: Final = 1200
_REUSED: Final = 600.0
#: The same for what temporary credentials signed: it ends with them, and they are renewed ten minutes before.
_REUSED_TEMPORARY: Final = 300.0
_TEMPORARY: Final = "X-Amz-Security-Token="
#: URLs that one worker remembers.
_MOST: Final = 20_000


class Presigning(Protocol):
    """An object store that signs URLs of its objects."""

    async def presign(self, key: str, seconds: int) -> str | None:
        """Return a URL that answers GET of a blob, as bytes that may be cached for ever, to whoever has it.

        None where nobody may sign one with the store's credentials.
        """
        ...


class PresignedUrls:
    """The store's own URLs. To sign one costs as much as the rest of the answer, so it is given again for a while."""

    def __init__(self, store: Presigning, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._urls: dict[str, str | None] = {}
        self._until = 0.0

    async def url(self, key: str, client: str) -> str | None:
        """See `BlobUrls`."""
        del client
        if self._now() >= self._until or len(self._urls) >= _MOST:
            self._urls, self._until = {}, self._now() + _REUSED
        if key not in self._urls:
            url = self._urls[key] = await self._store.presign(key, LIFE)
            if url is not None and _TEMPORARY in url:
                self._until = min(self._until, self._now() + _REUSED_TEMPORARY)
        return self._urls[key]


class PlainUrls:
    """registry:2's `redirect`: an address, and the path of the bytes below it."""

    def __init__(self, base: str, path_of: Callable[[str], str]) -> None:
        self._base = base.rstrip("/")
        self._path_of = path_of

    async def url(self, key: str, client: str) -> str | None:
        """See `BlobUrls`."""
        del client
        return self._base + quote(self._path_of(key), safe="/-_.~")


class RewrittenUrls:
    """registry:3's `rewrite`: another's URLs, changed."""

    def __init__(self, inner: BlobUrls, *, scheme: str, host: str, prefix: str) -> None:
        self._inner = inner
        self._scheme = scheme
        self._host = host
        self._prefix = prefix

    async def url(self, key: str, client: str) -> str | None:
        """See `BlobUrls`."""
        given = await self._inner.url(key, client)
        if given is None:
            return None
        parts = urlsplit(given)
        path = parts.path.removeprefix(self._prefix)
        return urlunsplit(
            parts._replace(scheme=self._scheme or parts.scheme, netloc=self._host or parts.netloc, path=path)
        )


class UrlsByNetwork:
    """One place for clients in some networks, another for all others; None stands for the registry itself."""

    def __init__(self, hold: Callable[[str], bool], *, inside: BlobUrls | None, outside: BlobUrls) -> None:
        self._hold = hold
        self._inside = inside
        self._outside = outside

    async def url(self, key: str, client: str) -> str | None:
        """See `BlobUrls`."""
        urls = self._inside if self._hold(client) else self._outside
        return None if urls is None else await urls.url(key, client)


class CountedUrls:
    """Counts who was sent elsewhere."""

    def __init__(self, inner: BlobUrls, count: Callable[[], None]) -> None:
        self._inner = inner
        self._count = count

    async def url(self, key: str, client: str) -> str | None:
        """See `BlobUrls`."""
        url = await self._inner.url(key, client)
        if url is not None:
            self._count()
        return url
