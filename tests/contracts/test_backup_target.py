"""What a place for backups is: every adapter of `backup/ports.py::BackupTarget` passes all of this.

`target` and `other` are two processes on the same place. A new adapter joins in `targets`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.adapters.backups import bucket
from entrepot.adapters.backups.bucket import BucketTarget
from entrepot.adapters.backups.folder import FolderTarget
from entrepot.adapters.backups.memory import MemoryTarget
from entrepot.backup.errors import PieceMissing, TargetBusy
from entrepot.backup.ports import BackupTarget
from tests.support.object_stores import cloud_opener

LARGE = os.urandom(11 * 1024 * 1024 + 5)


@pytest.fixture(params=["folder", "memory", "s3", "azure"])
async def targets(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[BackupTarget, BackupTarget]]:
    """Give two views of one empty place."""
    if request.param == "memory":
        memory = MemoryTarget()
        yield memory, memory
    elif request.param == "folder":
        yield FolderTarget(tmp_path / "backups", create=True), FolderTarget(tmp_path / "backups")
    else:
        monkeypatch.setattr(bucket, "_ELECTION", 0.1)
        opening = cloud_opener(request.param, request)
        clouds = [await opening() for _ in range(2)]
        yield BucketTarget(clouds[0], request.param), BucketTarget(clouds[1], request.param)
        for cloud in clouds:
            await cloud.close()


@pytest.fixture
def target(targets: tuple[BackupTarget, BackupTarget]) -> BackupTarget:
    """Give one of them."""
    return targets[0]


@pytest.fixture
def other(targets: tuple[BackupTarget, BackupTarget]) -> BackupTarget:
    """Give the other."""
    return targets[1]


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    """Give bytes as a stream."""
    for piece in content:
        yield piece


async def content_of(target: BackupTarget, name: str) -> bytes:
    """Read a whole piece."""
    return b"".join([piece async for piece in target.get(name)])


async def names_of(target: BackupTarget, prefix: str = "") -> list[str]:
    """List names."""
    return sorted([name async for name in target.names(prefix)])


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
async def test_what_was_put_is_there(target: BackupTarget, other: BackupTarget, content: bytes) -> None:
    """For everybody, byte for byte, in its length."""
    cut = [content[start : start + 100_000] for start in range(0, len(content), 100_000)]
    assert await target.put("blobs/sha256/ab/abcd", pieces(*cut)) == len(content)
    await target.settle()
    assert await content_of(other, "blobs/sha256/ab/abcd") == content
    assert await other.size("blobs/sha256/ab/abcd") == len(content)


async def test_what_was_not_put_is_not_there(target: BackupTarget) -> None:
    """A name without a piece, also one that is the beginning of another's."""
    await target.put("backups/1/info", pieces(b"x"))
    for name in ("backups/1/other", "backups/2/info", "nothing"):
        assert await target.size(name) is None
        with pytest.raises(PieceMissing, match=name):
            await content_of(target, name)


async def test_a_piece_is_replaced_in_one_step(target: BackupTarget, other: BackupTarget) -> None:
    """Whoever began to read the old one reads it to its end."""
    await target.put("a/b", pieces(LARGE))
    reading = other.get("a/b")
    first = await anext(reading)
    await target.put("a/b", pieces(b"new"))
    assert first + b"".join([piece async for piece in reading]) == LARGE
    assert await content_of(other, "a/b") == b"new"


async def test_a_stream_that_fails_leaves_what_was_there(target: BackupTarget) -> None:
    """Its error is raised again, and nothing half is seen."""

    async def failing() -> AsyncIterator[bytes]:
        yield LARGE
        raise RuntimeError("the source failed")

    await target.put("a/b", pieces(b"old"))
    for name in ("a/b", "a/c"):
        with pytest.raises(RuntimeError, match="the source failed"):
            await target.put(name, failing())
    assert await content_of(target, "a/b") == b"old"
    assert await names_of(target) == ["a/b"]


async def test_names_by_their_beginning(target: BackupTarget) -> None:
    """All of them, or those below a prefix."""
    for name in ("form", "blobs/aa/1", "blobs/aa/2", "blobs/bb/3", "backups/x/info"):
        await target.put(name, pieces(b"x"))
    assert await names_of(target) == ["backups/x/info", "blobs/aa/1", "blobs/aa/2", "blobs/bb/3", "form"]
    assert await names_of(target, "blobs/") == ["blobs/aa/1", "blobs/aa/2", "blobs/bb/3"]
    assert await names_of(target, "nothing/") == []


async def test_delete(target: BackupTarget, other: BackupTarget) -> None:
    """Gone for everybody; a second time does nothing; the same name may be put again."""
    await target.put("blobs/aa/1", pieces(b"x"))
    await target.delete("blobs/aa/1")
    await target.delete("blobs/aa/1")
    assert await other.size("blobs/aa/1") is None
    assert await names_of(other) == []
    await target.put("blobs/aa/1", pieces(b"y"))
    assert await content_of(other, "blobs/aa/1") == b"y"


async def test_one_at_a_time_changes_it(target: BackupTarget, other: BackupTarget) -> None:
    """A second one is told so at once, and may when the first is done."""
    async with target.alone():
        with pytest.raises(TargetBusy):
            async with other.alone():
                pass
    async with other.alone():
        pass


async def test_a_folder_keeps_its_pieces_to_itself(tmp_path: Path) -> None:
    """Nobody else may read hashes of passwords; what a killed process left unfinished is removed by the next."""
    target = FolderTarget(tmp_path / "backups", create=True)
    await target.put("blobs/aa/1", pieces(b"x"))
    assert (tmp_path / "backups").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "backups/blobs/aa/1").stat().st_mode & 0o777 == 0o600
    draft = tmp_path / "backups/.drafts/left"
    draft.write_bytes(b"half")
    async with target.alone():
        assert not draft.exists()
    assert await names_of(target) == ["blobs/aa/1"]
