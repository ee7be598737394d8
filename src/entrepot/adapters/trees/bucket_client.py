"""Asking a bucket from threads, as a disk is asked: each call blocks until there is an answer.

The requests run on an event loop of their own, which begins with the first of them, so that no thread of the registry
waits for another one: where nothing is asked, nothing is opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import Cloud, Described, Payload

T = TypeVar("T")
R = TypeVar("R")

#: Requests of one walk, and of all of this process, at once.
OF_A_WALK: Final = 24
_AT_ONCE: Final = 64
#: Objects that a listing gives at once.
_PAGE: Final = 1000


class ListedCloud(Cloud, Protocol):
    """A cloud that lists folders, too, and copies."""

    def folders(self, prefix: str) -> AsyncIterator[str]:
        """Walk what comes behind a prefix, up to the next slash, of all names that have one there."""
        ...

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy an object within the store; an object of the target's name is replaced.

        Raises:
            NoObject: There is no source.
        """
        ...


class BucketClient:
    """A bucket, below a root. What is `async` is for `begin` and `wait`, which let it run."""

    def __init__(self, place: str, opening: Callable[[], Awaitable[ListedCloud]], calls: Calls | None = None) -> None:
        """Ask nothing yet.

        Args:
            place: Names the bucket for people.
            opening: Makes a client of it; called on a loop of its own.
            calls: Makes the calls.
        """
        self.place = place
        self._opening = opening
        self._calls = calls or Calls()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cloud: asyncio.Future[ListedCloud] | None = None
        self._few: asyncio.Semaphore

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def begin(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Let something run."""
        return asyncio.run_coroutine_threadsafe(self._bounded(work), self._running())

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        """Let something run, and wait for it."""
        return self.begin(work).result()

    def in_order(self, things: Iterable[T], ask: Callable[[T], Coroutine[Any, Any, R]]) -> Iterator[R]:
        """Ask about each, several at once; the answers come in order."""
        asked: deque[Future[R]] = deque()
        for thing in things:
            asked.append(self.begin(ask(thing)))
            if len(asked) >= OF_A_WALK:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()

    def listed(self, prefix: str) -> Iterator[Described]:
        """Walk objects, a page at a time, each while those before it are taken in."""
        some = self.wait(self._page(prefix, ""))
        while len(some) == _PAGE:
            following = self.begin(self._page(prefix, some[-1].name))
            yield from some
            some = following.result()
        yield from some

    async def all(self, prefix: str) -> list[Described]:
        """List objects."""
        found: list[Described] = []
        while len(page := await self._page(prefix, found[-1].name if found else "")) == _PAGE:
            found += page
        return found + page

    async def describe(self, name: str) -> Described:
        """Describe an object.

        Raises:
            NoObject: There is none.
            Unavailable: The store fails, as with all that follows.
        """
        cloud = await self._opened()
        return await self._calls.make("describe", lambda: cloud.describe(name))

    async def read(self, name: str, limit: int) -> bytes:
        """Read an object, up to so many bytes.

        Raises:
            NoObject: There is none.
        """

        async def read() -> bytes:
            async with aclosing(cloud.read(name, 0, limit)) as pieces:
                return b"".join([piece async for piece in pieces])

        cloud = await self._opened()
        return await self._calls.make("read", read)

    async def hash(self, name: str, hasher: Callable[[], Any]) -> str:
        """Read an object to its end and give the digest of its bytes.

        Raises:
            NoObject: There is none.
        """

        async def read() -> str:
            hashed = hasher()
            async with aclosing(cloud.read(name, 0, None)) as pieces:
                async for piece in pieces:
                    hashed.update(piece)
            return str(hashed.hexdigest())

        cloud = await self._opened()
        size = (await self.describe(name)).size
        return await self._calls.make("read", read, size=size)

    async def put(self, name: str, content: bytes) -> None:
        """Store a small object."""
        cloud = await self._opened()
        payload = Payload(data=content, sha256=hashlib.sha256(content).digest())
        await self._calls.make("put", lambda: cloud.put(name, payload), size=len(content))

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy an object within the store.

        Raises:
            NoObject: There is no source.
        """
        cloud = await self._opened()
        await self._calls.make("copy", lambda: cloud.copy(source, target, size), size=size)

    async def delete(self, names: list[str]) -> None:
        """Remove objects, as far as they are there."""
        cloud = await self._opened()
        for start in range(0, len(names), cloud.deletes_at_once):
            some = names[start : start + cloud.deletes_at_once]
            await self._calls.make("delete", partial(cloud.delete, some))

    async def folders(self, prefix: str, limit: int | None = None) -> list[str]:
        """List what comes behind a prefix, up to the next slash."""

        async def walk() -> list[str]:
            found: list[str] = []
            async for name in cloud.folders(prefix):
                found.append(name)
                if len(found) == limit:
                    break
            return found

        cloud = await self._opened()
        return await self._calls.make("list", walk)

    async def _page(self, prefix: str, after: str) -> list[Described]:
        async def walk() -> list[Described]:
            found: list[Described] = []
            async for one in cloud.list(prefix, after):
                found.append(one)
                if len(found) == _PAGE:
                    break
            return found

        cloud = await self._opened()
        return await self._calls.make("list", walk)

    async def _opened(self) -> ListedCloud:
        if self._cloud is None:
            self._cloud = asyncio.ensure_future(self._opening())
        return await asyncio.shield(self._cloud)

    async def _bounded(self, work: Coroutine[Any, Any, R]) -> R:
        async with self._few:
            return await work

    async def _end(self) -> None:
        if self._cloud is not None:
            await (await self._cloud).close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop, self._cloud, self._few = asyncio.new_event_loop(), None, asyncio.Semaphore(_AT_ONCE)
                threading.Thread(target=partial(_serve, self._loop), name="bucket", daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()
