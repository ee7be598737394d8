"""A cloud in memory: what the store of objects asks of S3, Azure and Google, without any of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

from entrepot.adapters.blobs.objects.cloud import Described, Limits, Multipart, NoMultipart, NoObject, Part, Payload

_PIECE = 64 << 10


@dataclass(slots=True)
class MemoryCloud:
    """A bucket. `asked` lists what was asked of it, and `before` is called before each of these."""

    limits: Limits = field(default_factory=lambda: Limits(smallest_part=5 << 20))
    deletes_at_once: int = 1000
    objects: dict[str, bytes] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    multiparts: dict[tuple[str, str], dict[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def close(self) -> None:
        """Keep everything."""

    async def ask(self, operation: str) -> None:
        """Be asked; a test lets it fail here."""
        self.asked.append(operation)

    async def presign(self, name: str, seconds: int) -> str:
        """Give what nobody can ask."""
        return f"memory:{name}?{seconds}"

    async def check(self) -> None:
        """Be there."""

    async def put(self, name: str, payload: Payload) -> str:
        """Store an object."""
        await self.ask("put")
        assert name not in self.objects, "a name is used once"
        return self._put(name, bytes(payload.data))

    async def begin(self, name: str) -> str:
        """Begin an upload in parts."""
        await self.ask("begin")
        upload = uuid.uuid4().hex
        self.multiparts[name, upload] = {}
        self.times[name] = time.time_ns() // 1000
        return upload

    async def put_part(self, name: str, upload: str, number: int, offset: int, payload: Payload) -> str:
        """Store a part."""
        await self.ask("put_part")
        parts = self._parts(name, upload)
        parts[number] = bytes(payload.data)
        return f"{number}-{hash(parts[number])}"

    async def complete(self, name: str, upload: str, parts: Sequence[Part]) -> str:
        """Make an object of parts."""
        await self.ask("complete")
        stored = self._parts(name, upload)
        for number, part in enumerate(parts, 1):
            if part.mark != f"{number}-{hash(stored[number])}":
                raise NoMultipart("another part")
            small = part.size < self.limits.smallest_part or part.size % self.limits.part_multiple
            assert number == len(parts) or not small, "only the last part may be small"
        del self.multiparts[name, upload]
        return self._put(name, b"".join(stored[number] for number in range(1, len(parts) + 1)))

    async def abort(self, name: str, upload: str) -> None:
        """Drop an upload in parts."""
        await self.ask("abort")
        self.multiparts.pop((name, upload), None)

    async def describe(self, name: str) -> Described:
        """Describe an object."""
        await self.ask("describe")
        return self._described(name)

    async def read(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Read an object."""
        await self.ask("read")
        if name not in self.objects:
            raise NoObject(name)
        data = self.objects[name][start:] if length is None else self.objects[name][start : start + length]
        for begin in range(0, len(data), _PIECE):
            yield data[begin : begin + _PIECE]

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects."""
        await self.ask("delete")
        for name in names:
            self.objects.pop(name, None)

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Described]:
        """Walk objects."""
        await self.ask("list")
        for name in sorted(self.objects):
            if name.startswith(prefix) and name > after:
                yield self._described(name)

    async def list_multiparts(self, prefix: str) -> AsyncIterator[Multipart]:
        """Walk uploads in parts."""
        await self.ask("list_multiparts")
        for name, upload in list(self.multiparts):
            if name.startswith(prefix):
                yield Multipart(name, upload, self.times.get(name, 0))

    def _put(self, name: str, data: bytes) -> str:
        self.objects[name] = data
        self.times[name] = time.time_ns() // 1000
        return str(hash(data))

    def _parts(self, name: str, upload: str) -> dict[int, bytes]:
        if (name, upload) not in self.multiparts:
            raise NoMultipart(upload)
        return self.multiparts[name, upload]

    def _described(self, name: str) -> Described:
        if name not in self.objects:
            raise NoObject(name)
        data = self.objects[name]
        return Described(name=name, size=len(data), etag=str(hash(data)), placed_at=self.times[name])
