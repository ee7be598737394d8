"""Adoption rebuilds from registry:2's files what the metadata said, and reports what is broken."""

from __future__ import annotations

import asyncio

import pytest

from entrepot.adoption import state
from entrepot.adoption.report import ProblemKind, ReportFile
from entrepot.adoption.state import AdoptionState
from entrepot.metadata import contents, repositories
from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, Denied, ManifestUnknown, Unavailable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.images import ALICE, NAME, Pusher, descriptor, entry, image, index


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
    before = [await contents.read(folder.stores.metadata, name) for name in names]
    await folder.lose_metadata()
    progress = await folder.run().run()
    assert (progress.done, progress.problems) == (3, 0)
    assert [await contents.read(folder.stores.metadata, name) for name in names] == before
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


async def test_a_push_to_a_pending_repository_comes_after_its_adoption(folder: Folder) -> None:
    """The tag keeps what was pushed; adopting the rest does not put the old one back."""
    await _fill(folder)
    await folder.lose_metadata()
    body = await folder.pusher.image("latest", b"new layer")
    await folder.run().run()
    found = await folder.registry.manifests.get(NAME, Tag.parse("latest"), content=True)
    assert found.content == body
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["latest", "multi"]


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
    await _fill(folder)
    await folder.lose_metadata()
    run = folder.run()
    stopped_after = []

    def stop(progress: object) -> None:
        if getattr(progress, "done", 0) == 1:
            stopped_after.append(1)
            raise KeyboardInterrupt

    object.__setattr__(run, "on_progress", stop)
    with pytest.raises(KeyboardInterrupt):
        await run.run()
    assert await state.find(folder.stores.metadata) is AdoptionState.ADOPTING
    progress = await folder.run().run()
    assert (stopped_after, progress.done) == ([1], 2)


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


async def test_what_registry2_wrote_meanwhile_is_taken_in(folder: Folder) -> None:
    """A new tag, a moved tag and a new repository in the tree appear in the metadata."""
    await _fill(folder)
    await folder.lose_metadata()
    await folder.run().run()
    copied = folder.root / layout.REPOSITORIES / "copied"
    (folder.root / layout.REPOSITORIES / "busybox").rename(copied)
    moved = folder.root / layout.tag_current_link(NAME, Tag.parse("latest"))
    child = Digest.of(image(b"{}", b"layer one"))
    moved.write_text(str(child))
    progress = await folder.run().refresh()
    assert progress.problems == 0
    assert (await folder.registry.manifests.get(NAME, Tag.parse("latest"), content=False)).digest == child
    copy = RepositoryName.parse("copied")
    assert (await folder.registry.tags.list(copy, limit=10)).items == ["1.0"]
