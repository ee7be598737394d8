"""What another registry wrote is told from what we did ourselves; what goes while it is looked at is no error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.seed import write_registry2_tree
from entrepot.adoption import foreign
from entrepot.adoption.delta import Delta
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.report import ReportFile
from entrepot.adoption.tree import Shard, Tree, scan, shard_of
from entrepot.metadata import settings
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.opening import open_embedded
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.registry import layout
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import NAME
from tests.support.manifests import image


@pytest.fixture(autouse=True)
def _no_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pushes while these tests look."""
    monkeypatch.setattr(foreign, "_PUSH_SECONDS", 0)


@dataclass
class CountingTree(Tree):
    """Counts the shards whose names are listed."""

    where: Path
    listed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.where)

    def in_shard(self, shard: Shard) -> set[str]:
        """List the digests in a shard."""
        self.listed.append(shard.first)
        return super().in_shard(shard)


def _looking(folder: Folder) -> ForeignWrites:
    return ForeignWrites(folder.stores.metadata, Tree(folder.root))


async def _execute(folder: Folder, *statements: str) -> None:
    async def work(tx: Transaction) -> None:
        for statement in statements:
            await tx.execute(RawQuery(statement, "test.execute"))

    await folder.stores.metadata.write(work, name="test")


async def _remove(folder: Folder, names: Sequence[str]) -> None:
    """Let repositories and the bytes of their manifests go for good, their files still to follow."""
    await _execute(folder, "DELETE FROM tags", "DELETE FROM manifests", "DELETE FROM manifest_contents")

    async def work(tx: Transaction) -> None:
        for name in names:
            await outbox.add(tx, outbox.REPOSITORY_CHANGED, repository=name)

    await folder.stores.metadata.write(work, name="test")


async def _adopted(folder: Folder, *, repositories: int, tags: int) -> list[str]:
    write_registry2_tree(folder.root, repositories=repositories, tags=tags)
    await folder.lose_metadata()
    await folder.run().run()
    return [f"team{number}/app{number}" for number in range(repositories)]


async def test_an_adoption_remembers_what_it_saw(folder: Folder) -> None:
    """Nobody has to read everything again at the first look, and what is pushed by another one later is noticed."""
    await _adopted(folder, repositories=1, tags=3)
    tree = CountingTree(folder.root)
    looking = ForeignWrites(folder.stores.metadata, tree)
    found = await looking.look()
    assert (found.unknown, found.seen.lost, tree.listed) == (0, 0, [])
    new = image(b"{}", annotations={"made": "elsewhere"})
    TreeFiles(folder.root).put_manifest(RepositoryName.parse("team0/app0"), Digest.of(new), new)
    assert (await looking.look()).unknown == 1
    assert await looking.waiting()


@pytest.mark.parametrize("remembered", [True, False])
async def test_our_own_deletions_are_never_foreign(folder: Folder, *, remembered: bool) -> None:
    """Also where they are many, and in a folder of a version that did not remember what it had seen."""
    names = await _adopted(folder, repositories=2, tags=300)
    await _remove(folder, names)
    if not remembered:
        await _execute(folder, "DELETE FROM settings WHERE key = 'folder-seen'")
    found = await _looking(folder).look()
    assert (found.unknown, found.seen.lost, await _looking(folder).waiting()) == (0, 0, False)
    assert await settings.find(folder.stores.metadata, "folder-seen") is not None


async def test_a_push_into_a_repository_that_we_removed_is_foreign_and_stays(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its links are younger than the removal: they are not taken away with the old ones, and are taken in."""
    (name,) = await _adopted(folder, repositories=1, tags=2)
    await _remove(folder, [name])
    monkeypatch.setattr(outbox, "_LATE", -(10**6))
    new = image(b"{}", annotations={"made": "elsewhere"})
    files, repository = TreeFiles(folder.root), RepositoryName.parse(name)
    files.put_manifest(repository, Digest.of(new), new)
    files.put_tag(repository, Tag.parse("new"), Digest.of(new))
    for link in (folder.root / layout.REPOSITORIES).rglob("link"):
        if Digest.of(new).encoded not in str(link) and "/new/" not in str(link):
            os.utime(link, (1, 1))
    assert (await _looking(folder).look()).unknown == 1
    await Projector(folder.stores.metadata, files).run()
    tags = folder.root / layout.tags(repository)
    assert [path.name for path in tags.iterdir()] == ["new"]


async def test_the_remedy_works_where_deletions_wait(folder: Folder) -> None:
    """`adopt --delta` writes itself what nobody else is there to write, and collection goes on."""
    names = await _adopted(folder, repositories=2, tags=2)
    await _remove(folder, names)
    await _execute(folder, "INSERT INTO settings(key, value) VALUES ('folder-has-foreign-writes', 'yes')")
    catch_up = Projector(folder.stores.metadata, TreeFiles(folder.root)).run
    await Delta(folder.intake, ReportFile(folder.root), catch_up=catch_up).run()
    await _looking(folder).settle()
    assert not await _looking(folder).waiting()
    assert await outbox.backlog(folder.stores.metadata) == (0, None)


async def test_a_shard_that_we_changed_last_is_not_read(folder: Folder) -> None:
    """After a kill only what we cannot explain is read; what a server put there since it began explains nothing."""
    looking = ForeignWrites(folder.stores.metadata, tree := CountingTree(folder.root))
    await looking.remember()
    await folder.pusher.image("v1", b"layer one", b"layer two")
    await folder.project()
    found = await looking.look()
    assert (found.unknown, found.seen.lost, tree.listed) == (0, 0, [])
    await _execute(folder, "DELETE FROM settings WHERE key = 'folder-seen'")
    await ForeignWrites(folder.stores.metadata, tree, began_ns=1).look()
    assert len(tree.listed) == len(set(tree.listed)) == 4


async def test_what_a_crash_left_is_queued_for_the_collector(folder: Folder) -> None:
    """A file that no row and no link speaks of is nobody's."""
    await _looking(folder).remember()
    digest = Digest.of(b"orphan")
    data = folder.root / layout.blob_data(digest)
    data.parent.mkdir(parents=True)
    data.write_bytes(b"orphan")
    assert (await _looking(folder).look()).unknown == 0
    rows = await folder.stores.metadata.all(RawQuery("SELECT kind, digest FROM review_queue", "test.queue"))
    assert [tuple(row) for row in rows] == [("file", str(digest))]


async def test_folders_that_go_while_they_are_listed_are_no_error(folder: Folder) -> None:
    """A collection that runs beside removes the folders of blobs."""
    await folder.pusher.image("v1", b"layer")
    entries = list(scan(str(folder.root / layout.BLOBS / "sha256")))
    shutil.rmtree(folder.root / layout.BLOBS)
    assert [shard_of("sha256", entry) for entry in entries] == [None] * len(entries)
    assert Tree(folder.root).shards() == []
    assert Tree(folder.root).placed_at(Digest.of(b"layer")) == 0


async def test_a_removed_log_is_no_other_registry(folder: Folder) -> None:
    """What the metadata have lost with it is taken in by the same command, and the reason names what happened."""
    await folder.pusher.image("v1", b"layer")
    await folder.project()
    await _execute(folder, "DELETE FROM tags", "DELETE FROM manifests", "DELETE FROM manifest_contents")
    await folder.stores.close()
    (folder.root / "entrepot" / "metadata.db-shm").touch()
    folder.stores = await open_embedded(folder.root / "entrepot")
    looking = _looking(folder)
    assert (await looking.look()).unknown == 1
    assert "metadata.db-wal was removed" in await looking.remedy()
    await Delta(folder.intake, ReportFile(folder.root)).run()
    await looking.settle()
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["v1"]
    assert "another registry" in await looking.remedy()
