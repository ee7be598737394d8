"""Backups in an object store: pieces as objects below a root, in a bucket of another account best of all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import Cloud, CloudBusy, CloudError, NoObject, Part, Payload
from entrepot.adapters.blobs.objects.upload_state import part_size
from entrepot.backup.errors import BackupError, PieceMissing, TargetBusy, TargetFailed
from entrepot.metadata import clock
from entrepot.oci.errors import RegistryError, Unavailable

_LOCK: Final = ".lock"
#: Seconds after which whoever holds the place says so again, and after which one who did not is taken for dead.
_RENEWAL: Final = 60.0
_DEAD: Final = 900.0
#: Seconds until whoever writes the lock at the same moment has written it.
_ELECTION: Final = 1.0


class BucketTarget:
    """Pieces as objects. Whoever can read the bucket can read them: give backups a key."""

    def __init__(self, cloud: Cloud, where: str, calls: Calls | None = None) -> None:
        """Ask nothing yet.

        Args:
            cloud: The bucket, below a root.
            where: Names it for people.
            calls: Makes the calls.
        """
        self._cloud = cloud
        self._where = where
        self._calls = calls or Calls()

    def close(self) -> None:
        """Let go of it; whoever opened the bucket closes it."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Store a piece, in one request or in parts; it is seen when it is whole."""
        with self._told(name):
            sending = Sending(self._cloud, self._calls, name)
            try:
                async for piece in pieces:
                    await sending.add(piece)
                return await sending.end()
            except BaseException:
                with suppress(RegistryError, CloudError):
                    await sending.drop()
                raise

    async def get(self, name: str) -> AsyncGenerator[bytes, None]:
        """Read a piece; a connection that breaks is made again where it broke."""
        with self._told(name):
            size, tries = (await self._described(name)), self._calls.tries
            start = 0
            while start < size:
                got = 0
                try:
                    async with aclosing(self._calls.watched("read", self._cloud.read(name, start, None))) as pieces:
                        async for piece in pieces:
                            got += len(piece)
                            yield piece
                except CloudBusy:
                    got = got or -1
                start += max(got, 0)
                tries = self._calls.tries if got > 0 else tries - 1
                if start < size and tries < 1:
                    raise TargetFailed(f"{self._where} ends early at {name}")

    async def size(self, name: str) -> int | None:
        """Return a piece's bytes."""
        with suppress(PieceMissing), self._told(name):
            return await self._described(name)
        return None

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """Walk names."""
        with self._told(prefix):
            async for found in self._cloud.list(prefix):
                if not found.name.startswith("."):
                    yield found.name

    async def delete(self, name: str) -> None:
        """Remove a piece."""
        with self._told(name):
            await self._calls.make("delete", partial(self._cloud.delete, [name]))

    async def settle(self) -> None:
        """Do nothing: an object that was acknowledged stays."""

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock, an object that is renewed; one that was not for a quarter of an hour is a dead one's."""
        me = secrets.token_hex(16)
        with self._told(_LOCK):
            if await self._holder() not in (None, me):
                raise self._busy()
            await self._write_lock(me)
            await asyncio.sleep(_ELECTION)
            if await self._holder() != me:
                raise self._busy()
        renewing = asyncio.ensure_future(self._renew(me))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with suppress(BackupError, RegistryError):
                if await self._holder() == me:
                    await self.delete(_LOCK)

    async def _renew(self, me: str) -> None:
        while True:
            await asyncio.sleep(_RENEWAL)
            with suppress(RegistryError):  # the next time, long before anybody takes it for a dead one's
                await self._write_lock(me)

    async def _holder(self) -> str | None:
        """Say who holds the lock; None when nobody does who lives."""

        async def read() -> bytes:
            async with aclosing(self._cloud.read(_LOCK, 0, None)) as pieces:
                return b"".join([piece async for piece in pieces])

        try:
            said = json.loads(await self._calls.make("read", read))
            lives = abs(clock.now() - int(said["at"])) < _DEAD * clock.MICROSECONDS
            return str(said["who"]) if lives else None
        except (NoObject, ValueError, KeyError, TypeError):
            return None

    async def _write_lock(self, me: str) -> None:
        data = json.dumps({"who": me, "at": clock.now()}).encode()
        await self._calls.make("put", partial(self._cloud.put, _LOCK, _payload(data)))

    def _busy(self) -> TargetBusy:
        return TargetBusy(
            f"another process is changing {self._where}; try again when it is done, or {_DEAD / 60:.0f} minutes after "
            "it has died"
        )

    async def _described(self, name: str) -> int:
        return (await self._calls.make("describe", partial(self._cloud.describe, name))).size

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except NoObject:
            raise PieceMissing(name) from None
        except Unavailable as error:
            raise TargetFailed(f"{self._where} failed at {name}: {error.__cause__ or error.message}") from error
        except CloudError as error:
            raise TargetFailed(f"{self._where} failed at {name}: {error}") from error


class Sending:
    """One object on its way: in one request where it is small, in parts where it is not."""

    def __init__(self, cloud: Cloud, calls: Calls, name: str) -> None:
        self._cloud = cloud
        self._calls = calls
        self._name = name
        self._upload = ""
        self._parts: list[Part] = []
        self._waiting = bytearray()
        self._sent = 0

    async def add(self, piece: bytes) -> None:
        """Take bytes; send a part when there is more than one."""
        self._waiting += piece
        while len(self._waiting) > (size := self._next_size):
            await self._send(size)

    async def end(self) -> int:
        """Make it an object; return how many bytes it has."""
        if not self._upload:
            payload = _payload(bytes(self._waiting))
            put = partial(self._cloud.put, self._name, payload)
            await self._calls.make("put", put, size=len(payload.data))
            return len(payload.data)
        await self._send(len(self._waiting))
        complete = partial(self._cloud.complete, self._name, self._upload, self._parts)
        await self._calls.make("complete", complete, size=self._sent)
        return self._sent

    async def drop(self) -> None:
        """Leave nothing of it."""
        if self._upload:
            await self._calls.make("abort", partial(self._cloud.abort, self._name, self._upload))

    @property
    def _next_size(self) -> int:
        limits = self._cloud.limits
        size = part_size(len(self._parts) + 1, max(limits.first_part, limits.smallest_part))
        return size - size % limits.part_multiple

    async def _send(self, size: int) -> None:
        if not self._upload:
            self._upload = await self._calls.make("begin", partial(self._cloud.begin, self._name))
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        number, payload = len(self._parts) + 1, await asyncio.to_thread(_payload, data)
        put = partial(self._cloud.put_part, self._name, self._upload, number, self._sent, payload)
        self._parts.append(Part(await self._calls.make("put part", put, size=size), size))
        self._sent += size


def _payload(data: bytes) -> Payload:
    return Payload(data=data, sha256=hashlib.sha256(data).digest())
