"""Uploads that registry:2 left open are purged by registry:2's rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adoption import foreign
from entrepot.adoption.leftovers import Leftovers
from entrepot.adoption.tree import Tree
from entrepot.jobs.upload_purge import UploadPurging
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.registry import layout
from entrepot.telemetry.progress import Unwatched
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME

HOUR = 3600.0


async def certain() -> str | None:
    """Have no doubt about the clock."""
    return None


def _upload(folder: Folder, repository: str, upload: str, begun: str | None) -> Path:
    """Leave an upload as registry:2 does."""
    made = folder.root / layout.REPOSITORIES / repository / "_uploads" / upload
    (made / "hashstates" / "sha256").mkdir(parents=True)
    (made / "hashstates" / "sha256" / "0").write_bytes(b"sha\x03")
    (made / "data").write_bytes(b"half a blob")
    if begun is not None:
        (made / "startedat").write_text(begun)
    return made


def _ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _purging(folder: Folder) -> UploadPurging:
    return UploadPurging(
        metadata=folder.stores.metadata,
        work=folder.stores.work,
        store=FilesystemBlobStore(folder.root),
        read_only=lambda: False,
        doubt=certain,
        age=168 * HOUR,
        leftovers=Leftovers(Tree(folder.root)),
    )


async def test_old_uploads_of_registry2_go(folder: Folder) -> None:
    """By the time they were begun; young ones stay, and so do those that do not say when."""
    old = _upload(folder, "team/app", "old", _ago(169))
    only = _upload(folder, "never/pushed", "old", "2020-01-01T10:00:00+02:00")
    young = _upload(folder, "team/app", "young", _ago(167))
    silent = [_upload(folder, "team/app", "silent", None), _upload(folder, "team/app", "odd", "yesterday")]
    await _purging(folder).purge(Unwatched())
    assert [path.exists() for path in (old, only, young, *silent)] == [False, False, True, True, True]


async def test_a_dry_run_removes_nothing(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """It names what would go."""
    old = _upload(folder, "team/app", "old", _ago(169))
    with caplog.at_level("INFO"):
        await _purging(folder).purge(Unwatched(), dry_run=True)
    assert old.exists()
    (named,) = [record.uploads for record in caplog.records if hasattr(record, "uploads")]
    assert named == [str(old)]


async def test_what_a_killed_collector_left_is_no_trace_of_another_registry(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a blob are gone, and its file and its link are still to go: that is known from the outbox."""
    monkeypatch.setattr(foreign, "_PUSH_SECONDS", 0)
    looking = foreign.ForeignWrites(folder.stores.metadata, Tree(folder.root))
    await looking.remember()
    await folder.pusher.blob(b"layer")
    await folder.project()
    await folder.registry.blobs.delete(NAME, Digest.of(b"layer"), actor=ALICE)
    await _execute(folder, "DELETE FROM blobs")
    assert (await looking.look()).unknown == 0
    await _execute(folder, "DELETE FROM outbox")
    await _execute(folder, "DELETE FROM settings WHERE key = 'folder-seen'")
    assert (await looking.look()).unknown == 1


async def _execute(folder: Folder, statement: str) -> None:
    await folder.stores.metadata.write(lambda tx: tx.execute(RawQuery(statement, "test.execute")), name="test")
