"""Bytes of manifests and small blobs by digest, kept in memory: they never change, so only the space is a question."""

from __future__ import annotations

from collections import OrderedDict


class ContentCache:
    """The most recently used contents of one process, up to a number of bytes."""

    def __init__(self, capacity: int = 32 * 1024 * 1024) -> None:
        self._capacity = capacity
        self._size = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    def get(self, digest: str) -> bytes | None:
        """Return the bytes of a digest, if they are here."""
        content = self._entries.get(digest)
        if content is not None:
            self._entries.move_to_end(digest)
        return content

    def put(self, digest: str, content: bytes) -> None:
        """Keep the bytes of a digest; what would fill an eighth of the cache is not kept."""
        if digest in self._entries or len(content) * 8 > self._capacity:
            return
        self._entries[digest] = content
        self._size += len(content)
        while self._size > self._capacity:
            self._size -= len(self._entries.popitem(last=False)[1])
