"""A stream of unknown length becomes an object or parts of one, hashed on the way.

What comes is gathered until it is enough for a part, and a part is sent only when there is enough behind it for
another: so the last one is never too small to be followed, should more come with another request. A stream that ends
before that is one object, by one request::

    chunk … chunk ─► filling ─► ready ─► hashed and sent (two at a time)
                        └─ at the end both go as one: an object, the last part, or a tail

An upload that has an object or a tail already is read back first: those bytes go before the new ones.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Final

from entrepot.adapters.blobs.hashers import LiveHash
from entrepot.adapters.blobs.objects.buffer import Buffer
from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import Cloud, NoMultipart, Part, Payload
from entrepot.adapters.blobs.objects.memory import Memory
from entrepot.adapters.blobs.objects.upload_state import Stored, UploadState, new_name, part_size
from entrepot.adapters.blobs.threads import Threads
from entrepot.oci.errors import BlobUnknown, BlobUploadInvalid, BlobUploadUnknown, RegistryError, Unavailable
from entrepot.registry.ports import Keep, UploadProgress

#: Bytes that are taken in at once; larger chunks are cut.
_PIECE: Final = 1 << 20
#: Seconds after which the progress of a long stream is kept, in case this process dies.
KEEP_SECONDS: Final = 30.0
#: Fewer bytes are hashed on the event loop: the way to a thread takes longer.
_INLINE: Final = 64 << 10


class Receiver:
    """Receives one request's bytes for one upload."""

    def __init__(
        self,
        upload_id: str,
        state: UploadState,
        live: LiveHash,
        *,
        cloud: Cloud,
        read: Callable[[str, int, int], AsyncGenerator[bytes, None]],
        calls: Calls,
        memory: Memory,
        owner: str,
        threads: Threads,
        keep: Keep | None,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        """Begin with an upload as it stands.

        Args:
            upload_id: Which.
            state: How it stands.
            live: A hasher, which counts if it has seen all of the upload's bytes.
            cloud: Where they go.
            read: Gives bytes of an object that the upload has already.
            calls: Makes the calls.
            memory: Where they wait.
            owner: Whose they are, who shares the memory with others.
            threads: Where they are hashed.
            keep: Told of the progress.
            keep_seconds: How often.
        """
        self.state = state
        #: What was verified may be a blob already, of whose commit nobody heard: it is no upload's to remove.
        self._verified = state.object if state.sealed else None
        self.live = live
        self._follows = live.offset == state.size
        self._upload_id = upload_id
        self._cloud, self._read, self._calls, self._threads = cloud, read, calls, threads
        self._keep, self._keep_seconds = keep, keep_seconds
        self._place = memory.place(owner, self._evict)
        self._least = cloud.limits.smallest_part
        self._first = max(cloud.limits.first_part, self._least)
        #: As much of the upload as the store had when this began is not given up before it has it again.
        self._floor = state.size
        self._carried = state.object
        self._has_all_of_carried = True
        self._ready = Buffer()
        self._filling = Buffer()
        self._sending: dict[int, asyncio.Task[Part]] = {}
        self._sent_bytes = 0
        #: Parts that the store has, and that do not yet hold all that it had before.
        self._loose: list[Part] = []
        self._waits_for_client = False
        self._spilling: asyncio.Task[None] | None = None
        self._kept_at = 0.0

    @property
    def progress(self) -> UploadProgress:
        """Say how far what the store has comes."""
        hashed = self._follows and self.live.offset == self.state.size
        return UploadProgress(
            offset=self.state.size, hashed=self.live.digest() if hashed else None, state=self.state.text()
        )

    @property
    def has_hashed_all(self) -> bool:
        """Tell whether the hasher has seen exactly what the store has."""
        return self._follows and self.live.offset == self.state.size

    async def run(self, chunks: AsyncIterator[bytes]) -> UploadProgress:
        """Take in all chunks; what came before an end that was not meant stays, and is kept."""
        self._kept_at = asyncio.get_running_loop().time()
        before = self.state
        try:
            try:
                await self._receive(chunks)
            except BaseException as error:
                with suppress(RegistryError):  # what ended the upload says more
                    if self._spilling is not None:
                        await self._end_spilling()
                    if not isinstance(
                        error, Unavailable
                    ):  # a store that just failed would keep the caller as long again
                        await self._flush()
                    if self._keep is not None and self.state != before:
                        await self._keep(self.progress)
                raise
            await self._flush()
        finally:
            await self._stop()
        return self.progress

    async def _receive(self, chunks: AsyncIterator[bytes]) -> None:
        self._waits_for_client = True
        async for chunk in chunks:
            self._waits_for_client = False
            if self._spilling is not None:
                await self._end_spilling()
            for start in range(0, len(chunk), _PIECE):
                await self._add(memoryview(chunk)[start : start + _PIECE])
            if self._keep is not None and self._kept_at + self._keep_seconds < asyncio.get_running_loop().time():
                await self._note(self._keep)
            self._waits_for_client = True
        self._waits_for_client = False
        if self._spilling is not None:
            await self._end_spilling()

    async def _add(self, piece: memoryview) -> None:
        await self._make_room(len(piece))
        if self._carried is not None:
            await self._take_carried()
        self._filling.add(piece)
        await self._send_what_is_ready()

    async def _take_carried(self) -> None:
        """Bring back what was too little for a part when the last request ended."""
        carried, self._carried = self._carried, None
        assert carried is not None
        self._has_all_of_carried = False
        left = carried.size
        try:
            async with aclosing(self._read(carried.name, 0, carried.size)) as pieces:
                async for piece in pieces:
                    left -= len(piece)
                    for start in range(0, len(piece), _PIECE):
                        part = memoryview(piece)[start : start + _PIECE]
                        await self._make_room(len(part))
                        self._filling.add(part)
                        await self._send_what_is_ready()
        except BlobUnknown:
            raise BlobUploadUnknown from None
        self._has_all_of_carried = not left
        if left:
            raise BlobUploadInvalid("what the store has of this upload is not what was put there; start a new one")

    # Memory.

    @property
    def _held(self) -> int:
        return len(self._ready) + len(self._filling) + self._sent_bytes

    @property
    def _number(self) -> int:
        """The number of the next part."""
        return len(self.state.parts) + len(self._loose) + len(self._sending) + 1

    @property
    def _target(self) -> int:
        """Bytes of the next part."""
        number = self._number
        size = part_size(number, self._first)
        whole = size + self._least + size * self._cloud.limits.parts_at_once
        return size if self._place.size >= whole else max(self._least, part_size(number, self._least))

    async def _make_room(self, size: int) -> None:
        """Wait until so many bytes more may be held."""
        is_over = self._place.is_over(is_handy=len(self._ready) + len(self._filling) >= self._least)
        if self._held + size <= self._place.limit and not is_over:
            return
        if is_over and self._has_all_of_carried:
            await self._give_way()
        number = self._number
        large = part_size(number, self._first)
        await self._place.enter(2 * max(self._least, part_size(number, self._least)) + _PIECE)
        self._place.grow(large + self._least + large * self._cloud.limits.parts_at_once)
        while self._held + size > self._place.limit and self._sending:
            await self._settle(leave=len(self._sending) - 1)

    async def _give_way(self) -> None:
        """Send what there is and let others have the memory."""
        try:
            await self._flush()
        finally:
            self._place.leave()

    def _evict(self) -> None:
        """Give way while the client sends nothing."""
        if self._waits_for_client and self._spilling is None:
            self._spilling = asyncio.ensure_future(self._give_way())

    async def _end_spilling(self) -> None:
        spilling, self._spilling = self._spilling, None
        assert spilling is not None
        await spilling

    # Sending.

    async def _send_what_is_ready(self) -> None:
        if self._ready and len(self._filling) >= self._least:
            ready, self._ready = self._ready, Buffer()
            await self._send(ready)
        if not self._ready and len(self._filling) >= self._target:
            self._ready, self._filling = self._filling, Buffer()
            self._cut_ready()

    def _cut_ready(self) -> None:
        """Leave what is beyond the last whole multiple for the next part."""
        beyond = len(self._ready) % self._cloud.limits.part_multiple
        if beyond:
            self._filling = self._ready.cut(len(self._ready) - beyond)

    async def _send(self, data: Buffer) -> None:
        """Send a part, beside others on their way."""
        if not self.state.multipart:
            name = new_name(self._upload_id)
            upload = await self._calls.make("begin", lambda: self._cloud.begin(name))
            self.state = replace(self.state, name=name, multipart=upload)
        await self._settle(leave=self._cloud.limits.parts_at_once - 1)
        number = self._number
        if number > self._cloud.limits.most_parts:
            raise BlobUploadInvalid(f"the blob is larger than {self._cloud.limits.most_parts} parts")
        offset = self.state.in_parts + sum(part.size for part in self._loose) + self._sent_bytes
        payload = Payload(data=data.view(), sha256=await self._hash(data.view(), offset))
        self._sending[number] = asyncio.ensure_future(self._put_part(number, offset, payload))
        self._sent_bytes += len(data)

    async def _put_part(self, number: int, offset: int, payload: Payload) -> Part:
        name, upload, size = self.state.name, self.state.multipart, len(payload.data)
        try:
            mark = await self._calls.make(
                "put part", lambda: self._cloud.put_part(name, upload, number, offset, payload), size=size
            )
        except NoMultipart:
            raise BlobUploadUnknown from None
        return Part(mark, size)

    async def _settle(self, *, leave: int = 0) -> None:
        """Wait for the oldest parts on their way until so few are left, and note them."""
        while len(self._sending) > leave:
            number = min(self._sending)
            part = await self._sending[number]
            del self._sending[number]
            self._sent_bytes -= part.size
            self._loose.append(part)
            if self.state.in_parts + sum(part.size for part in self._loose) >= self._floor:
                self._use_parts(None)

    def _use_parts(self, tail: Stored | None) -> None:
        """Let the upload be its parts and this tail, in place of what it was."""
        before = self.state.object
        is_ours = before is not None and before != self._verified
        old = (*self.state.old, before.name) if before is not None and is_ours else self.state.old
        parts = (*self.state.parts, *self._loose)
        self.state = replace(self.state, parts=parts, object=tail, old=old, sealed="", shared=False)
        self._loose.clear()

    async def _flush(self) -> None:
        """Let the store have everything that came."""
        rest = self._ready
        rest.add(self._filling.view())
        self._ready, self._filling = Buffer(), Buffer()
        if rest and self._has_all_of_carried:
            await self._send_rest(rest)
        await self._settle()

    async def _send_rest(self, rest: Buffer) -> None:
        limits = self._cloud.limits
        if self.state.multipart:
            whole = len(rest) - len(rest) % limits.part_multiple
            if whole >= limits.smallest_part:
                tail = rest.cut(whole)
                await self._send(rest)
                rest = tail
            await self._settle()
        if rest:
            await self._put_object(rest)

    async def _put_object(self, data: Buffer) -> None:
        """Let the rest be an object: all of the upload, or its tail."""
        offset = self.state.in_parts + sum(part.size for part in self._loose)
        payload = Payload(data=data.view(), sha256=await self._hash(data.view(), offset))
        name = new_name(self._upload_id)
        etag = await self._calls.make("put", lambda: self._cloud.put(name, payload), size=len(data))
        stored = Stored(name=name, size=len(data), etag=etag)
        self._use_parts(stored)
        self._carried = stored
        self._floor = self.state.size

    async def _hash(self, data: memoryview, offset: int) -> bytes:
        """Hash a part for the store, and what is new of it for the upload."""
        live = self.live if self._follows and offset <= self.live.offset else None
        self._follows = live is not None
        if len(data) <= _INLINE:
            return _digest(live, data, offset)
        return await self._threads.receive(_digest, live, data, offset)

    async def _note(self, keep: Keep) -> None:
        """Let whoever goes on after the death of this process know what the store has."""
        self._kept_at = asyncio.get_running_loop().time()
        await self._settle()
        await keep(self.progress)

    async def _stop(self) -> None:
        if self._spilling is not None:
            with suppress(RegistryError, asyncio.CancelledError):
                await self._end_spilling()
        for task in self._sending.values():
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)
        self._place.leave()


def _digest(live: LiveHash | None, data: memoryview, offset: int) -> bytes:
    """Return the SHA-256 of some bytes, and let the upload's hasher see those it has not seen.

    Where these are all bytes of an upload that is hashed by SHA-256, they are read once.
    """
    if live is not None:
        if (new := data[live.offset - offset :]).nbytes:
            live.update((new,))
        if offset == 0 and live.offset == len(data) and live.algorithm == "sha256":
            return live.hasher.digest()
    return hashlib.sha256(data).digest()
