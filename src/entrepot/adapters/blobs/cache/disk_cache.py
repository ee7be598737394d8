"""Blobs of an object store, kept on a disk of this node while there is room."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from entrepot.adapters.blobs.cache.space import Space, is_locked
from entrepot.adapters.blobs.piece_size import piece_size
from entrepot.oci.digest import Hasher, new_hasher
from entrepot.oci.errors import RegistryError
from entrepot.registry.model import BlobRecord
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.verification import PULL, lost

_log = logging.getLogger(__name__)

#: A blob that is larger than this share of the whole would push out too much.
_LARGEST_SHARE: Final = 4
#: Blobs that one worker fetches at once; further ones stream past.
_AT_ONCE: Final = 16
#: Seconds for which nothing new is kept after the disk failed.
_REST: Final = 60.0
#: Seconds between two looks at a file that grows; and so many looks without growth before it is asked who writes it.
_LOOK: Final = 0.01
_PATIENCE: Final = 20
#: Seconds after which a use is noted again.
_NOTE_USE: Final = 60.0
_MOST_DAMAGED: Final = 1000
#: How a request is answered, as metrics call it: by this worker's fetching, by another's, or past the cache.
_FETCH: Final = "fetch"
_FOLLOW: Final = "follow"
_PAST: Final = "past"


class DiskCache:
    """The port `BlobCache` over a folder."""

    def __init__(
        self,
        folder: Path,
        limit: int,
        *,
        store: BlobStore,
        quarantine: Quarantine,
        count: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        """Keep at most `limit` bytes in a folder.

        Args:
            folder: Of this node; its workers share it.
            limit: Bytes.
            store: Where blobs come from.
            quarantine: Told of those that come with another digest.
            count: Told of each request how it was answered: `hit`, `fetch`, `follow`, `past` or `off`.

        Raises:
            OSError: The folder cannot be made.
        """
        self._space = Space(folder, limit)
        self._store = store
        self._quarantine = quarantine
        self._count = count
        self._fetching: dict[str, asyncio.Future[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._damaged: set[str] = set()
        self._following = 0
        self._off_until = 0.0

    async def settled(self) -> None:
        """Wait until all that is being fetched is here."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop fetching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def path(self, blob: BlobRecord) -> str | None:
        """Say in which file a blob is whole, if it is kept; it stays for a minute at least."""
        path = self._space.whole(blob.digest)
        try:
            found = os.stat(path)  # noqa: PTH116 - a Path costs more than the call itself
            if found.st_size != blob.size:
                os.unlink(path)  # noqa: PTH108 - as above
                return None
            if time.time() - found.st_mtime > _NOTE_USE:
                os.utime(path)
        except OSError:
            return None
        self._count("hit")
        return path

    async def stream(self, blob: BlobRecord, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Read a part of a blob that is not kept; it is, afterwards, where it fits and most of it was wanted.

        Raises:
            BlobUnknown: The store has no such blob, or its bytes have another digest.
            Unavailable: The bytes cannot be read.
        """
        offset = start
        if await self._is_coming(blob, start, length):
            async with aclosing(self._follow(blob, start, length)) as pieces:
                async for piece in pieces:
                    offset += len(piece)
                    yield piece
            if str(blob.digest) in self._damaged:
                raise lost(blob)
        left = start + length - offset
        if left:
            async with aclosing(self._store.stream(blob.key, offset, left)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _is_coming(self, blob: BlobRecord, start: int, length: int) -> bool:
        """See to it that a blob is being fetched, by whichever worker; False where it is to stream past."""
        key = str(blob.digest)
        if start or 2 * length < blob.size or blob.size > self._space.limit // _LARGEST_SHARE:
            self._count(_PAST)
            return False
        if time.monotonic() < self._off_until:
            self._count("off")
            return False
        claim = self._fetching.get(key)
        if claim is not None:
            is_coming = await asyncio.shield(claim) != _PAST
            self._count(_FOLLOW if is_coming else _PAST)
            return is_coming
        if len(self._fetching) >= _AT_ONCE:
            self._count(_PAST)
            return False
        claim = self._fetching[key] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(self._fetch(blob, claim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        outcome = await asyncio.shield(claim)
        self._count(outcome)
        return outcome != _PAST

    # Fetching.

    async def _fetch(self, blob: BlobRecord, claim: asyncio.Future[str]) -> None:
        """Fetch a blob, unless another worker does, which `claim` says."""
        file = None
        try:
            outcome, file = await asyncio.to_thread(self._claim, blob)
            claim.set_result(outcome)
            if file is not None:
                await self._write(blob, file)
        except OSError as error:
            self._rest(error)
        except RegistryError as error:  # whoever waits asks the store itself, and says what is wrong
            _log.warning("blob %s could not be fetched into the cache: %s", blob.digest, error)
        finally:
            del self._fetching[str(blob.digest)]
            if not claim.done():
                claim.set_result(_PAST)
            if file is not None:
                os.close(file)

    def _claim(self, blob: BlobRecord) -> tuple[str, int | None]:
        """Open the file to write to and take its lock; or say that another has it, or that there is no room."""
        path = self._space.part(blob.digest, blob.size)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120 - as for the paths above
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return _FOLLOW, None
        if not _is_at(file, path):  # whoever had the lock has finished it
            os.close(file)
            return _FOLLOW, None
        try:
            if self._space.reserve(blob.size, path):
                os.ftruncate(file, 0)
                return _FETCH, file
        except OSError:
            os.close(file)
            raise
        _remove(path)
        os.close(file)
        return _PAST, None

    async def _write(self, blob: BlobRecord, file: int) -> None:
        """Write a blob to its file, and give that its name if the bytes have the digest."""
        part, hasher, is_kept = self._space.part(blob.digest, blob.size), new_hasher(blob.digest.algorithm), False
        try:
            async with aclosing(self._store.stream(blob.key, 0, blob.size)) as pieces:
                async for piece in pieces:
                    await _finished(asyncio.ensure_future(asyncio.to_thread(_take, file, hasher, piece)))
            if hasher.hexdigest() == blob.digest.encoded:
                keep = asyncio.to_thread(_keep, file, part, self._space.whole(blob.digest))
                await _finished(asyncio.ensure_future(keep))
                is_kept = True
                return
            os.fchmod(file, 0)  # for other workers that read it as it grew
            if len(self._damaged) < _MOST_DAMAGED:
                self._damaged.add(str(blob.digest))
            described = await self._store.stat(blob.key)
            detail = f"the {blob.size} bytes have another digest"
            await self._quarantine.damaged(blob.digest, described, detail, by=PULL)
        finally:
            if not is_kept:
                _remove(part)
                self._space.give_back(blob.size)

    def _rest(self, error: OSError) -> None:
        if time.monotonic() >= self._off_until:
            _log.error("the disk cache takes nothing for %d seconds: %s", _REST, error.strerror)
        self._off_until = time.monotonic() + _REST

    # Following.

    async def _follow(self, blob: BlobRecord, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Read a file while it grows. It ends early where whoever writes it has given up.

        Raises:
            BlobUnknown: Its bytes have turned out to have another digest.
        """
        file = await asyncio.to_thread(
            _opened, self._space.part(blob.digest, blob.size), self._space.whole(blob.digest)
        )
        if file is None:
            return
        self._following += 1
        offset, end = start, start + length
        try:
            while offset < end:
                there = await self._grown(blob, file, offset)
                if not os.fstat(file).st_mode & stat.S_IRUSR:
                    raise lost(blob)
                if there <= offset:
                    return
                size = min(piece_size(self._following), there - offset, end - offset)
                piece = await asyncio.to_thread(os.pread, file, size, offset)
                if not piece:
                    return
                offset += len(piece)
                yield piece
        finally:
            self._following -= 1
            os.close(file)

    async def _grown(self, blob: BlobRecord, file: int, offset: int) -> int:
        """Wait until there is more behind `offset`; the last byte counts once all of them are verified."""
        looks = 0
        while True:
            size = os.fstat(file).st_size
            if min(size, blob.size - 1) > offset:
                return min(size, blob.size - 1)
            looks += 1
            if size == blob.size or looks % _PATIENCE == 0:
                if _is_at(file, self._space.whole(blob.digest)):
                    return blob.size
                if not self._is_written(blob, file):
                    return offset
            await asyncio.sleep(_LOOK)

    def _is_written(self, blob: BlobRecord, file: int) -> bool:
        """Tell whether somebody still writes to a file, or has just given it its name."""
        try:
            return is_locked(self._space.part(blob.digest, blob.size))
        except OSError:
            return _is_at(file, self._space.whole(blob.digest))


def _take(file: int, hasher: Hasher, piece: bytes) -> None:
    hasher.update(piece)
    view = memoryview(piece)
    while view:
        view = view[os.write(file, view) :]


def _keep(file: int, part: str, whole: str) -> None:
    """Make a file durable before it gets its name: after a power cut it must not be another than it says."""
    os.fdatasync(file)
    os.rename(part, whole)  # noqa: PTH104 - as for the paths above


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - as above


def _opened(*paths: str) -> int | None:
    for path in paths:
        with suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return None


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))  # noqa: PTH116 - as above
    except OSError:
        return False


async def _finished(work: asyncio.Future[None]) -> None:
    """Wait for a thread, also when this task is cancelled: the file must not be closed under its hands."""
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise
