"""Blobs as objects: each under a name of its own from its first byte on, so that nothing is copied when it is complete.

A push of a small blob is one request to the store, of a larger one its parts and two more; whatever else is asked of an
upload is answered from its state. A blob that `registry:2` put there lies under its digest, as in a folder, and is read
as well.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from entrepot.adapters.blobs.hashers import LiveHashes
from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import (
    Cloud,
    CloudBusy,
    CloudError,
    Described,
    NoMultipart,
    NoObject,
    Part,
    Payload,
)
from entrepot.adapters.blobs.objects.memory import Memory
from entrepot.adapters.blobs.objects.receiver import KEEP_SECONDS, Receiver
from entrepot.adapters.blobs.objects.upload_state import Stored, UploadState, new_name, upload_of
from entrepot.adapters.blobs.threads import Threads
from entrepot.oci.digest import Digest, new_hasher
from entrepot.oci.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    RegistryError,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.registry import layout
from entrepot.registry.layout import UploadId
from entrepot.registry.ports import Keep, Leftover, StoredBlob, UploadProgress

_log = logging.getLogger(__name__)

_OURS: Final = re.compile(re.escape(layout.OBJECTS) + r"/[A-Za-z0-9_-]{2}/[A-Za-z0-9_.-]{1,100}")
_EMPTY_SHA256: Final = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
#: Seconds within which the first bytes of a read come.
_BEGINS: Final = 6.0
#: A name that no object has: asking for it shows whether the store answers.
_NOTHING: Final = f"{layout.OBJECTS}/__/none"
#: An upload that asks for a commit waits as long for the store to put its parts together.
_COMPLETE_TRIES: Final = 3
_OTHER_BYTES: Final = "what the store has of this upload is not what was put there; start a new one"


class ObjectBlobStore:
    """The blob store of one bucket or container."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        calls: Calls | None = None,
        memory: Memory | None = None,
        threads: Threads | None = None,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        """Ask nothing yet.

        Args:
            cloud: The bucket.
            calls: Makes the calls.
            memory: Where uploads wait to be large enough.
            threads: Where bytes are hashed.
            keep_seconds: How often the progress of a long stream is kept.
        """
        self.cloud = cloud
        self.calls = calls or Calls()
        self.calls.pulse.ask = self._ask_for_nothing
        self._memory = memory or Memory()
        self._threads = threads or Threads()
        self._keep_seconds = keep_seconds
        self._hashes = LiveHashes()
        self._busy: set[str] = set()
        self._doomed: list[tuple[str, asyncio.Future[None]]] = []

    async def close(self) -> None:
        """End all connections and threads."""
        await self.calls.pulse.close()
        await self.cloud.close()
        self._threads.close()

    @property
    def has_state(self) -> bool:
        """Say yes."""
        return True

    # Blobs.

    async def stat(self, key: str) -> StoredBlob:
        """Describe a blob."""
        name = name_of(key)
        try:
            found = await self.calls.make("describe", lambda: self.cloud.describe(name))
        except NoObject:
            raise BlobUnknown from None
        return _described(key, found)

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a blob in pieces; a connection that breaks is made again where it broke."""
        name, tries = name_of(key), self.calls.tries
        if length == 0:
            await self.stat(key)
            return
        while True:
            got = 0
            try:
                async with aclosing(
                    self.calls.watched("read", self._begun_soon(self.cloud.read(name, start, length)))
                ) as pieces:
                    async for piece in pieces:
                        got += len(piece)
                        yield piece
                if length is not None and got < length:
                    await self._require_bytes(key, start + length)
                    raise CloudBusy("the answer ended early")
            except NoObject:
                raise BlobUnknown from None
            except CloudError as error:
                if length is not None and got >= length:
                    return  # it broke when everything was there
                tries = self.calls.tries if got else tries - 1
                if tries < 1 or not isinstance(error, CloudBusy):
                    _log.error("a blob cannot be read: %s", error, extra={"key": key})
                    raise Unavailable(5, "the blob storage does not give the blob; try again") from error
                await asyncio.sleep(self.calls.pause)
            else:
                return
            start += got
            length = None if length is None else length - got

    async def _begun_soon(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """Give what is read, of which the first has to come soon: a connection may be dead where the store is not."""
        async with aclosing(pieces):
            try:
                async with asyncio.timeout(_BEGINS) as limit:
                    with self.calls.pulse.waited_for(limit):
                        first = await anext(pieces, None)
            except TimeoutError:
                self.calls.require_open()
                raise CloudBusy("it does not begin to answer") from None
            if first is not None:
                yield first
                async for piece in pieces:
                    yield piece

    async def _ask_for_nothing(self) -> None:
        """Read what is not there; uploads and reads that wait for their clients keep nobody from that."""
        async with aclosing(self.cloud.read(_NOTHING, 0, 1)) as pieces:
            async for _ in pieces:
                return

    async def _require_bytes(self, key: str, end: int) -> None:
        found = await self.stat(key)
        if found.size < end:
            raise Unavailable(message="the stored blob is shorter than it should be")

    async def presign(self, key: str, seconds: int) -> str | None:
        """Return a URL that answers GET of a blob to whoever has it; None where nobody may sign one.

        Raises:
            Unavailable: There are no credentials to sign with at the moment.
        """
        try:
            return await self.cloud.presign(name_of(key), seconds)
        except CloudError as error:
            _log.error("no URL can be signed: %s", error)
            raise Unavailable(5, "The blob storage cannot be reached; try again.") from error

    async def delete(self, key: str) -> None:
        """Remove a blob, together with others that are removed at this moment."""
        await self._remove(name_of(key))

    async def keys(self, after: str = "") -> AsyncIterator[StoredBlob]:
        """Walk the objects: ours, uploads that become blobs among them, and behind them those of registry:2."""
        if after < layout.BEHIND_OBJECTS:
            async for found in self._listed(f"{layout.OBJECTS}/", after):
                yield _described(found.name, found)
        behind = layout.blob_data(Digest.parse(after)) if after > layout.BEHIND_OBJECTS else ""
        async for found in self._listed(f"{layout.BLOBS}/", behind):
            algorithm, shard, encoded, *_ = [*found.name.removeprefix(f"{layout.BLOBS}/").split("/"), "", ""]
            digest = layout.blob_at(algorithm, shard, encoded)
            if digest is not None and found.name == layout.blob_data(digest):
                yield _described(str(digest), found)

    async def _listed(self, prefix: str, after: str) -> AsyncIterator[Described]:
        try:
            async for found in self.cloud.list(prefix, after):
                yield found
        except CloudError as error:
            raise Unavailable(30, "the blob storage does not list what it has; try again") from error

    # Uploads.

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """Open an empty upload, of which the store learns nothing yet."""
        UploadId.parse(upload_id)
        return UploadProgress(offset=0, hashed=None, state=UploadState().text())

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """Say how many bytes of an upload are stored."""
        return _state(upload_id, known).size

    async def append(
        self,
        upload_id: str,
        chunks: AsyncIterator[bytes],
        *,
        offset: int,
        algorithm: str,
        known: UploadProgress | None = None,
        keep: Keep | None = None,
        owner: str = "",
    ) -> UploadProgress:
        """Add bytes at the end of an upload."""
        state = _state(upload_id, known)
        if state.size != offset:
            raise UploadRangeInvalid(state.size)
        if upload_id in self._busy:
            raise UploadRangeInvalid(state.size, "another request is writing to this upload; ask for its status")
        self._busy.add(upload_id)
        try:
            state = await self._tidy(state)
            live = self._hashes.take(_mark(known), algorithm, state.size)
            receiver = Receiver(
                upload_id,
                state,
                live,
                cloud=self.cloud,
                read=self.stream,
                calls=self.calls,
                memory=self._memory,
                owner=owner,
                threads=self._threads,
                keep=keep,
                keep_seconds=self._keep_seconds,
            )
            try:
                progress = await receiver.run(chunks)
            finally:
                if receiver.has_hashed_all:
                    self._hashes.keep(_mark(receiver.progress), live)
        finally:
            self._busy.discard(upload_id)
        if progress.hashed is None and progress.offset == offset and known is not None:
            return replace(progress, hashed=known.hashed if known.offset == offset else None)
        return progress

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """Verify an upload."""
        state = _state(upload_id, known)
        if upload_id in self._busy:
            raise UploadRangeInvalid(state.size, "another request is writing to this upload; ask for its status")
        actual = self._at_hand(state, expected, known)
        if actual is None:
            state = await self._completed(state)
            actual = await self._read_back(state, expected.algorithm)
        if actual != expected:
            raise DigestInvalid(f"the {state.size} bytes received have the digest {actual}, not {expected}")
        text = state.seal(expected).text()
        return UploadProgress(offset=state.size, hashed=expected, state=text, sealed_before=bool(state.sealed))

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """Make a sealed upload a blob, which it is already where all its bytes are one object."""
        state = _state(upload_id, known)
        if state.sealed != str(digest):
            raise BlobUploadInvalid(f"the upload was not verified to be {digest}")
        if state.size == 0:
            state = await self._put_empty(upload_id, state)
        state = await self._completed(state, digest)
        await self._tidy(state)
        stored = state.object
        assert stored is not None
        now = time.time_ns() // 1000
        return StoredBlob(key=stored.name, size=stored.size, etag=stored.etag, placed_at=now)

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """Drop an upload, which nobody may go on with any more; what was verified by others goes as a stray."""
        UploadId.parse(upload_id)
        if known is None or known.state is None:
            return
        state = UploadState.read(known.state)
        if state.sealed and (state.shared or known.hashed is None):
            return
        if state.multipart:
            await self.calls.make("abort", lambda: self.cloud.abort(state.name, state.multipart))
        await asyncio.gather(*(self._remove(name) for name in state.names))

    async def cancel_idle_upload(self, upload_id: str, *, before: int = 0) -> bool:
        """Say no: who keeps the state knows better."""
        del before
        UploadId.parse(upload_id)
        return False

    async def uploads(self) -> list[tuple[str, int]]:
        """List none: who keeps their states knows them."""
        return []

    # What nobody needs.

    async def leftovers(self, *, before: int) -> AsyncIterator[Leftover]:
        """Walk objects of pushes, and uploads in parts, that are older than a time."""
        prefix = f"{layout.OBJECTS}/"
        try:
            async for found in self.cloud.list_multiparts(prefix):
                if found.began_at < before and _OURS.fullmatch(found.name):
                    yield Leftover(key=found.name, upload_id=upload_of(found.name), size=0, multipart=found.id)
        except CloudError as error:
            raise Unavailable(30, "the blob storage does not list open uploads; try again") from error
        async for one in self._listed(prefix, ""):
            if one.placed_at < before and _OURS.fullmatch(one.name):
                yield Leftover(key=one.name, upload_id=upload_of(one.name), size=one.size)

    async def discard(self, leftover: Leftover) -> None:
        """Remove an object, or end an upload in parts."""
        if leftover.multipart:
            await self.calls.make("abort", lambda: self.cloud.abort(leftover.key, leftover.multipart))
        else:
            await self._remove(leftover.key)

    # Steps.

    def _at_hand(self, state: UploadState, expected: Digest, known: UploadProgress | None) -> Digest | None:
        """Say the digest of the whole upload if that needs no reading."""
        if state.sealed and Digest.parse(state.sealed).algorithm == expected.algorithm:
            return Digest.parse(state.sealed)
        hashed = None if known is None or known.offset != state.size else known.hashed
        if hashed is not None and hashed.algorithm == expected.algorithm:
            return hashed
        live = self._hashes.take(_mark(known), expected.algorithm, state.size)
        self._hashes.keep(_mark(known), live)
        return live.digest() if live.offset == state.size else None

    async def _read_back(self, state: UploadState, algorithm: str) -> Digest:
        hasher = new_hasher(algorithm)
        if state.object is not None:
            left = state.object.size
            async with aclosing(self.stream(state.object.name, 0, state.object.size)) as pieces:
                async for piece in pieces:
                    left -= len(piece)
                    await self._threads.receive(hasher.update, piece)
            if left:
                raise BlobUploadInvalid(_OTHER_BYTES)
        return Digest(algorithm, hasher.hexdigest())

    async def _completed(self, state: UploadState, digest: Digest | None = None) -> UploadState:
        """Let all bytes be one object; nothing is to be done where they are.

        One of which nobody can say how it came about is held against `digest`, unless the store says of what it is.
        """
        if not state.multipart:
            return state
        if state.object is not None and not state.parts:  # the parts that were begun came to nothing
            return replace(state, name="", multipart="")
        tail = state.object
        parts = state.parts
        try:
            if tail is not None:
                parts = (*parts, await self._put_tail(state, tail))
            etag = await self._complete(state, parts)
        except (NoMultipart, NoObject, BlobUnknown, Unavailable) as error:
            etag = await self._find_completed(state, error)
            found = state.as_object(Stored(name=state.name, size=state.size, etag=etag))
            if digest is not None and not self.cloud.limits.names_bytes:
                await self._require(digest, found)
            return found
        return state.as_object(Stored(name=state.name, size=state.size, etag=etag))

    async def _require(self, digest: Digest, found: UploadState) -> None:
        if await self._read_back(found, digest.algorithm) != digest:
            raise BlobUploadInvalid(_OTHER_BYTES)

    async def _put_tail(self, state: UploadState, tail: Stored) -> Part:
        pieces = [piece async for piece in self.stream(tail.name, 0, tail.size)]
        data = b"".join(pieces)
        digest = new_hasher("sha256")
        digest.update(data)
        payload, number = Payload(data=data, sha256=digest.digest()), len(state.parts) + 1
        put = partial(self.cloud.put_part, state.name, state.multipart, number, state.in_parts, payload)
        return Part(await self.calls.make("put part", put, size=tail.size), tail.size)

    async def _complete(self, state: UploadState, parts: Sequence[Part]) -> str:
        complete = partial(self.cloud.complete, state.name, state.multipart, parts)
        return await self.calls.make("complete", complete, size=state.size, tries=_COMPLETE_TRIES)

    async def _find_completed(self, state: UploadState, error: Exception) -> str:
        """Look whether an upload in parts became an object nevertheless: the answer may have been lost.

        Raises:
            BlobUploadUnknown: It was dropped.
            Unavailable: Nobody knows.
        """
        try:
            found = await self.calls.make("describe", lambda: self.cloud.describe(state.name))
        except NoObject:
            if isinstance(error, Unavailable):
                raise error from None
            raise BlobUploadUnknown from None
        if found.size != state.size:
            raise BlobUploadInvalid(_OTHER_BYTES)
        return found.etag

    async def _put_empty(self, upload_id: str, state: UploadState) -> UploadState:
        name, payload = new_name(upload_id), Payload(data=b"", sha256=_EMPTY_SHA256)
        etag = await self.calls.make("put", lambda: self.cloud.put(name, payload))
        return state.as_object(Stored(name=name, size=0, etag=etag))

    async def _tidy(self, state: UploadState) -> UploadState:
        """Remove objects that are of no more use; who cannot leaves them to be found later."""
        with suppress(RegistryError):
            await asyncio.gather(*(self._remove(name) for name in state.old))
        return state.without_old()

    async def _remove(self, name: str) -> None:
        """Remove an object, by one request with all that are removed in this turn of the loop."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._doomed.append((name, done))
        if len(self._doomed) == 1:
            await asyncio.sleep(0)
            doomed, self._doomed = self._doomed, []
            most = self.cloud.deletes_at_once
            batches = [doomed[start : start + most] for start in range(0, len(doomed), most)]
            await asyncio.gather(*(self._remove_batch(batch) for batch in batches))
        await done

    async def _remove_batch(self, batch: Sequence[tuple[str, asyncio.Future[None]]]) -> None:
        names = sorted({name for name, _ in batch})
        try:
            await self.calls.make("delete", lambda: self.cloud.delete(names))
        except RegistryError as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
        except BaseException:
            for _, done in batch:
                done.cancel()
            raise
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)


def name_of(key: str) -> str:
    """Say under which name a blob lies.

    Raises:
        DigestInvalid: No blob has such a key.
    """
    return key if _OURS.fullmatch(key) else layout.blob_data(Digest.parse(key))


def _mark(progress: UploadProgress | None) -> str:
    """Name a state shortly: a hasher belongs to it, since another node may have written other bytes."""
    text = "" if progress is None or progress.state is None else progress.state
    return hashlib.sha256(text.encode()).hexdigest()


def _state(upload_id: str, known: UploadProgress | None) -> UploadState:
    UploadId.parse(upload_id)
    if known is None or known.state is None:
        raise BlobUploadUnknown
    return UploadState.read(known.state)


def _described(key: str, found: Described) -> StoredBlob:
    return StoredBlob(key=key, size=found.size, etag=found.etag, placed_at=found.placed_at)
