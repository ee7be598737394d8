"""Deleting whole repositories, adding tags and copying, over every database."""

from __future__ import annotations

import json

import pytest

from entrepot.metadata.contents import manifests, repositories
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, ManifestInvalid, ManifestUnknown, NameUnknown, Unsupported
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import manifest_copy
from entrepot.registry.adoption import NothingToAdopt
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, STRANGER, Pusher
from tests.support.manifests import descriptor, entry, image, index

OTHER = RepositoryName.parse("team/other")


async def test_deleting_takes_all_and_only_what_is_there(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """An index, its images, a signature and loose blobs go, in several transactions; what another one shares stays."""
    first, second = await pusher.image("v1", b"one"), await pusher.image(None, b"two")
    await pusher.manifest(index(entry(first), entry(second)), "multi")
    await pusher.manifest(image(b"{}", b"one", subject=entry(first)))
    await pusher.blob(b"loose")
    for number in range(30):
        await pusher.image(f"t{number}", b"layer %d" % number)
    await Pusher(registry, OTHER).image("v1", b"one")
    before = kit.metadata.statistics.transactions
    await registry.repositories.delete(NAME, actor=ALICE)
    assert kit.metadata.statistics.transactions - before >= 4
    assert await repositories.find(kit.metadata, NAME) is None
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(NAME, Tag.parse("v1"), content=False)
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(NAME, Digest.of(b"loose"))
    assert (await registry.blobs.get(OTHER, Digest.of(b"one"))).size == 3
    assert (await registry.manifests.get(OTHER, Tag.parse("v1"), content=True)).content is not None
    assert await manifests.content(kit.metadata, str(Digest.of(second))) is None
    with pytest.raises(NameUnknown):
        await registry.repositories.delete(NAME, actor=ALICE)
    await pusher.image("v1", b"again")
    assert (await registry.tags.list(NAME, limit=9)).items == ["v1"]


async def test_while_a_folder_is_adopted_the_name_stays(kit: Kit) -> None:
    """Else what stands in the folder would be taken for a repository that nobody has read yet; clients see none."""

    class Adopting(NothingToAdopt):
        async def is_complete(self) -> bool:
            return False

    registry = build_registry(
        metadata=kit.metadata, work=kit.work, store=kit.store, settings=RegistrySettings(), gate=Adopting()
    )
    await Pusher(registry).image("v1", b"one")
    await registry.repositories.delete(NAME, actor=ALICE)
    assert await repositories.find(kit.metadata, NAME) is not None
    with pytest.raises(NameUnknown):
        await registry.tags.list(NAME, limit=9)


async def test_deleting_is_refused_where_it_is_switched_off(
    pusher: Pusher, keeping_registry: Registry, read_only_registry: Registry
) -> None:
    """The same switches as for single manifests."""
    await pusher.image("v1", b"one")
    for registry in (keeping_registry, read_only_registry):
        with pytest.raises(Unsupported):
            await registry.repositories.delete(NAME, actor=ALICE)


async def test_a_new_tag(pusher: Pusher, registry: Registry, read_only_registry: Registry) -> None:
    """It names the manifest from then on; a name in use stays where it is."""
    body = await pusher.image("v1", b"one")
    other = await pusher.image("v2", b"two")
    digest, tag = Digest.of(body), Tag.parse("stable")
    assert await registry.manifests.add_tag(NAME, digest, tag, actor=ALICE)
    assert not await registry.manifests.add_tag(NAME, Digest.of(other), tag, actor=ALICE)
    assert (await registry.manifests.get(NAME, tag, content=False)).digest == digest
    with pytest.raises(ManifestUnknown):
        await registry.manifests.add_tag(NAME, Digest.of(b"absent"), Tag.parse("x"), actor=ALICE)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.add_tag(OTHER, digest, Tag.parse("x"), actor=ALICE)
    with pytest.raises(Unsupported):
        await read_only_registry.manifests.add_tag(NAME, digest, Tag.parse("x"), actor=ALICE)


async def test_a_copy_has_everything(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """An index by its tag: with its images, their blobs and what refers to them; nothing of the store is read."""
    first, second = await pusher.image("v1", b"one"), await pusher.image(None, b"two")
    signature = image(b"{}", subject=entry(first))
    await pusher.manifest(signature)
    body = index(entry(first), entry(second))
    await pusher.manifest(body, "multi")
    digest = await registry.copying.copy(NAME, Tag.parse("multi"), OTHER, actor=ALICE)
    assert digest == Digest.of(body)
    assert (await registry.tags.list(OTHER, limit=9)).items == ["multi"]
    for part in (body, first, second, signature):
        assert (await registry.manifests.get(OTHER, Digest.of(part), content=True)).content == part
    for blob in (b"one", b"two", b"{}"):
        assert (await registry.blobs.get(OTHER, Digest.of(blob))).size == len(blob)
    listed, _ = await registry.referrers.list(OTHER, Digest.of(first), limit=9)
    assert [found.digest for found in listed] == [Digest.of(signature)]


async def test_a_copy_by_digest_takes_the_tags_along(pusher: Pusher, registry: Registry) -> None:
    """Those of the artifact, as at Harbor; and one of a part brings that part alone."""
    first = await pusher.image("v1", b"one")
    await pusher.manifest(index(entry(first)), "multi")
    await registry.copying.copy(NAME, Digest.of(first), OTHER, actor=ALICE)
    assert (await registry.tags.list(OTHER, limit=9)).items == ["v1"]
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(OTHER, Tag.parse("multi"), content=False)


async def test_a_copy_of_a_sparse_index_brings_what_is_there(sparse_registry: Registry) -> None:
    """Entries that the source does not have are missing in the target too."""
    pusher = Pusher(sparse_registry)
    first = await pusher.image("v1", b"one")
    absent = descriptor(json.dumps({"absent": True}).encode(), "application/vnd.oci.image.manifest.v1+json")
    await pusher.manifest(index(entry(first), absent), "sparse")
    await sparse_registry.copying.copy(NAME, Tag.parse("sparse"), OTHER, actor=ALICE)
    assert (await sparse_registry.manifests.get(OTHER, Digest.of(first), content=False)).size == len(first)


async def test_copies_are_bounded(pusher: Pusher, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request does not copy a registry."""
    monkeypatch.setattr(manifest_copy, "MOST", 2)
    first, second = await pusher.image(None, b"one"), await pusher.image(None, b"two")
    await pusher.manifest(index(entry(first), entry(second)), "multi")
    with pytest.raises(ManifestInvalid):
        await registry.copying.copy(NAME, Tag.parse("multi"), OTHER, actor=ALICE)


async def test_what_cannot_be_copied(pusher: Pusher, registry: Registry, read_only_registry: Registry) -> None:
    """What is not there, to a project that is not there, or in maintenance."""
    await pusher.image("v1", b"one")
    with pytest.raises(ManifestUnknown):
        await registry.copying.copy(NAME, Tag.parse("absent"), OTHER, actor=ALICE)
    with pytest.raises(NameUnknown):
        await registry.copying.copy(NAME, Tag.parse("v1"), RepositoryName.parse("new/app"), actor=STRANGER)
    with pytest.raises(Unsupported):
        await read_only_registry.copying.copy(NAME, Tag.parse("v1"), OTHER, actor=ALICE)
