"""Bringing a backup back: the metadata into a folder, and the blobs into a place of theirs.

::

    pieces there? ──► metadata beside their place ──► blobs, verified ──► all synced ──► metadata in their place

Until the last step no registry can start on the folder. A restoration that was stopped goes on where it was: what lies
there already is read and kept when it is right. So is what an old storage still has whose metadata were lost.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from entrepot.backup import layout
from entrepot.backup.blob_copies import BytesWrong, rows_of, verified
from entrepot.backup.catalogue import BackupInfo
from entrepot.backup.compression import decompress
from entrepot.backup.errors import BackupIncomplete, PieceDamaged, PieceMissing
from entrepot.backup.own_keys import unpack_keys
from entrepot.backup.ports import BlobSink
from entrepot.backup.restore_folders import UNFINISHED
from entrepot.backup.sealed_pieces import Pieces
from entrepot.backup.verify import Verification
from entrepot.metadata import clock, events, schema
from entrepot.metadata.contents import blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.engine.sqlite_connection import Durability, make_private
from entrepot.metadata.engine.synced_folder import sync
from entrepot.metadata.integrity import findings, verification
from entrepot.metadata.integrity.verification import Verified
from entrepot.metadata.opening import METADATA_NAME
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, Unavailable
from entrepot.registry.ports import StoredBlob
from entrepot.registry.quarantine import heal
from entrepot.registry.worker_pool import together
from entrepot.telemetry.progress import Progress

#: Who did it, in findings and events.
_RESTORE = "restore"
_AT_ONCE = 8
_ROWS = 500
_LARGEST_KEYS = 1024 * 1024


@dataclass(slots=True)
class Restored:
    """What a restoration did."""

    backup: str
    created_at: int  #: the moment that was brought back
    restored: int = 0  #: blobs that came from the backup
    kept: int = 0  #: blobs that were there
    bytes: int = 0
    lost: list[str] = field(default_factory=list)  #: digests of blobs that the metadata speak of and nobody has


async def _nothing(_metadata: Database) -> None:
    """Find nothing wrong."""


@dataclass(slots=True)
class Restoration:
    """Brings one backup back."""

    pieces: Pieces
    info: BackupInfo
    state: Path  #: the folder of the databases
    sink: BlobSink
    progress: Progress
    incomplete: bool = False  #: restore what is there when pieces are missing or damaged
    #: Told of the metadata before the first blob: raises where they do not belong to this place.
    check: Callable[[Database], Awaitable[None]] = _nothing
    result: Restored = field(init=False)
    _faults: list[str] = field(default_factory=list)
    _whole: list[tuple[StoredRow, StoredBlob]] = field(default_factory=list)
    _lost: list[StoredRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.result = Restored(self.info.id, self.info.created_at)

    async def run(self) -> Restored:
        """Do it.

        Raises:
            BackupIncomplete: Pieces are missing or damaged; they are named.
            Exception: What `check` raises.
            InsufficientStorage: The disk is full.
            PieceDamaged: The metadata in the backup are.
            SchemaTooNew: The backup is of a newer Entrepot.
            Stopped: Somebody asked it to end; run it again to go on.
        """
        await self._look()
        await self.progress.say("bringing back the metadata")
        unfinished = self.state / UNFINISHED
        await self._put_database(unfinished)
        database = SqliteDatabase(unfinished, Durability.NORMAL)
        try:
            await schema.upgrade(database)
            await self.check(database)
            await self._blobs(database)
            await self._conclude(database)
        finally:
            await database.close()
        await self._put_keys()
        await self.sink.settle()
        await asyncio.to_thread(_put_in_place, unfinished, self.state / METADATA_NAME)
        return self.result

    async def _look(self) -> None:
        """Refuse before anything is written what cannot be restored whole."""
        if self.incomplete:
            return
        await self.progress.say("looking for the pieces")
        found = await Verification(self.pieces, self.info, self.progress, quick=True).run()
        if found.faults:
            raise BackupIncomplete([fault.problem for fault in found.faults])

    async def _put_database(self, path: Path) -> None:
        name, hasher = layout.part(self.info.id, layout.DATABASE), hashlib.sha256()
        for leftover in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            leftover.unlink(missing_ok=True)
        make_private(path)
        async with aclosing(self.pieces.get(name)) as packed, aclosing(decompress(name, packed)) as content:
            with path.open("wb") as file:
                async for piece in content:
                    hasher.update(piece)
                    await asyncio.to_thread(file.write, piece)
        if hasher.hexdigest() != self.info.database_sha256:
            raise PieceDamaged(name, "it has another digest")

    async def _blobs(self, database: Database) -> None:
        await self.progress.say("bringing back blobs")
        async with aclosing(self._rows(database)) as rows:
            await together(rows, self._blob, at_once=_AT_ONCE)
        await self._note(database)
        if self._faults and not self.incomplete:
            raise BackupIncomplete(self._faults)

    async def _rows(self, database: Database) -> AsyncGenerator[StoredRow, None]:
        async with aclosing(rows_of(database)) as rows:
            async for row in rows:
                yield row
                if len(self._whole) >= _ROWS:
                    await self._note(database)

    async def _blob(self, row: StoredRow) -> None:
        file = await self._find(row)
        if file is not None:
            self.result.kept += 1
        else:
            file = await self._bring(row)
        if file is None:
            self._lost.append(row)
        else:
            self._whole.append((row, file))
        self.result.bytes += row.size
        await self.progress.step(self.result.bytes, max(self.info.bytes, self.result.bytes))

    def _key(self, row: StoredRow) -> str:
        return self.sink.key(row.storage_key, Digest.parse(row.digest))

    async def _find(self, row: StoredRow) -> StoredBlob | None:
        """Return the blob's file if it is there and right."""
        key = self._key(row)
        file = await self.sink.find(key)
        if file is None or file.size != row.size:
            return None
        with suppress(BlobUnknown, BytesWrong, Unavailable):
            async with aclosing(verified(self.sink.read(key), Digest.parse(row.digest))) as content:
                async for _ in content:
                    pass
            return file
        return None

    async def _bring(self, row: StoredRow) -> StoredBlob | None:
        """Bring a blob from the backup; None when it does not have it whole."""
        digest = Digest.parse(row.digest)
        name = self.pieces.blob(digest)
        try:
            async with aclosing(verified(self.pieces.get(name), digest)) as content:
                file = await self.sink.put(self._key(row), content)
        except BytesWrong:
            await self._fault(row, f"{name} is damaged: it has another digest")
        except (PieceDamaged, PieceMissing) as error:
            if row.digest not in self.info.lost:
                await self._fault(row, error.message)
        else:
            self.result.restored += 1
            return file
        return None

    async def _fault(self, row: StoredRow, problem: str) -> None:
        self._faults.append(f"{problem} (blob {row.digest})")
        await self.progress.say(f"blob {row.digest}: {problem}")

    async def _note(self, database: Database) -> None:
        """Let the rows know the files that were written."""
        whole, self._whole = self._whole, []
        if whole:
            await database.write(partial(_mark, whole), name="restored")

    async def _conclude(self, database: Database) -> None:
        """Let the rows know which blobs nobody has, and write down what was done."""
        self.result.lost = sorted(row.digest for row in self._lost)
        for start in range(0, len(self._lost), _ROWS):
            some = self._lost[start : start + _ROWS]
            keys = {row.id: self._key(row) for row in some}
            await database.write(partial(_lose, some, keys), name="not restored")
        await database.write(partial(_tell, self.result), name="restored")

    async def _put_keys(self) -> None:
        """Bring back the registry's own keys, where the backup has them and the folder has none."""
        if self.info.keys_sha256 is None:
            return
        name = layout.part(self.info.id, layout.KEYS)
        content = await self.pieces.read(name, _LARGEST_KEYS)
        if hashlib.sha256(content).hexdigest() != self.info.keys_sha256:
            raise PieceDamaged(name, "it has another digest")
        await asyncio.to_thread(unpack_keys, content, self.state)


async def _mark(found: list[tuple[StoredRow, StoredBlob]], tx: Transaction) -> None:
    """Let rows know their files; what was lost when the backup was made and is there comes back into sight."""
    now = clock.now()
    marks = [Verified(row.id, row.verified_at, file.inode, file.mtime_ns, now, file.etag) for row, file in found]
    await blobs.rename(tx, {row.id: file.key for row, file in found if file.key != row.storage_key})
    await verification.mark(tx, marks)
    for row, _ in found:
        if row.state in blobs.LOST and await blobs.set_state(tx, row, blobs.LIVE):
            await heal(tx, row.id, row.digest, by=_RESTORE)


async def _lose(rows: list[StoredRow], keys: Mapping[int, str], tx: Transaction) -> None:
    await blobs.rename(tx, keys)
    for row in rows:
        if row.state not in blobs.LOST:
            await blobs.set_state(tx, row, blobs.MISSING)
            await findings.open_(tx, findings.BLOB_MISSING, row.digest, detail="the backup lacks it", by=_RESTORE)


async def _tell(result: Restored, tx: Transaction) -> None:
    await events.add(
        tx,
        events.RESTORE,
        by=events.Source(name="operator", credential="command line"),
        subject=f"backup:{result.backup}",
        detail={"restored": result.restored, "kept": result.kept, "lost": len(result.lost)},
    )


def _put_in_place(unfinished: Path, path: Path) -> None:
    for ending in ("-wal", "-shm"):  # of a database that was lost: its log would be taken for this one's
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)
    for leftover in path.parent.glob(f"{unfinished.name}*"):
        leftover.unlink(missing_ok=True)
