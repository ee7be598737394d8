"""The projection writes what registry:2 would have written, and comparison finds every difference."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
import tracemalloc
from contextlib import suppress

import pytest

from entrepot.adoption.report import ProblemKind
from entrepot.metadata.jobs import outbox
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.comparison import DifferenceKind
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Forerunner, Projector
from entrepot.registry import layout
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import image


async def test_a_push_appears_in_registry2s_files(folder: Folder) -> None:
    """Blob links, manifest bytes, the revision, and the tag with its index."""
    body = await folder.pusher.image("v1", b"layer")
    assert await folder.project() == 3
    digest, root = Digest.of(body), folder.root
    assert (root / layout.blob_data(digest)).read_bytes() == body
    expected = str(digest)
    assert (root / layout.revision_link(NAME, digest)).read_text() == expected
    assert (root / layout.tag_current_link(NAME, Tag.parse("v1"))).read_text() == expected
    assert (root / layout.tag_index_link(NAME, Tag.parse("v1"), digest)).read_text() == expected
    layer = Digest.of(b"layer")
    assert (root / layout.layer_link(NAME, layer)).read_text() == str(layer)
    assert await outbox.backlog(folder.stores.metadata) == (0, None)


async def test_deletes_appear_too(folder: Folder) -> None:
    """An untagged manifest keeps its revision; a deleted one loses it; a deleted blob loses its link."""
    body = await folder.pusher.image("v1", b"layer")
    registry, digest, root = folder.registry, Digest.of(body), folder.root
    await registry.manifests.delete(NAME, Tag.parse("v1"), actor=ALICE)
    await folder.project()
    assert not (root / layout.tag_folder(NAME, Tag.parse("v1"))).exists()
    assert (root / layout.revision_link(NAME, digest)).exists()
    await registry.manifests.delete(NAME, digest, actor=ALICE)
    await registry.blobs.delete(NAME, Digest.of(b"layer"), actor=ALICE)
    await folder.project()
    assert not (root / layout.revision_link(NAME, digest)).exists()
    assert not (root / layout.layer_link(NAME, Digest.of(b"layer"))).exists()


async def test_projecting_an_entry_twice_is_the_same_as_once(folder: Folder) -> None:
    """A worker that died before it removed its entries does no harm."""
    await folder.pusher.image("v1", b"layer")
    await folder.pusher.image("v1", b"other layer")
    entries = await outbox.oldest(folder.stores.metadata, 100)
    projector = Projector(folder.stores.metadata, TreeFiles(folder.root))
    await projector.project(entries)
    await projector.project(entries[:3])
    result = await folder.comparison().check()
    assert result.differences == []


async def test_large_manifests_with_many_tags_take_little_memory(folder: Folder) -> None:
    """A push of 4 MB with 100 tags is 400 MB if each tag brings the bytes anew; the worker would not survive many."""
    await folder.pusher.blob(b"{}")
    for number in range(3):
        body = image(b"{}", annotations={"text": "x" * 4_000_000, "number": str(number)})
        await folder.pusher.manifest(body, *(f"t{number}-{tag}" for tag in range(100)))
    tracemalloc.start()
    try:
        await folder.project()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000
    assert (await folder.comparison().check()).differences == []


async def test_a_manifest_deleted_and_pushed_again_is_there_at_the_end(folder: Folder) -> None:
    """Both entries wait in one batch, which ends with what the metadata say."""
    body = await folder.pusher.image("v1", b"layer")
    registry, digest = folder.registry, Digest.of(body)
    await registry.manifests.delete(NAME, digest, actor=ALICE)
    await Pusher(registry).manifest(body, "v2")
    entries = await outbox.oldest(folder.stores.metadata, 100)
    projector = Projector(folder.stores.metadata, TreeFiles(folder.root))
    await projector.project([*entries, *entries])
    assert (await folder.comparison().check()).differences == []


async def test_the_comparison_finds_and_mends_what_the_tree_lacks(folder: Folder) -> None:
    """Every removed file is named; after writing nothing differs any more."""
    body = await folder.pusher.image("v1", b"layer")
    await folder.project()
    assert (await folder.comparison().check()).differences == []
    shutil.rmtree(folder.root / layout.REPOSITORIES)
    (folder.root / layout.blob_data(Digest.of(body))).unlink()
    found = (await folder.comparison().write()).differences
    assert {(difference.kind, difference.what) for difference in found} == {
        (DifferenceKind.MISSING, "manifest"),
        (DifferenceKind.MISSING, "blob"),
        (DifferenceKind.MISSING, "tag"),
    }
    assert (await folder.comparison().check()).differences == []


async def test_the_comparison_reports_what_only_the_tree_has(folder: Folder) -> None:
    """A tag and a repository that somebody else wrote are named and stay."""
    body = await folder.pusher.image("v1", b"layer")
    await folder.project()
    files = TreeFiles(folder.root)
    files.put_tag(NAME, Tag.parse("foreign"), Digest.of(body))
    files.put_manifest(RepositoryName.parse("stranger"), Digest.of(body), body)
    found = (await folder.comparison().write()).differences
    assert {(difference.what, difference.subject) for difference in found} == {
        ("tag", "foreign"),
        ("repository", "stranger"),
    }
    assert (folder.root / layout.tag_current_link(NAME, Tag.parse("foreign"))).exists()


async def test_a_tag_that_names_something_else_is_put_right(folder: Folder) -> None:
    """The metadata win over the tree."""
    body = await folder.pusher.image("v1", b"layer")
    await Pusher(folder.registry).manifest(body, "v2")
    other = await folder.pusher.image(None, b"other")
    await folder.project()
    TreeFiles(folder.root).put_tag(NAME, Tag.parse("v2"), Digest.of(other))
    found = (await folder.comparison().write()).differences
    assert [(difference.kind, difference.subject) for difference in found] == [(DifferenceKind.OTHER, "v2")]
    assert (folder.root / layout.tag_current_link(NAME, Tag.parse("v2"))).read_text() == str(Digest.of(body))


async def test_what_is_still_to_be_written_is_no_difference(folder: Folder) -> None:
    """However often a tag is moved: the files of a busy repository are behind, and nothing is wrong with them."""
    for tag in ("v1", "v2"):
        await folder.pusher.image(tag, b"layer")
    never = await folder.pusher.image(None, b"never")
    await folder.project()
    await folder.pusher.image("v1", b"moved")
    TreeFiles(folder.root).put_tag(NAME, Tag.parse("v2"), Digest.of(never))
    (found,) = (await folder.comparison().check_one(NAME)).differences
    assert (found.kind, found.subject) == (DifferenceKind.OTHER, "v2")


async def test_links_that_lead_nowhere_are_no_difference(folder: Folder) -> None:
    """registry:2's collection leaves links to blobs it took; only where the metadata know better they count."""
    body = await folder.pusher.image("v1", b"layer")
    await folder.project()
    files, never = TreeFiles(folder.root), Digest.of(b"never")
    files.put_layer(NAME, never, never)
    files.put_tag(NAME, Tag.parse("dangling"), never)
    assert (await folder.comparison().check()).differences == []
    files.put_tag(NAME, Tag.parse("v1"), never)
    (found,) = (await folder.comparison().write()).differences
    assert (found.kind, found.subject) == (DifferenceKind.OTHER, "v1")
    assert (folder.root / layout.tag_current_link(NAME, Tag.parse("v1"))).read_text() == str(Digest.of(body))


async def test_a_repository_that_cannot_be_written_does_not_keep_the_others_from_it(folder: Folder) -> None:
    """A file where its folder must be: the others are written; it is named, and written once that is mended."""
    poison, later = RepositoryName.parse("poison/x"), RepositoryName.parse("later/y")
    in_the_way = folder.root / layout.REPOSITORIES / "poison"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    for name in (poison, later):
        await Pusher(folder.registry, name).image("v1", b"layer")
    last = await outbox.last_id(folder.stores.metadata)
    await Forerunner(Projector(folder.stores.metadata, TreeFiles(folder.root))).catch_up(last)
    await folder.project()
    assert (folder.root / layout.tag_current_link(later, Tag.parse("v1"))).exists()
    assert (await outbox.backlog(folder.stores.metadata))[0] == 3
    (problem,) = (await folder.comparison().write()).problems
    assert (problem.kind, problem.repository) == (ProblemKind.UNWRITABLE, poison)
    in_the_way.unlink()
    await folder.project()
    assert (await folder.comparison().check()).differences == []
    assert (await outbox.backlog(folder.stores.metadata))[0] == 0


async def test_two_who_write_take_turns(folder: Folder) -> None:
    """What one has planned it has written before the other plans: the newer state is always the last to be written."""
    await folder.pusher.image("v1", b"layer")
    files = TreeFiles(folder.root)
    async with files.turn():
        writing = asyncio.ensure_future(folder.project())
        await asyncio.sleep(0.1)
        assert not writing.done()
        assert not (folder.root / layout.tag_folder(NAME, Tag.parse("v1"))).exists()
        await folder.registry.manifests.delete(NAME, Tag.parse("v1"), actor=ALICE)
    assert await writing == 4
    assert not (folder.root / layout.tag_folder(NAME, Tag.parse("v1"))).exists()
    assert (await folder.comparison().check()).differences == []


async def test_a_projection_that_is_stopped_ends_what_it_began(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is given back only when nothing is being written any more."""
    await folder.pusher.image("v1", b"layer")
    put, began, ended = TreeFiles.put_tag, threading.Event(), threading.Event()

    def slow(files: TreeFiles, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        began.set()
        time.sleep(0.3)
        put(files, name, tag, digest)
        ended.set()

    monkeypatch.setattr(TreeFiles, "put_tag", slow)
    writing = asyncio.ensure_future(folder.project())
    await asyncio.to_thread(began.wait, 10)
    writing.cancel()
    async with TreeFiles(folder.root).turn():
        assert ended.is_set()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_a_manifest_is_written_though_a_collection_removes_its_folder_meanwhile(folder: Folder) -> None:
    """Collections take empty folders away, also one that was made this instant."""
    body = image(b"{}", b"layer")
    data = folder.root / layout.blob_data(Digest.of(body))
    done = threading.Event()

    def collect() -> None:
        while not done.wait(0.0005):
            with suppress(OSError):
                data.unlink()
            with suppress(OSError):
                data.parent.rmdir()

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for _ in range(300):
            TreeFiles(folder.root).put_manifest(NAME, Digest.of(body), body)
    finally:
        done.set()
        collector.join()
