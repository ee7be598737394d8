"""Entries that waited while another registry had the folder undo nothing that it wrote after them."""

from __future__ import annotations

import errno
import os
import time

import pytest

from entrepot.adoption import foreign
from entrepot.adoption.delta import Delta
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.report import ReportFile
from entrepot.adoption.tree import Tree
from entrepot.metadata import settings
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection import projector as projection
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Forerunner, Projector
from entrepot.registry import layout
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME
from tests.support.manifests import image

V1 = Tag.parse("v1")
_AGE = 600


async def _age(folder: Folder) -> None:
    """Let everything that was pushed and deleted so far be some minutes old, links and entries."""
    then = time.time() - _AGE
    for link in (folder.root / layout.REPOSITORIES).rglob("link"):
        os.utime(link, (then, then))

    async def work(tx: Transaction) -> None:
        await tx.execute(RawQuery(f"UPDATE outbox SET created_at = created_at - {_AGE * 10**6}", "test.age"))

    await folder.stores.metadata.write(work, name="test")


def _pushes(folder: Folder, tag: Tag, content: bytes) -> Digest:
    """Write the links of an image as registry:2 does, those anew that are there already."""
    files, digest = TreeFiles(folder.root), Digest.of(content)
    files.put_manifest(NAME, digest, content)
    files.put_tag(NAME, tag, digest)
    for link in (folder.root / layout.repository(NAME)).rglob("link"):
        if link.read_text() == str(digest):
            os.utime(link)
    return digest


def _looking(folder: Folder) -> ForeignWrites:
    return ForeignWrites(folder.stores.metadata, Tree(folder.root))


def _named(folder: Folder, tag: Tag = V1) -> str:
    return (folder.root / layout.tag_current_link(NAME, tag)).read_text()


async def _take_in(folder: Folder) -> Digest:
    """Do what `adopt --delta` does; give what v1 names then."""
    catch_up = Projector(folder.stores.metadata, TreeFiles(folder.root)).run
    await Delta(folder.intake, ReportFile(folder.root), catch_up=catch_up).run()
    return (await folder.registry.manifests.get(NAME, V1, content=False)).digest


@pytest.mark.parametrize("served", [True, False], ids=["after a start", "without a server"])
async def test_a_tag_that_was_moved_after_our_push_stays_moved(folder: Folder, *, served: bool) -> None:
    """The projection leaves it, collection waits, and `adopt --delta` takes it in."""
    await folder.pusher.image("v1", b"layer one")
    await folder.project()
    await folder.pusher.image("v1", b"layer two")
    await _age(folder)
    theirs = _pushes(folder, V1, image(b"{}", b"layer one", annotations={"made": "elsewhere"}))
    if served:
        await folder.project()
        assert _named(folder) == str(theirs)
        assert await _looking(folder).waiting()
    assert await _take_in(folder) == theirs
    assert _named(folder) == str(theirs)


@pytest.mark.parametrize("served", [True, False], ids=["after a start", "without a server"])
async def test_what_was_pushed_again_after_our_deletion_stays(folder: Folder, *, served: bool) -> None:
    """Its tag, its revision and the links of its blobs are left, and it is served again."""
    first = await folder.pusher.image("v1", b"layer one")
    await folder.project()
    await folder.registry.manifests.delete(NAME, Digest.of(first), actor=ALICE)
    await _age(folder)
    _pushes(folder, V1, first)
    if served:
        await folder.project()
        assert _named(folder) == str(Digest.of(first))
        assert (folder.root / layout.revision_link(NAME, Digest.of(first))).exists()
        assert (folder.root / layout.layer_link(NAME, Digest.of(b"layer one"))).exists()
        assert await _looking(folder).waiting()
    assert await _take_in(folder) == Digest.of(first)


async def test_a_blob_that_was_pushed_again_after_our_deletion_stays(folder: Folder) -> None:
    """Its link is another registry's."""
    await folder.pusher.blob(b"layer")
    await folder.project()
    await folder.registry.blobs.delete(NAME, Digest.of(b"layer"), actor=ALICE)
    await _age(folder)
    link = folder.root / layout.layer_link(NAME, Digest.of(b"layer"))
    os.utime(link)
    await folder.project()
    assert link.exists()
    assert await _looking(folder).waiting()


async def test_a_restored_repository_keeps_the_tags_that_were_moved_after(folder: Folder) -> None:
    """As a whole, too, it is brought in line only with what is older."""
    await folder.pusher.image("v1", b"layer one")
    await folder.pusher.image("v2", b"layer two")
    await folder.project()

    async def work(tx: Transaction) -> None:
        await outbox.add(tx, outbox.REPOSITORY_CHANGED, repository=NAME)

    await folder.stores.metadata.write(work, name="test")
    TreeFiles(folder.root).remove_tag(NAME, Tag.parse("v2"))
    await _age(folder)
    theirs = _pushes(folder, V1, image(b"{}", b"layer one", annotations={"made": "elsewhere"}))
    await folder.project()
    assert _named(folder) == str(theirs)
    assert (folder.root / layout.tag_current_link(NAME, Tag.parse("v2"))).exists()
    assert await _looking(folder).waiting()


async def test_what_we_wrote_late_is_not_foreign(folder: Folder) -> None:
    """A younger entry is about it still: it is changed, and collection goes on."""
    await folder.pusher.image("v1", b"layer one")
    await folder.pusher.image("v1", b"layer two")
    waiting = await outbox.oldest(folder.stores.metadata, 9)
    await _age(folder)
    await Projector(folder.stores.metadata, TreeFiles(folder.root)).project(waiting)
    last = await folder.pusher.image("v1", b"layer three")
    await folder.project()
    assert _named(folder) == str(Digest.of(last))
    assert not await _looking(folder).waiting()


async def test_links_of_before_the_clock_was_set_back_are_ours(folder: Folder) -> None:
    """Their time is still to come: what is pushed now replaces them."""
    await folder.pusher.image("v1", b"layer one")
    await folder.project()
    late = time.time() + 3600
    for link in (folder.root / layout.REPOSITORIES).rglob("link"):
        os.utime(link, (late, late))
    last = await folder.pusher.image("v1", b"layer two")
    await folder.project()
    assert _named(folder) == str(Digest.of(last))
    assert not await _looking(folder).waiting()


async def test_a_full_disk_keeps_no_link_from_being_removed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are collected after: what names them goes first, however much of the entries before cannot be written."""
    gone = await folder.pusher.image("v1", b"layer one")
    await folder.project()
    await folder.pusher.image("v2", b"layer two")
    await folder.registry.manifests.delete(NAME, Digest.of(gone), actor=ALICE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TreeFiles, "_write", full)
    monkeypatch.setattr(projection, "_BYTES_AT_ONCE", 1)
    last = await outbox.last_id(folder.stores.metadata)
    await Forerunner(Projector(folder.stores.metadata, TreeFiles(folder.root))).catch_up(last)
    assert not (folder.root / layout.revision_link(NAME, Digest.of(gone))).exists()
    assert not (folder.root / layout.tag_folder(NAME, V1)).exists()


@pytest.mark.parametrize("noticed", [True, False], ids=["set back while serving", "set back while stopped"])
async def test_foreign_writes_are_noticed_after_the_clock_was_set_back(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, *, noticed: bool
) -> None:
    """What was seen while it was ahead hides nothing that is written after."""
    monkeypatch.setattr(foreign, "_PUSH_SECONDS", 0)
    await folder.pusher.image("v1", b"layer one")
    await folder.project()
    looking, ahead = _looking(folder), time.time() + 3600
    with monkeypatch.context() as clock:
        for shard in (folder.root / layout.BLOBS).glob("*/*"):
            os.utime(shard, (ahead, ahead))
        clock.setattr(time, "time_ns", lambda: int(ahead + 60) * 10**9)
        await looking.remember()
    if noticed:
        await looking.pull_back()
        assert await settings.find(folder.stores.metadata, "folder-seen") is None
    new = image(b"{}", annotations={"made": "elsewhere"})
    TreeFiles(folder.root).put_manifest(RepositoryName.parse("team/app"), Digest.of(new), new)
    assert (await looking.look()).unknown == 1


async def test_what_is_seen_is_never_later_than_now(folder: Folder) -> None:
    """Folders of blobs that were changed while the clock was ahead set no mark in the future."""
    await folder.pusher.image("v1", b"layer one")
    ahead = time.time() + 3600
    for shard in (folder.root / layout.BLOBS).glob("*/*"):
        os.utime(shard, (ahead, ahead))
    await _looking(folder).remember()
    assert int(await settings.find(folder.stores.metadata, "folder-seen") or 0) <= time.time_ns()
