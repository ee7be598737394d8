"""What lies in the trash of a project goes before a push into it is refused."""

from __future__ import annotations

import pytest

from entrepot.lifecycle.quotas import RoomInTrash
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata.contents import projects
from entrepot.metadata.lifecycle import trash_usage
from entrepot.metadata.usage.usage import Counts, Limits
from entrepot.oci.digest import Digest
from entrepot.oci.errors import QuotaExceeded
from entrepot.oci.reference import RepositoryName
from tests.contracts.quota.test_usage import OTHER, limit, standing
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import index


def with_trash(kit: Kit, *, deletes: bool = True) -> Pusher:
    """Give somebody who pushes to a registry that makes room out of its trash."""
    room = RoomInTrash(kit.metadata)
    registry = kit.registry(trash_seconds=3600, make_room=room, delete_enabled=deletes)
    room.use(Expiry(kit.metadata, registry.manifests.settings, registry.project_deletion))
    return Pusher(registry)


async def test_the_trash_makes_room(kit: Kit) -> None:
    """A push that would not fit beside what was deleted takes its place; the rest of the trash stays."""
    pusher = with_trash(kit)
    old = await pusher.image("old", b"o" * 4000)
    await pusher.registry.manifests.delete(NAME, Digest.of(old), actor=ALICE)
    await limit(kit.metadata, Limits(hard_bytes=(await standing(kit.metadata)).bytes + 200))
    await pusher.image("new", b"n" * 4000)
    assert (await standing(kit.metadata)).counts.manifests == 1


async def test_a_project_that_is_full_of_trash_takes_a_push(kit: Kit) -> None:
    """Though it holds more than it may, and what goes first has a layer that the push needs too."""
    pusher = with_trash(kit)
    for tag, layer in (("old", b"o" * 4000), ("other", b"x" * 4000)):
        body = await pusher.image(tag, layer)
        await pusher.registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    await limit(kit.metadata, Limits(hard_bytes=5000))
    await pusher.image("again", b"o" * 4000, config=b"other")
    assert (await standing(kit.metadata)).counts.manifests == 1


async def test_a_trash_too_small_does_not_help(kit: Kit) -> None:
    """When the push would not fit if all of it went, the push is refused."""
    pusher = with_trash(kit)
    await limit(kit.metadata, Limits(hard_bytes=2000))
    old = await pusher.image("old", b"o" * 100)
    await pusher.registry.manifests.delete(NAME, Digest.of(old), actor=ALICE)
    with pytest.raises(QuotaExceeded):
        await pusher.image("new", b"n" * 4000)


async def test_the_trash_is_left_alone_where_emptying_it_cannot_help(kit: Kit) -> None:
    """A push that is refused for its repository, or needs more than the trash holds, costs nobody what was deleted."""
    pusher = with_trash(kit)
    await pusher.image("kept", b"k" * 100)
    old = await pusher.image("old", b"o" * 100)
    await pusher.registry.manifests.delete(NAME, Digest.of(old), actor=ALICE)
    before = await standing(kit.metadata)
    assert before.counts.manifests == 2
    await limit(kit.metadata, Limits(hard_repositories=1))
    with pytest.raises(QuotaExceeded, match="repositories"):
        await Pusher(pusher.registry, OTHER).manifest(index(), "new")
    await limit(kit.metadata, Limits(hard_bytes=before.bytes + 10))
    with pytest.raises(QuotaExceeded):
        await pusher.image("new", b"n" * 4000)
    await limit(kit.metadata, Limits(hard_manifests=1))
    with pytest.raises(QuotaExceeded, match="artifacts"):
        await pusher.manifest(index(), "new")
    assert (await standing(kit.metadata)).counts == before.counts


async def test_a_manifest_that_a_repository_still_has_does_not_help(kit: Kit) -> None:
    """Its project is charged for it once: copies of it in the trash are not emptied for a push that needs room."""
    pusher = with_trash(kit)
    body = await pusher.image("kept", b"layer")
    for name in (OTHER, RepositoryName("team/third")):
        await Pusher(pusher.registry, name).image("old", b"layer")
        await pusher.registry.manifests.delete(name, Digest.of(body), actor=ALICE)
    project, before = await projects.find(kit.metadata, "team"), await standing(kit.metadata)
    assert project is not None
    copies = 2 * (len(body) + len(b"{}") + len(b"layer"))
    assert await trash_usage.find(kit.metadata, project.id) == Counts(full_bytes=copies, manifests=2)
    await limit(kit.metadata, Limits(hard_bytes=before.bytes + 10))
    with pytest.raises(QuotaExceeded):
        await pusher.manifest(index(), "new")
    assert (await standing(kit.metadata)).counts == before.counts


async def test_nothing_goes_where_deleting_is_switched_off(kit: Kit) -> None:
    """Then the trash keeps what it has, and the push is refused."""
    pusher = with_trash(kit)
    old = await pusher.image("old", b"o" * 4000)
    await pusher.registry.manifests.delete(NAME, Digest.of(old), actor=ALICE)
    before = (await standing(kit.metadata)).counts
    await limit(kit.metadata, Limits(hard_bytes=(await standing(kit.metadata)).bytes + 200))
    with pytest.raises(QuotaExceeded):
        await with_trash(kit, deletes=False).image("new", b"n" * 4000)
    assert (await standing(kit.metadata)).counts == before
