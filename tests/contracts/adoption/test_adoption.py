"""Adoption rebuilds from registry:2's files what the metadata said, and reports what is broken."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from entrepot.adoption import state
from entrepot.adoption.report import ProblemKind, ReportFile
from entrepot.adoption.run import AdoptionRun, Progress
from entrepot.adoption.state import AdoptionState
from entrepot.metadata.contents import projects, repositories, repository_contents
from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobInUse, BlobUnknown, Denied, ManifestUnknown, Unavailable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.files import TreeFiles
from entrepot.registry import layout
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import descriptor, entry, image, index
from tests.support.open_folders import let_others_in


async def _fill(folder: Folder) -> dict[str, bytes]:
    """Push images, an index, a referrer and an sha512 manifest to several repositories."""
    pusher = folder.pusher
    amd64 = await pusher.image(None, b"layer one")
    arm64 = await pusher.image(None, b"layer two")
    multi = index(entry(amd64), entry(arm64))
    await pusher.manifest(multi, "multi", "latest")
    signature = image(b"{}", subject=descriptor(multi, media_types.OCI_INDEX), artifactType="application/x-sig")
    await pusher.manifest(signature)
    await folder.registry.manifests.put(NAME, Digest.of(amd64, "sha512"), None, amd64, actor=ALICE)
    other = await Pusher(folder.registry, RepositoryName.parse("deep/er/still")).image("v1", b"layer one")
    top = await Pusher(folder.registry, RepositoryName.parse("busybox")).image("1.0", b"box")
    await folder.project()
    return {"multi": multi, "signature": signature, "other": other, "top": top}


async def test_metadata_lost_and_rebuilt_from_the_tree_are_the_same(folder: Folder) -> None:
    """Every repository has its tags, manifests and blobs back, and the referrers with them."""
    pushed = await _fill(folder)
    names = (NAME, "deep/er/still", "busybox")
    before = [await repository_contents.read(folder.stores.metadata, name) for name in names]
    await folder.lose_metadata()
    progress = await folder.run().run()
    assert (progress.done, progress.problems) == (3, 0)
    assert [await repository_contents.read(folder.stores.metadata, name) for name in names] == before
    found, _ = await folder.registry.referrers.list(NAME, Digest.of(pushed["multi"]), limit=10)
    assert [item.artifact_type for item in found] == ["application/x-sig"]
    assert await state.find(folder.stores.metadata) is AdoptionState.COMPLETE


async def test_children_of_an_adopted_index_are_protected(folder: Folder) -> None:
    """Whatever order the files were read in, the index holds its manifests."""
    pushed = await _fill(folder)
    await folder.lose_metadata()
    await folder.run().run()
    child = Digest.parse(str(Digest.of(image(b"{}", b"layer one"))))
    with pytest.raises(Denied):
        await folder.registry.manifests.delete(NAME, child, actor=ALICE)
    await folder.registry.manifests.delete(NAME, Digest.of(pushed["multi"]), actor=ALICE)
    await folder.registry.manifests.delete(NAME, child, actor=ALICE)


async def test_a_repository_is_adopted_when_it_is_first_asked_for(folder: Folder) -> None:
    """A pull does not wait for the rest of the folder; many pulls at once share one reading."""
    pushed = await _fill(folder)
    await folder.lose_metadata()
    registry = folder.registry
    pulls = (registry.manifests.get(NAME, Tag.parse("latest"), content=True) for _ in range(8))
    assert {found.content for found in await asyncio.gather(*pulls)} == {pushed["multi"]}
    assert await repositories.find_exact(folder.stores.metadata, "busybox") is None
    found = await registry.manifests.get(RepositoryName.parse("library/busybox"), Tag.parse("1.0"), content=True)
    assert found.content == pushed["top"]


async def test_a_push_does_not_wait_for_its_repository(folder: Folder) -> None:
    """The tag keeps what was pushed, whatever the files said, and adopting the rest does not put the old one back."""
    pushed = await _fill(folder)
    await folder.lose_metadata()
    old = image(b"{}", b"layer two")  # nobody has looked at it, at its blobs or at its repository so far
    await folder.pusher.manifest(index(entry(old)), "index")
    await folder.pusher.manifest(old, "latest")
    body = await folder.pusher.image("new", b"new layer")
    row = await repositories.find_exact(folder.stores.metadata, NAME)
    assert row is not None
    assert not row.adopted
    await folder.run().run()
    registry = folder.registry
    assert (await registry.manifests.get(NAME, Tag.parse("latest"), content=True)).content == old
    assert (await registry.manifests.get(NAME, Tag.parse("new"), content=True)).content == body
    assert (await registry.manifests.get(NAME, Tag.parse("multi"), content=True)).content == pushed["multi"]
    assert (await registry.tags.list(NAME, limit=10)).items == ["index", "latest", "multi", "new"]


async def test_a_blob_is_mounted_out_of_and_into_pending_repositories(folder: Folder) -> None:
    """Neither side need be adopted for it, and neither is spelt twice."""
    await _fill(folder)
    await folder.lose_metadata()
    box, source = RepositoryName.parse("library/busybox"), RepositoryName.parse("deep/er/still")
    mounted = await folder.registry.blobs.mount(box, Digest.of(b"layer one"), source, actor=ALICE)
    assert mounted is not None
    assert await repositories.count_pending(folder.stores.metadata) == 2
    assert await repositories.find_exact(folder.stores.metadata, "library/busybox") is None
    await folder.run().run()
    assert (await folder.registry.blobs.get(RepositoryName.parse("busybox"), Digest.of(b"layer one"))).size == 9


async def test_the_catalog_waits_for_the_names_only(folder: Folder) -> None:
    """Until they are listed it is unavailable; afterwards it names repositories that nobody read yet."""
    await _fill(folder)
    await folder.lose_metadata()
    with pytest.raises(Unavailable):
        await folder.registry.catalog.list(limit=10)
    await folder.run().run()
    assert (await folder.registry.catalog.list(limit=10)).items == ["busybox", "deep/er/still", "team/app"]


async def test_an_interrupted_adoption_goes_on_where_it_stopped(folder: Folder) -> None:
    """What was adopted is not read again."""
    names = [f"more/r{number:02}" for number in range(12)]
    for name in names:
        await Pusher(folder.registry, RepositoryName.parse(name)).image("v1", name.encode())
    await folder.project()
    await folder.lose_metadata()

    def stop(progress: Progress) -> None:
        if progress.done == 1:
            running.cancel()

    running = asyncio.ensure_future(AdoptionRun(folder.intake, ReportFile(folder.root), folder.foreign, stop).run())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await state.find(folder.stores.metadata) is AdoptionState.ADOPTING
    left = await repositories.count_pending(folder.stores.metadata)
    progress = await folder.run().run()
    assert 0 < left < 12
    assert progress.done == left
    assert (await folder.registry.catalog.list(limit=20)).items == names


async def test_broken_things_are_reported_and_the_rest_is_served(folder: Folder) -> None:
    """Dangling tags, empty links, missing and cut blobs, damaged manifests: each is named, none stops the adoption."""
    pushed = await _fill(folder)
    root = folder.root
    missing, cut = Digest.of(b"box"), Digest.of(b"layer two")
    (root / layout.blob_data(missing)).unlink()
    (root / layout.blob_data(cut)).write_bytes(b"layer")
    (root / layout.blob_data(Digest.of(pushed["signature"]))).write_bytes(b"not the signature")
    dangling = root / layout.tag_current_link(NAME, Tag.parse("dangling"))
    dangling.parent.mkdir(parents=True)
    dangling.write_text(str(Digest.of(b"never")))
    empty = root / layout.tag_current_link(NAME, Tag.parse("empty"))
    empty.parent.mkdir(parents=True)
    empty.touch()
    await folder.lose_metadata()
    await folder.run().run()
    found = {(problem.kind, problem.repository, problem.subject) for problem in ReportFile(root).problems()}
    assert {
        (ProblemKind.MISSING_BLOB, "busybox", str(missing)),
        (ProblemKind.WRONG_SIZE, NAME, str(cut)),
        (ProblemKind.DAMAGED_MANIFEST, NAME, str(Digest.of(pushed["signature"]))),
        (ProblemKind.DANGLING_TAG, NAME, "dangling"),
        (ProblemKind.INVALID_LINK, NAME, layout.tag_current_link(NAME, Tag.parse("empty"))),
    } <= found
    registry = folder.registry
    assert (await registry.manifests.get(NAME, Tag.parse("multi"), content=True)).content == pushed["multi"]
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(NAME, Tag.parse("dangling"), content=False)
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(NAME, cut)


async def test_a_push_heals_what_adoption_found_broken(folder: Folder) -> None:
    """A blob that was cut is stored anew, and the image pulls again."""
    await _fill(folder)
    cut = folder.root / layout.blob_data(Digest.of(b"layer two"))
    cut.write_bytes(b"layer")
    await folder.lose_metadata()
    await folder.run().run()
    await folder.pusher.blob(b"layer two")
    assert cut.read_bytes() == b"layer two"
    assert (await folder.registry.blobs.get(NAME, Digest.of(b"layer two"))).size == len(b"layer two")


async def test_an_alias_of_registry2_is_followed(folder: Folder) -> None:
    """registry:2 keeps sha512 content under its sha256 and links the one to the other."""
    await _fill(folder)
    content = Digest.of(b"layer one")
    alias = Digest.of(b"layer one", "sha512")
    link = folder.root / layout.layer_link(NAME, alias)
    link.parent.mkdir(parents=True)
    link.write_text(str(content))
    await folder.lose_metadata()
    await folder.run().run()
    record = await folder.registry.blobs.get(NAME, alias)
    assert (record.size, record.key) == (len(b"layer one"), str(content))


async def test_a_pull_does_not_wait_for_its_repository(folder: Folder) -> None:
    """A tag with its manifest and blobs is there at once; the rest of the repository is still to be adopted."""
    pushed = await _fill(folder)
    await folder.lose_metadata()
    registry = folder.registry
    found = await registry.manifests.get(NAME, Tag.parse("multi"), content=True)
    assert found.content == pushed["multi"]
    child = Digest.of(image(b"{}", b"layer one"))
    assert (await registry.manifests.get(NAME, child, content=False)).digest == child
    assert (await registry.blobs.get(NAME, Digest.of(b"layer one"))).size == len(b"layer one")
    assert (await registry.blobs.get(NAME, Digest.of(b"layer two"))).size == len(b"layer two")
    row = await repositories.find_exact(folder.stores.metadata, NAME)
    assert row is not None
    assert not row.adopted
    assert (await repository_contents.read(folder.stores.metadata, NAME)).tags.keys() == {"multi"}
    assert (await registry.tags.list(NAME, limit=10)).items == ["latest", "multi"]
    row = await repositories.find_exact(folder.stores.metadata, NAME)
    assert row is not None
    assert row.adopted


async def test_what_is_not_there_is_unknown_without_reading_the_rest(folder: Folder) -> None:
    """A wrong tag, digest or blob of a pending repository is answered at once, and writes only the repository's row."""
    await _fill(folder)
    await folder.lose_metadata()
    registry, never = folder.registry, Digest.of(b"never")
    for reference in (Tag.parse("never"), never):
        with pytest.raises(ManifestUnknown):
            await registry.manifests.get(NAME, reference, content=False)
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(NAME, never)
    before = folder.stores.metadata.statistics.transactions
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(NAME, Tag.parse("never"), content=False)
    assert folder.stores.metadata.statistics.transactions == before
    assert (await repository_contents.read(folder.stores.metadata, NAME)).manifests == frozenset()


async def test_the_long_spelling_is_not_answered_by_the_short_one(folder: Folder) -> None:
    """Where a folder has both `x` and `library/x`, each has its own tags, also before they are adopted."""
    await Pusher(folder.registry, RepositoryName.parse("both")).image("short", b"1")
    await folder.project()
    both = folder.root / layout.REPOSITORIES / "both"
    shutil.copytree(both, folder.root / layout.REPOSITORIES / "library" / "both")
    (folder.root / layout.REPOSITORIES / "library/both/_manifests/tags/short").rename(
        folder.root / layout.REPOSITORIES / "library/both/_manifests/tags/long"
    )
    await folder.lose_metadata()
    registry, long, short = folder.registry, RepositoryName.parse("library/both"), RepositoryName.parse("both")
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(long, Tag.parse("short"), content=False)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(short, Tag.parse("long"), content=False)
    await registry.manifests.get(long, Tag.parse("long"), content=False)
    await registry.manifests.get(short, Tag.parse("short"), content=False)


async def test_a_repository_is_read_by_one_process_at_a_time(folder: Folder) -> None:
    """While another has it in hand a list waits; when that one dies it is adopted here."""
    await _fill(folder)
    await folder.lose_metadata()
    registry = folder.registry
    async with folder.intake.claims.claim(NAME) as ours:
        assert ours
        assert await folder.intake.adopt(NAME) is None
        with pytest.raises(Unavailable):
            await registry.tags.list(NAME, limit=10)
    assert (await registry.tags.list(NAME, limit=10)).items == ["latest", "multi"]


async def test_two_runs_share_the_work(folder: Folder) -> None:
    """The same folder adopted twice at once: everything is there, nothing was done twice."""
    pushed = await _fill(folder)
    await folder.lose_metadata()
    one, other = await asyncio.gather(folder.run().run(), folder.run().run())
    assert one.done + other.done == 3
    assert one.manifests + other.manifests == 3 + 1 + 1 + 1 + 1
    found = await folder.registry.manifests.get(NAME, Tag.parse("multi"), content=True)
    assert found.content == pushed["multi"]


async def test_an_image_that_lacked_a_blob_is_protected_when_it_is_healed(folder: Folder) -> None:
    """A manifest refers to the blob that the folder had lost, also when the manifest itself is not pushed again."""
    await _fill(folder)
    missing = Digest.of(b"box")
    (folder.root / layout.blob_data(missing)).unlink()
    await folder.lose_metadata()
    await folder.run().run()
    name = RepositoryName.parse("busybox")
    with pytest.raises(BlobUnknown):
        await folder.registry.blobs.stat(name, missing)
    await Pusher(folder.registry, RepositoryName.parse("somewhere/else")).blob(b"box")
    assert (await folder.registry.blobs.get(name, missing)).size == len(b"box")
    with pytest.raises(BlobInUse):
        await folder.registry.blobs.delete(name, missing, actor=ALICE)


async def test_a_manifest_that_lies_about_a_size_does_not_hide_the_blob(folder: Folder) -> None:
    """Where sizes differ the bytes decide: a whole blob is served, whatever one manifest says."""
    good = await folder.pusher.image("good", b"layer")
    await folder.project()
    lying = good.replace(b'"size": 5', b'"size": 6')
    files = TreeFiles(folder.root)
    files.put_manifest(NAME, Digest.of(lying), lying)
    files.put_tag(NAME, Tag.parse("lying"), Digest.of(lying))
    await folder.lose_metadata()
    await folder.run().run()
    assert (await folder.registry.blobs.get(NAME, Digest.of(b"layer"))).size == len(b"layer")
    assert ProblemKind.WRONG_SIZE in {problem.kind for problem in ReportFile(folder.root).problems()}


async def test_odd_files_and_folders_do_no_harm(folder: Folder) -> None:
    """Hidden files, temporary files, huge links, bytes that are no text, links in a circle: reported or passed over."""
    await _fill(folder)
    repositories_folder = folder.root / layout.REPOSITORIES
    own = repositories_folder / NAME
    (own / "_manifests/tags/.DS_Store").write_bytes(b"x")
    (own / "_layers/sha256/link.1234.tmp").write_bytes(b"x")
    (repositories_folder / "Upper Case" / "_manifests").mkdir(parents=True)
    (repositories_folder / os.fsdecode(b"\xff\xfe") / "_manifests").mkdir(parents=True)
    (repositories_folder / "circle").symlink_to(repositories_folder)
    huge = own / "_manifests/tags/huge/current/link"
    huge.parent.mkdir(parents=True)
    huge.write_bytes(b"sha256:" + b"a" * 10_000_000)
    await folder.lose_metadata()
    await folder.run().run()
    problems = {(problem.kind, problem.repository) for problem in ReportFile(folder.root).problems()}
    assert problems == {
        (ProblemKind.INVALID_NAME, "Upper Case"),
        (ProblemKind.INVALID_NAME, os.fsdecode(b"\xff\xfe")),
        (ProblemKind.INVALID_LINK, NAME),
    }
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["latest", "multi"]
    assert (await folder.registry.catalog.list(limit=10)).items == ["busybox", "deep/er/still", "team/app"]


async def test_a_linked_folder_is_followed(folder: Folder) -> None:
    """Repositories and blobs may lie elsewhere, behind symbolic links, as for registry:2."""
    pushed = await _fill(folder)
    elsewhere = folder.root.parent / f"{folder.root.name}-elsewhere"
    elsewhere.mkdir()
    for path in (layout.BLOBS, f"{layout.REPOSITORIES}/team"):
        (folder.root / path).rename(elsewhere / Path(path).name)
        (folder.root / path).symlink_to(elsewhere / Path(path).name)
    await folder.lose_metadata()
    await folder.run().run()
    found = await folder.registry.manifests.get(NAME, Tag.parse("multi"), content=True)
    assert found.content == pushed["multi"]


async def test_folders_that_may_not_be_read_are_reported() -> None:
    """One closed folder is named in the report, and everything beside it is adopted."""
    with tempfile.TemporaryDirectory() as made:  # not below pytest's folder, which is closed to others
        let_others_in(Path(made))
        folder = await Folder.open(Path(made))
        await _fill(folder)
        (folder.root / layout.tags(NAME)).chmod(0)
        (folder.root / layout.REPOSITORIES / "deep").chmod(0)
        await folder.lose_metadata()
        for path in (folder.root, folder.root / "entrepot", *(folder.root / "entrepot").rglob("*")):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
        try:
            progress = await folder.run().run()
        finally:
            os.seteuid(0)
        assert progress.done == 2
        problems = {(problem.kind, problem.subject) for problem in ReportFile(folder.root).problems()}
        assert problems == {(ProblemKind.UNREADABLE, layout.tags(NAME)), (ProblemKind.UNREADABLE, "deep")}
        assert (await folder.registry.catalog.list(limit=10)).items == ["busybox", "team/app"]
        await folder.stores.close()


async def test_links_that_a_collection_left_are_no_alarm(folder: Folder) -> None:
    """registry:2's collection removes blobs and leaves their links: reported, but nobody misses anything."""
    await _fill(folder)
    collected = Digest.of(b"collected long ago")
    TreeFiles(folder.root).put_layer(NAME, collected, collected)
    await folder.lose_metadata()
    progress = await folder.run().run()
    (problem,) = ReportFile(folder.root).problems()
    assert (problem.kind, problem.subject, progress.problems) == (ProblemKind.DANGLING_LAYER, str(collected), 0)
    with pytest.raises(BlobUnknown):
        await folder.registry.blobs.get(NAME, collected)


async def test_a_project_is_not_deleted_with_its_repositories_before_the_folder_is_known(folder: Folder) -> None:
    """A deleted repository keeps its name until then, so that there would be no end of deleting it."""
    await _fill(folder)
    await folder.lose_metadata()
    await folder.intake.adopt(NAME)
    deletion = folder.registry.project_deletion
    project = await projects.find(folder.stores.metadata, NAME.project)
    assert project is not None
    with pytest.raises(Unavailable, match="still being adopted"):
        await deletion.delete(project, actor=ALICE, with_repositories=True)
    assert (await folder.registry.tags.list(NAME, limit=9)).items == ["latest", "multi"]
    await folder.run().run()
    await folder.registry.project_deletion.delete(project, actor=ALICE, with_repositories=True)
    assert await projects.find(folder.stores.metadata, NAME.project) is None
