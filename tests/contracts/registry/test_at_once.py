"""What happens at the same moment on PostgreSQL, where a transaction that waited sees what was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from entrepot.metadata.database import Transaction
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestBlobUnknown
from entrepot.oci.reference import Tag
from entrepot.registry.push import Push
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import image

LAYER = Digest.of(b"layer")
_STAY = RawQuery("SELECT pg_sleep(0.5)")


Slowly = Callable[[Callable[[Transaction], Awaitable[object]]], Awaitable[asyncio.Task[None]]]


@pytest.fixture
def slowly(kit: Kit) -> Slowly:
    """Do something in a transaction that stays open for a while."""
    if kit.metadata.dialect != "postgresql":
        pytest.skip("SQLite has one writer")

    async def begin(work: Callable[[Transaction], Awaitable[object]]) -> asyncio.Task[None]:
        async def slow(tx: Transaction) -> None:
            await work(tx)
            await tx.one(_STAY)

        task = asyncio.create_task(kit.metadata.write(slow))
        await asyncio.sleep(0.2)
        return task

    return begin


async def test_a_manifest_is_refused_whose_blob_is_just_being_deleted(kit: Kit, slowly: Slowly) -> None:
    """A push that waits for the end of a deletion sees that the repository does not hold the layer any more."""
    registry = kit.registry()
    pusher = Pusher(registry)
    await pusher.blob(b"{}")
    await pusher.blob(b"layer")
    deletion = await slowly(lambda tx: registry.blobs._delete(NAME, LAYER, ALICE, tx))
    with pytest.raises(ManifestBlobUnknown):
        await pusher.manifest(image(b"{}", b"layer"), "v1")
    await deletion


async def test_a_tag_that_is_just_moved_outlives_its_old_manifest(kit: Kit, slowly: Slowly) -> None:
    """Who deletes a manifest takes along the tags that point at it then, not one that was moved away meanwhile."""
    registry = kit.registry()
    pusher = Pusher(registry)
    tag = Tag.parse("v1")
    first = Digest.of(await pusher.image("v1", b"first"))
    body = await pusher.image("v2", b"second")
    parsed = registry.manifests._parse(tag, None, body)
    push = Push(name=NAME, manifest=parsed, tags=(tag,), actor=ALICE, settings=registry.manifests.settings)
    move = await slowly(push.run)
    await registry.manifests.delete(NAME, first, actor=ALICE)
    await move
    assert (await registry.manifests.get(NAME, tag, content=False)).digest == Digest.of(body)
