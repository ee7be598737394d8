"""A registry in a folder, a place for its backups, and folders to restore into."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.adapters.backups.memory import MemoryTarget
from entrepot.adapters.blobs.bulk import BulkBlobs
from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.backup.catalogue import LATEST, BackupInfo, Catalogue
from entrepot.backup.create import BackedUp, Creation, Snapshot
from entrepot.backup.own_keys import pack_keys
from entrepot.backup.restore import Restoration, Restored
from entrepot.backup.sealed_pieces import Pieces, open_pieces
from entrepot.backup.verify import Verification, Verified
from entrepot.integrity.doctor import Doctor
from entrepot.integrity.examination import Examination
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.engine.sqlite_copy import copy_database
from entrepot.metadata.opening import METADATA_NAME, Stores, open_embedded
from entrepot.oci.digest import Digest
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.layout import blob_data
from entrepot.registry.locks import COLLECTION
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Progress, Unwatched
from entrepot.vault.master import MasterKey, MasterKeys
from tests.contracts.registry.pushing import Pusher

KEYS = MasterKeys.of([MasterKey(bytes(range(32)))])


@dataclass
class Place:
    """A registry in a folder."""

    folder: Path
    stores: Stores
    store: FilesystemBlobStore
    registry: Registry

    @property
    def pusher(self) -> Pusher:
        """Give somebody who pushes."""
        return Pusher(self.registry)

    @property
    def quarantine(self) -> Quarantine:
        """Give the place for what is damaged."""
        return Quarantine(self.stores.metadata, self.store, lambda: False)

    def collecting(self, *, patience: float) -> AbstractAsyncContextManager[None]:
        """Take the turn to remove bytes."""
        return FileLocks(self.folder / "entrepot").turn(COLLECTION, patience=patience)

    def file(self, content: bytes) -> Path:
        """Say where a blob lies."""
        return self.folder / blob_data(Digest.of(content))

    def backed_up(self) -> BackedUp:
        """Give it as a backup sees it."""
        return BackedUp(
            metadata=self.stores.metadata,
            store=self.store,
            quarantine=self.quarantine,
            snapshot=self._snapshot,
            turn=functools.partial(self.collecting, patience=5.0),
            keys=functools.partial(asyncio.to_thread, pack_keys, self.folder / "entrepot"),
            version="test",
            require_ready=_ready,
        )

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Snapshot]:
        path = self.folder / "snapshot.db"
        await asyncio.to_thread(copy_database, self.folder / "entrepot" / METADATA_NAME, path)
        database = SqliteDatabase(path)
        yield Snapshot(database, path)
        await database.close()
        path.unlink()

    async def problems(self) -> list[tuple[str, str]]:
        """Make a check-up."""
        work = Examination(
            metadata=self.stores.metadata, store=self.store, quarantine=self.quarantine, progress=Unwatched()
        )
        return [(problem.what, problem.subject) for problem in (await Doctor(work).run()).problems]


async def _ready() -> None:
    """Have nothing against a backup."""


@asynccontextmanager
async def open_place(folder: Path, **settings: object) -> AsyncIterator[Place]:
    """Run a registry in a folder."""
    stores = await open_embedded(folder / "entrepot")
    store = FilesystemBlobStore(folder)
    registry = build_registry(
        metadata=stores.metadata,
        work=stores.work,
        store=store,
        settings=RegistrySettings(**settings),  # type: ignore[arg-type] - the tests name real fields
    )
    try:
        yield Place(folder, stores, store, registry)
    finally:
        store.close()
        await stores.close()


@dataclass
class Backups:
    """A place for backups."""

    target: MemoryTarget
    keys: MasterKeys | None

    async def pieces(self) -> Pieces:
        """Open it."""
        return await open_pieces(self.target, self.keys, create=True)

    async def create(self, place: Place, progress: Progress | None = None) -> BackupInfo:
        """Make a backup."""
        return await Creation(place.backed_up(), await self.pieces(), progress or Unwatched()).run()

    async def verify(self, backup_id: str = LATEST, *, quick: bool = False) -> Verified:
        """Read a backup again."""
        pieces = await self.pieces()
        info = await Catalogue(pieces).get(backup_id)
        return await Verification(pieces, info, Unwatched(), quick=quick).run()

    async def restore(
        self, folder: Path, backup_id: str = LATEST, progress: Progress | None = None, *, incomplete: bool = False
    ) -> Restored:
        """Bring a backup back."""
        pieces = await self.pieces()
        info = await Catalogue(pieces).get(backup_id)
        sink = BulkBlobs(folder)
        try:
            restoration = Restoration(
                pieces, info, folder / "entrepot", sink, progress or Unwatched(), incomplete=incomplete
            )
            return await restoration.run()
        finally:
            sink.close()

    def blob(self, content: bytes) -> str:
        """Name the piece of a blob."""
        return Pieces(self.target, None if self.keys is None else self.keys.current.secret).blob(Digest.of(content))

    def flip(self, name: str) -> None:
        """Change a bit of a piece, one that matters: packed zeros may mean the same zeros after it."""
        content = self.target.pieces[name]
        for place in range(len(content) // 2, len(content)):
            flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            if _unpacked(flipped) != _unpacked(content):
                self.target.pieces[name] = flipped
                return
        raise AssertionError("no bit matters")


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


@pytest.fixture(params=["plain", "sealed"])
def backups(request: pytest.FixtureRequest) -> Backups:
    """Give an empty place for backups, encrypted or not."""
    return Backups(MemoryTarget(), KEYS if request.param == "sealed" else None)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Run a registry."""
    async with open_place(tmp_path / "registry", grace_seconds=0.0) as running:
        yield running
