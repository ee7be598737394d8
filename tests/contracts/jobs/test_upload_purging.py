"""Abandoned uploads go, with their files; live ones stay, by whatever sign of life."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.jobs.upload_purge import UploadPurging
from entrepot.metadata import clock
from entrepot.metadata.contents import upload_sessions
from entrepot.metadata.database import Database
from entrepot.telemetry.progress import Stopped, Unwatched

HOUR = 3600.0


async def certain() -> str | None:
    """Have no doubt about the clock."""
    return None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemBlobStore]:
    """Blobs in files."""
    opened = FilesystemBlobStore(tmp_path / "blobs")
    yield opened
    opened.close()


async def _bytes() -> AsyncIterator[bytes]:
    yield b"some bytes"


class Uploads:
    """Makes uploads of any age."""

    def __init__(self, work: Database, store: FilesystemBlobStore, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.work, self.store, self.folder, self.patch = work, store, folder, patch

    async def make(self, name: str, *, row_age: float | None, file_age: float | None) -> None:
        """Make an upload whose row, and whose file, were last touched so many hours ago; None makes none."""
        if file_age is not None:
            await self.store.start_upload(name)
            await self.store.append(name, _bytes(), offset=0, algorithm="sha256")
            touched = clock.now() / 1e6 - file_age * HOUR
            os.utime(self.folder / "entrepot" / "uploads" / name, (touched, touched))
        if row_age is not None:
            then = clock.after(-row_age * HOUR)
            with self.patch.context() as patch:
                patch.setattr(clock, "now", lambda: then)
                await self.work.write(
                    lambda tx: upload_sessions.add(
                        tx, name, repository="a/b", principal="p", counted_for="p", algorithm="sha256"
                    )
                )

    async def left(self) -> tuple[set[str], set[str]]:
        """Give the names that have rows, and those that have files."""
        names = ["stale", "live", "slow", "orphan", "young", "ghost"]
        return await upload_sessions.known(self.work, names), {name for name, _ in await self.store.uploads()}


@pytest.fixture
async def uploads(
    tables: Database, store: FilesystemBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Uploads:
    """One upload of each kind, seen from an age of 24 hours."""
    made = Uploads(tables, store, tmp_path / "blobs", monkeypatch)
    await made.make("stale", row_age=30, file_age=30)
    await made.make("live", row_age=1, file_age=1)
    await made.make("slow", row_age=30, file_age=0.1)
    await made.make("orphan", row_age=None, file_age=30)
    await made.make("young", row_age=None, file_age=0.1)
    await made.make("ghost", row_age=30, file_age=None)
    return made


def purging(uploads: Uploads, *, read_only: bool = False) -> UploadPurging:
    """Give the job, with an age of 24 hours."""
    return UploadPurging(
        metadata=uploads.work,
        work=uploads.work,
        store=uploads.store,
        read_only=lambda: read_only,
        age=24 * HOUR,
        doubt=certain,
    )


async def test_what_nobody_touched_goes(uploads: Uploads) -> None:
    """Old uploads, files without rows and rows without files go; one that is being sent for a day stays."""
    await purging(uploads).purge(Unwatched())
    assert await uploads.left() == ({"live", "slow"}, {"live", "slow", "young"})


async def test_a_dry_run_changes_nothing(uploads: Uploads, caplog: pytest.LogCaptureFixture) -> None:
    """Dryrun says what it would remove."""
    before = await uploads.left()
    with caplog.at_level("INFO"):
        await purging(uploads).purge(Unwatched(), dry_run=True)
    assert await uploads.left() == before
    assert any(set(getattr(record, "uploads", ())) == {"stale", "orphan", "ghost"} for record in caplog.records)


async def test_nothing_is_purged_while_the_registry_is_read_only(uploads: Uploads) -> None:
    """Read-only means that the folder is not changed."""
    before = await uploads.left()
    await purging(uploads, read_only=True).purge(Unwatched())
    assert await uploads.left() == before


async def test_stopping_ends_it_between_batches(uploads: Uploads) -> None:
    """A run that is told to stop removes no more."""

    class Stopping(Unwatched):
        async def step(self, done: int, total: int | None = None) -> None:
            raise Stopped

    before = await uploads.left()
    with pytest.raises(Stopped):
        await purging(uploads).purge(Stopping())
    assert await uploads.left() == before


async def test_thousands_of_abandoned_uploads_go_in_one_run(
    tables: Database, store: FilesystemBlobStore, tmp_path: Path
) -> None:
    """2,000 files and rows are removed by one run."""
    folder = tmp_path / "blobs" / "entrepot" / "uploads"
    for number in range(2000):
        (folder / f"old-{number}").write_bytes(b"x")
        os.utime(folder / f"old-{number}", (1, 1))
    job = UploadPurging(
        metadata=tables, work=tables, store=store, read_only=lambda: False, age=24 * HOUR, doubt=certain
    )
    assert await job.purge(Unwatched()) == 2000
    assert await store.uploads() == []
