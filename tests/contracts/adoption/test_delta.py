"""What another registry did to an adopted folder is taken in, and nothing that was pushed meanwhile is lost."""

from __future__ import annotations

import os
import shutil

import pytest

from entrepot.adoption.byte_presence import Presence
from entrepot.adoption.delta import Delta, OutboxWaiting, TooBusy
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.report import ProblemKind, ReportFile
from entrepot.adoption.run import Progress
from entrepot.adoption.tree import Tree
from entrepot.metadata.contents import repositories, repository_contents
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, ManifestUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.files import TreeFiles
from entrepot.registry import layout
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import entry, image, index
from tests.support.rows import moves_of

V1, V2, LATEST = Tag.parse("v1"), Tag.parse("v2"), Tag.parse("latest")


def _delta(folder: Folder, *, pruning: bool = False) -> Delta:
    return Delta(folder.intake, ReportFile(folder.root), pruning=pruning)


async def _pushed(folder: Folder) -> tuple[bytes, bytes]:
    """Push v1, v2 and latest (which is v2), and let the files say so."""
    first = await folder.pusher.image("v1", b"layer one")
    second = await folder.pusher.image("v2", b"layer two")
    await folder.pusher.manifest(second, "latest")
    await folder.project()
    return first, second


async def _digest(folder: Folder, tag: Tag) -> Digest:
    return (await folder.registry.manifests.get(NAME, tag, content=False)).digest


async def test_new_and_moved_tags_and_new_repositories_come_in(folder: Folder) -> None:
    """Tags follow the files, with a line in their history; a repository that appeared is served."""
    first, _ = await _pushed(folder)
    files = TreeFiles(folder.root)
    files.put_tag(NAME, LATEST, Digest.of(first))
    new = image(b"{}", b"layer one", annotations={"made": "elsewhere"})
    files.put_manifest(NAME, Digest.of(new), new)
    files.put_tag(NAME, Tag.parse("new"), Digest.of(new))
    shutil.copytree(folder.root / layout.REPOSITORIES / NAME, folder.root / layout.REPOSITORIES / "copied")
    progress = await _delta(folder).run()
    assert (progress.done, progress.tags, progress.problems) == (2, 2 + 4, 0)
    assert await _digest(folder, LATEST) == Digest.of(first)
    assert await _digest(folder, Tag.parse("new")) == Digest.of(new)
    copied = RepositoryName.parse("copied")
    assert (await folder.registry.tags.list(copied, limit=10)).items == ["latest", "new", "v1", "v2"]
    row = await repositories.find_exact(folder.stores.metadata, NAME)
    assert row is not None
    history = await moves_of(folder.stores.metadata, row.id, "latest")
    assert (history[-1].digest, history[-1].actor) == (str(Digest.of(first)), "registry:2")
    assert (await folder.comparison().check()).differences == []


async def test_nothing_changes_where_nothing_changed(folder: Folder) -> None:
    """A second run finds nothing, and writes no history."""
    await _pushed(folder)
    before = await repository_contents.read(folder.stores.metadata, NAME)
    progress = await _delta(folder, pruning=True).run()
    assert (progress.manifests, progress.tags, progress.problems) == (0, 0, 0)
    assert await repository_contents.read(folder.stores.metadata, NAME) == before


async def test_what_registry2_deleted_is_kept_and_named(folder: Folder) -> None:
    """Without being told to prune, nothing is deleted."""
    first, _ = await _pushed(folder)
    files = TreeFiles(folder.root)
    files.remove_tag(NAME, V2)
    files.remove_tag(NAME, V1)
    files.remove_revision(NAME, Digest.of(first))
    delta = _delta(folder)
    await delta.run()
    assert [str(one.reference) for one in delta.kept] == [str(Digest.of(first)), "v1", "v2"]
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["latest", "v1", "v2"]


async def test_pruning_deletes_what_registry2_deleted(folder: Folder) -> None:
    """Tags, manifests, indexes before their children, whole repositories; the files stay as registry:2 left them."""
    first, second = await _pushed(folder)
    multi = index(entry(first), entry(second))
    await folder.pusher.manifest(multi, "multi")
    gone = Pusher(folder.registry, RepositoryName.parse("gone"))
    await gone.image("v1", b"layer")
    await folder.project()
    files = TreeFiles(folder.root)
    for tag in ("v1", "multi"):
        files.remove_tag(NAME, Tag.parse(tag))
    for manifest in (first, multi):
        files.remove_revision(NAME, Digest.of(manifest))
    shutil.rmtree(folder.root / layout.REPOSITORIES / "gone")
    delta = _delta(folder, pruning=True)
    await delta.run()
    assert delta.kept == []
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["latest", "v2"]
    for manifest in (first, multi):
        with pytest.raises(ManifestUnknown):
            await folder.registry.manifests.get(NAME, Digest.of(manifest), content=False)
    assert (await folder.registry.catalog.list(limit=10)).items == [NAME]
    assert await folder.project() == 0
    assert not (folder.root / layout.REPOSITORIES / "gone").exists()


async def test_a_child_of_an_index_that_stays_is_not_pruned(folder: Folder) -> None:
    """An index keeps what it lists, whatever the files say."""
    first, second = await _pushed(folder)
    await folder.pusher.manifest(index(entry(first), entry(second)), "multi")
    await folder.project()
    TreeFiles(folder.root).remove_tag(NAME, V1)
    TreeFiles(folder.root).remove_revision(NAME, Digest.of(first))
    delta = _delta(folder, pruning=True)
    await delta.run()
    assert [one.reference for one in delta.kept] == [Digest.of(first)]
    await folder.registry.manifests.get(NAME, Digest.of(first), content=False)


async def test_collected_blobs_become_unknown_and_come_back_by_a_push(folder: Folder) -> None:
    """A client must push again what registry:2's collection took; then every image that needs it is whole."""
    await _pushed(folder)
    digest = Digest.of(b"layer one")
    shutil.rmtree(folder.root / layout.blob_folder(digest))
    progress = await _delta(folder).run()
    assert progress.problems == 1
    (problem,) = ReportFile(folder.root).problems()
    assert (problem.kind, problem.repository, problem.subject) == (ProblemKind.MISSING_BLOB, NAME, str(digest))
    with pytest.raises(BlobUnknown):
        await folder.registry.blobs.stat(NAME, digest)
    assert await folder.registry.blobs.find_anywhere(digest) == []
    await folder.pusher.blob(b"layer one")
    assert (await folder.registry.blobs.stat(NAME, digest)).size == len(b"layer one")


async def test_a_blob_that_registry2_brought_back_is_known_again(folder: Folder) -> None:
    """A missing blob is live again when its bytes are there, of the right size."""
    await _pushed(folder)
    data = folder.root / layout.blob_data(Digest.of(b"layer one"))
    data.write_bytes(b"layer")
    presence = Presence(folder.stores.metadata, Tree(folder.root))
    assert (await presence.check()).lost == 1
    assert (await presence.check()).lost == 0
    data.write_bytes(b"layer one")
    assert (await presence.check()).found == 1
    await folder.registry.blobs.get(NAME, Digest.of(b"layer one"))


async def test_a_push_while_the_files_are_compared_wins(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is read again; neither the pushed tag nor what registry:2 wrote is lost."""
    first, second = await _pushed(folder)
    TreeFiles(folder.root).put_tag(NAME, LATEST, Digest.of(first))
    _push_during(folder, monkeypatch, second, ["v1"])
    await _delta(folder).run()
    assert await _digest(folder, V1) == Digest.of(second)
    assert await _digest(folder, LATEST) == Digest.of(first)


async def test_a_repository_that_never_rests_is_given_up(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts the run ends with an error that says what to do."""
    _, second = await _pushed(folder)
    TreeFiles(folder.root).put_tag(NAME, Tag.parse("new"), Digest.of(second))
    _push_during(folder, monkeypatch, second, ["v2"] * 20)
    with pytest.raises(TooBusy, match="team/app"):
        await _delta(folder).run()


def _push_during(folder: Folder, monkeypatch: pytest.MonkeyPatch, manifest: bytes, names: list[str]) -> None:
    """Let one push come between every look at the outbox and the writing, as long as there are names."""
    moment = Delta._moment

    async def push_after(delta: Delta, name: RepositoryName) -> object:
        found = await moment(delta, name)
        if names:
            await folder.pusher.manifest(manifest, names.pop())
            await folder.project()
        return found

    monkeypatch.setattr(Delta, "_moment", push_after)


async def test_files_that_lag_behind_are_not_believed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While pushes wait to be written and nobody writes them, no tag is put back."""
    first, second = await _pushed(folder)
    await folder.pusher.manifest(first, "v2")
    monkeypatch.setattr("entrepot.adoption.delta._OUTBOX_SECONDS", 0.1)
    with pytest.raises(OutboxWaiting):
        await _delta(folder).run()
    assert await _digest(folder, V2) == Digest.of(first)
    assert Digest.of(second) != Digest.of(first)


async def test_progress_is_shown(folder: Folder) -> None:
    """Every repository moves the bar."""
    await _pushed(folder)
    shown: list[int] = []

    def show(progress: Progress) -> None:
        shown.append(progress.done)

    await Delta(folder.intake, ReportFile(folder.root), show).run()
    assert shown[-1] == 1


async def test_another_registrys_writes_are_noticed(folder: Folder) -> None:
    """New content and collected content show at the next look, and are remembered until they are taken in."""
    await _pushed(folder)
    foreign = ForeignWrites(folder.stores.metadata, Tree(folder.root))
    await foreign.remember()
    found = await foreign.look()
    assert (found.unknown, found.seen.lost, await foreign.waiting()) == (0, 0, False)
    new = image(b"{}", b"layer one", annotations={"made": "elsewhere"})
    TreeFiles(folder.root).put_manifest(NAME, Digest.of(new), new)
    shutil.rmtree(folder.root / layout.blob_folder(Digest.of(b"layer two")))
    _later(folder)
    found = await foreign.look()
    assert (found.unknown, found.seen.lost, await foreign.waiting()) == (1, 1, True)
    await _delta(folder).run()
    await foreign.settle()
    assert not await foreign.waiting()
    assert (await foreign.look()).unknown == 0


async def test_our_own_writes_are_not_taken_for_foreign_ones(folder: Folder) -> None:
    """A server that died before it looked again raises no alarm."""
    await _pushed(folder)
    foreign = ForeignWrites(folder.stores.metadata, Tree(folder.root))
    await foreign.remember()
    await folder.pusher.image("v3", b"layer three")
    await folder.project()
    await folder.registry.manifests.delete(NAME, V1, actor=ALICE)
    _later(folder)
    found = await foreign.look()
    assert (found.unknown, found.seen.lost, await foreign.waiting()) == (0, 0, False)


def _later(folder: Folder) -> None:
    """Let a second pass for the folders of blobs: some file systems count no smaller times."""
    for shard in (folder.root / layout.BLOBS).glob("*/*"):
        found = shard.stat()
        os.utime(shard, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))
