"""Suspect blobs on their way out: hashed as they go, and never completed unless the hash is right.

The last piece of a whole blob is held back until all bytes before it, and it, are hashed. A part of a suspect blob is
sent only after the whole was read. What turned out whole is remembered at once by this process, and written to its row
a few seconds later, so that the next pull goes by the file.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import islice

from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.integrity import verification
from entrepot.metadata.integrity.verification import Verified
from entrepot.oci.digest import Hasher, new_hasher
from entrepot.oci.errors import BlobUnknown, Unavailable
from entrepot.registry.model import BlobRecord
from entrepot.registry.ports import BlobStore, StoredBlob
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.suspect_blobs import Suspicion

_log = logging.getLogger(__name__)

#: Who found it, in findings and events.
PULL = "pull"
#: Seconds between two writings of what was verified.
_SECONDS = 5.0
#: Seconds for which a part of a blob is waited for while the whole is read.
_PATIENCE = 25.0
#: Whole blobs read at once, before parts of them are sent.
_AT_ONCE = 4
_REMEMBERED = 10_000
_ROWS = 500
#: Smaller pieces are hashed on the event loop: the way to a thread takes longer.
_INLINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class _File:
    """A file that this process has verified, in the form in which `Suspicion` asks of a row."""

    inode: int | None
    mtime_ns: int | None
    verified_at: int
    etag: str | None


class Verifying:
    """The verification of what this process sends."""

    def __init__(
        self,
        *,
        metadata: Database,
        store: BlobStore,
        suspicion: Suspicion,
        quarantine: Quarantine,
        on_verified: Callable[[], None] = lambda: None,
        patience: float = _PATIENCE,
    ) -> None:
        self.quarantine = quarantine
        self._metadata = metadata
        self._store = store
        self._suspicion = suspicion
        self._on_verified = on_verified
        self._patience = patience
        self._known: OrderedDict[str, _File] = OrderedDict()
        self._waiting: dict[int, Verified] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    def is_suspect(self, blob: BlobRecord, inode: int | None, mtime_ns: int | None) -> bool:
        """Tell whether a blob, whose file is the one described and has its size, must be verified to be sent."""
        if not self._suspicion.of(blob, inode, mtime_ns):
            return False
        known = self._known.get(str(blob.digest))
        if known is None or (blob.etag is not None and blob.etag != known.etag):
            return True
        return self._suspicion.of(known, inode, mtime_ns)

    async def stream(self, blob: BlobRecord, file: StoredBlob) -> AsyncGenerator[bytes, None]:
        """Read a whole blob in pieces; the last one comes only if all of them have the digest.

        Raises:
            BlobUnknown: They have not; the blob is in quarantine now. In place of the last piece.
            Unavailable: The bytes cannot be read, or are fewer than they should be.
        """
        hasher = new_hasher(blob.digest.algorithm)
        held = b""
        async with aclosing(self._store.stream(blob.key, 0, blob.size)) as pieces:
            async for piece in pieces:
                hashed = _start(hasher, piece)
                if held:
                    yield held
                if hashed is not None:
                    await hashed
                held = piece
        if hasher.hexdigest() != blob.digest.encoded:
            await self.quarantine.damaged(blob.digest, file, f"the {blob.size} bytes have another digest", by=PULL)
            raise lost(blob)
        self._note(blob, file)
        yield held

    async def ensure(self, blob: BlobRecord, file: StoredBlob) -> None:
        """Read a whole blob before parts of it are sent; all who ask meanwhile wait for the same reading.

        Raises:
            BlobUnknown: The bytes have another digest; the blob is in quarantine now.
            Unavailable: They cannot be read, or reading them takes longer than a client should wait.
        """
        key = f"{blob.digest} {file.inode} {file.mtime_ns}"
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.ensure_future(self._read(blob, file))
            reading.add_done_callback(partial(self._forget, key))
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(reading)
        except TimeoutError:
            raise Unavailable(
                10, "The blob is being verified before a part of it can be sent; ask again in a moment."
            ) from None

    async def flush(self) -> None:
        """Write down what was verified; it is tried again later when the database cannot."""
        while self._waiting and not self.quarantine.read_only():
            some = dict(islice(self._waiting.items(), _ROWS))
            try:
                await self._metadata.write(partial(verification.mark, verified=list(some.values())), name="verified")
            except DatabaseError as error:
                _log.warning("the verification of %d blobs is not written yet: %s", len(self._waiting), error)
                return
            for blob_id, verified in some.items():
                if self._waiting.get(blob_id) is verified:
                    del self._waiting[blob_id]

    async def run(self) -> None:
        """Write down what is verified, again and again, and a last time when cancelled."""
        try:
            while True:
                await asyncio.sleep(_SECONDS)
                await self.flush()
        finally:
            for reading in list(self._reading.values()):
                reading.cancel()
            await self.flush()

    async def _read(self, blob: BlobRecord, file: StoredBlob) -> None:
        async with self._room:
            async for _ in self.stream(blob, file):
                pass

    def _forget(self, key: str, reading: asyncio.Task[None]) -> None:
        del self._reading[key]
        if not reading.cancelled():
            reading.exception()  # seen, also when everybody who waited has gone

    def _note(self, blob: BlobRecord, file: StoredBlob) -> None:
        self._on_verified()
        now = clock.now()
        known = self._known
        known[str(blob.digest)] = _File(file.inode, file.mtime_ns, now, file.etag)
        if len(known) > _REMEMBERED:
            known.popitem(last=False)
        if len(self._waiting) < _REMEMBERED:
            self._waiting[blob.id] = Verified(blob.id, blob.verified_at, file.inode, file.mtime_ns, now, file.etag)


def lost(blob: BlobRecord) -> BlobUnknown:
    """Say that the bytes of a blob are not there to be sent, and what helps."""
    return BlobUnknown(
        "The registry has lost the bytes of this blob; push it again.", detail={"digest": str(blob.digest)}
    )


def _start(hasher: Hasher, piece: bytes) -> asyncio.Future[None] | None:
    """Begin to take in a piece; None when it is done already."""
    if len(piece) <= _INLINE:
        hasher.update(piece)
        return None
    return asyncio.get_running_loop().run_in_executor(None, hasher.update, piece)
