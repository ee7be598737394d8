"""Making a backup beside a running registry.

::

    copy what is there now ──► turn ──► snapshot of the metadata ──► copy what came since ──► turn given back
                                        list of blobs, database, keys ──► settled ──► info, which completes it

The first copy may take hours, during which pushes, pulls and collections go on. From the snapshot on the backup holds
the turn to take bytes away, so that no collection removes a blob that the snapshot needs; by then little is left to be
copied. A process that dies gives the turn back, and leaves pieces that the next backup uses.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from entrepot.backup import layout
from entrepot.backup.blob_copies import BytesWrong, Copier, Trusted, compared, rows_of
from entrepot.backup.catalogue import BackupInfo, Catalogue, ListedBlob
from entrepot.backup.compression import compress
from entrepot.backup.errors import PieceDamaged, PieceMissing
from entrepot.backup.sealed_pieces import Pieces, once
from entrepot.metadata import clock, schema
from entrepot.metadata.contents import blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database
from entrepot.metadata.integrity import verification
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, Unavailable
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.worker_pool import together
from entrepot.telemetry.progress import Progress

#: Who finds damage, in findings and events.
_BACKUP = "backup"
_AT_ONCE = 8
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the metadata of one moment: a database of one file."""

    database: Database
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """The registry that is backed up."""

    metadata: Database
    store: BlobStore
    quarantine: Quarantine
    #: Gives a copy of the metadata for as long as it is needed.
    snapshot: Callable[[], AbstractAsyncContextManager[Snapshot]]
    #: Gives the turn to take bytes away: of all processes on the store, one at a time.
    turn: Callable[[], AbstractAsyncContextManager[None]]
    #: Gives the registry's own keys, packed; None when there are none.
    keys: Callable[[], Awaitable[bytes | None]]
    version: str
    #: Raises a BackupError while a backup would lack something that nobody knows of yet.
    require_ready: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Creation:
    """One backup on its way."""

    registry: BackedUp
    pieces: Pieces
    progress: Progress
    _copier: Copier = field(init=False)
    _skipped: set[str] = field(default_factory=set)
    _lost: dict[str, str] = field(default_factory=dict)
    _done: int = 0
    _total: int = 0

    def __post_init__(self) -> None:
        self._copier = Copier(self.registry.store, self.pieces)

    async def run(self) -> BackupInfo:
        """Make it.

        Raises:
            InsufficientStorage: There is no room in the target, or for the copy of the metadata.
            Stopped: Somebody asked it to end; what was copied is used by the next.
            TargetBusy: Somebody else is changing the target.
            TimeoutError: A collection keeps the turn and does not give it back.
        """
        await self.registry.require_ready()
        async with self.pieces.target.alone():
            covered = await self._copy_most()
            async with AsyncExitStack() as stack:
                async with self.registry.turn():
                    created_at = clock.now()
                    snapshot = await stack.enter_async_context(self.registry.snapshot())
                    await self._complete(snapshot, covered)
                return await self._write(snapshot, created_at)
            raise AssertionError  # the stack swallows nothing

    async def _copy_most(self) -> int:
        """Copy what is there now; return the row id up to which every blob was looked at."""
        covered = await blobs.last_id(self.registry.metadata)
        _, self._total = await verification.totals(self.registry.metadata)
        await self.progress.say("copying blobs")
        async with (
            aclosing(self._known()) as known,
            aclosing(rows_of(self.registry.metadata)) as rows,
            aclosing(compared(rows, known)) as wanted,
        ):
            await together(wanted, self._first, at_once=_AT_ONCE)
        return covered

    async def _known(self) -> AsyncGenerator[ListedBlob, None]:
        """Give the blobs of the newest backup, whose pieces were whole when it was made."""
        catalogue = Catalogue(self.pieces)
        ids = await catalogue.ids()
        if not ids:
            return
        try:
            async with aclosing(catalogue.blobs(await catalogue.get(ids[-1]))) as listed:
                async for blob in listed:
                    yield blob
        except (PieceDamaged, PieceMissing) as error:
            await self.progress.say(f"{error.message}; the pieces are looked at one by one")

    async def _first(self, wanted: Trusted) -> None:
        """Copy a blob of the first round; what cannot be copied is looked at again in the second."""
        self._skipped.add(wanted.row.digest)
        if wanted.row.state not in blobs.LOST:
            with suppress(BlobUnknown, BytesWrong, Unavailable):
                await self._copier.bring(wanted)
                self._skipped.discard(wanted.row.digest)
        await self._step(wanted.row.size)

    async def _complete(self, snapshot: Snapshot, covered: int) -> None:
        """Copy what the snapshot needs and the first round did not bring."""
        await self.progress.say("copying what came since")
        self._done, (_, self._total) = 0, await verification.totals(snapshot.database)
        async with aclosing(rows_of(snapshot.database)) as rows, aclosing(self._covered(rows, covered)) as wanted:
            await together(wanted, self._second, at_once=_AT_ONCE)

    async def _covered(self, rows: AsyncIterator[StoredRow], last_id: int) -> AsyncGenerator[Trusted, None]:
        """Trust the pieces of those blobs that the first round has brought or found whole."""
        async for row in rows:
            yield Trusted(row, row.id <= last_id and row.digest not in self._skipped)

    async def _second(self, wanted: Trusted) -> None:
        row = wanted.row
        if row.state in blobs.LOST:
            self._lost[row.digest] = row.state
        else:
            await self._bring_or_note(wanted)
        await self._step(row.size)

    async def _bring_or_note(self, wanted: Trusted) -> None:
        """A backup with what is there is worth more than none: what is not is named in it."""
        digest = Digest.parse(wanted.row.digest)
        file = None
        try:
            file = await self.registry.store.stat(wanted.row.storage_key)
            await self._copier.bring(wanted)
        except BlobUnknown:
            await self._note(digest, "missing")
            await self.registry.quarantine.missing(digest, "there is no file", by=_BACKUP)
        except BytesWrong:
            await self._note(digest, "damaged")
            assert file is not None
            await self.registry.quarantine.damaged(digest, file, "the bytes have another digest", by=_BACKUP)
        except Unavailable as error:
            await self._note(digest, error.message)

    async def _note(self, digest: Digest, reason: str) -> None:
        self._lost[str(digest)] = reason
        await self.progress.say(f"blob {digest} is not in the backup: {reason}")

    async def _step(self, size: int) -> None:
        self._done += size
        await self.progress.step(self._done, max(self._total, self._done))

    async def _write(self, snapshot: Snapshot, created_at: int) -> BackupInfo:
        moment = datetime.fromtimestamp(created_at / clock.MICROSECONDS, UTC)
        backup_id = f"{moment:%Y%m%dt%H%M%S-%f}"
        catalogue = Catalogue(self.pieces)
        await self.progress.say("writing the metadata")
        counted = _Counted(rows_of(snapshot.database), self._lost)
        blobs_sha256 = await catalogue.put_blobs(backup_id, counted.listed())
        database_sha256, database_bytes = await self._put_database(backup_id, snapshot.path)
        keys_sha256 = await self._put_keys(backup_id)
        await self.pieces.target.settle()
        found = await schema.find(snapshot.database)
        assert found is not None, "it has been open"
        info = BackupInfo(
            id=backup_id,
            created_at=created_at,
            finished_at=clock.now(),
            version=self.registry.version,
            schema=found.version,
            blobs=counted.blobs,
            bytes=counted.bytes,
            new_blobs=self._copier.copied.blobs,
            new_bytes=self._copier.copied.bytes,
            database_sha256=database_sha256,
            database_bytes=database_bytes,
            blobs_sha256=blobs_sha256,
            keys_sha256=keys_sha256,
            lost=tuple(sorted(self._lost)),
        )
        await catalogue.put(info)
        await self.pieces.target.settle()
        return info

    async def _put_database(self, backup_id: str, path: Path) -> tuple[str, int]:
        hasher, name = hashlib.sha256(), layout.part(backup_id, layout.DATABASE)
        async with aclosing(_read(path, hasher)) as content, aclosing(compress(content)) as packed:
            await self.pieces.put(name, packed)
        return hasher.hexdigest(), path.stat().st_size  # noqa: ASYNC240 - one short call

    async def _put_keys(self, backup_id: str) -> str | None:
        """The registry's own keys lie where nobody can read them, or nowhere."""
        keys = await self.registry.keys() if self.pieces.is_sealed else None
        if keys is None:
            return None
        await self.pieces.put(layout.part(backup_id, layout.KEYS), once(keys))
        return hashlib.sha256(keys).hexdigest()


class _Counted:
    """The list of a backup's blobs while it is written."""

    def __init__(self, rows: AsyncGenerator[StoredRow, None], lost: dict[str, str]) -> None:
        self.blobs = 0
        self.bytes = 0
        self._rows = rows
        self._lost = lost

    async def listed(self) -> AsyncGenerator[ListedBlob, None]:
        async with aclosing(self._rows):
            async for row in self._rows:
                if row.digest not in self._lost:
                    self.blobs += 1
                    self.bytes += row.size
                    yield ListedBlob(Digest.parse(row.digest), row.size)


async def _read(path: Path, hasher: hashlib._Hash) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            hasher.update(piece)
            yield piece
