"""Manifests that were part of something that went: found, pushed and tagged again before a collection looks at them."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import bindparam, delete, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.contents import manifests, repositories, tags
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import review
from entrepot.metadata.query import Query
from entrepot.metadata.tables import manifest_contents, review_queue, tag_history
from entrepot.metadata.tables import manifests as manifest_table
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestUnknown
from entrepot.oci.reference import Reference, RepositoryName, Tag
from entrepot.registry.service import Registry
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import entry, image, index

_QUEUED = Query(select(review_queue.c.kind, review_queue.c.digest).order_by(review_queue.c.id), "test.queued")
_AFTER = Query(
    select(manifest_table.c.review_after).where(manifest_table.c.digest == bindparam("digest")), "test.review_after"
)
_SET_AFTER = Query(
    update(manifest_table).where(manifest_table.c.digest == bindparam("which")).values(review_after=bindparam("to")),
    "test.set_review_after",
)
_FORGET = Query(delete(manifest_table).where(manifest_table.c.digest == bindparam("digest")), "test.forget_manifest")
_CONTENTS = Query(select(func.count()).select_from(manifest_contents), "test.contents")
_HISTORY = Query(
    select(func.count()).select_from(tag_history).where(tag_history.c.action == bindparam("action")), "test.history"
)


async def _child_of_a_deleted_index(kit: Kit, pusher: Pusher) -> Digest:
    """Push an image and an index of it, and delete the index; the image may be looked at in five microseconds."""
    child = await pusher.image(None, b"layer")
    parent = index(entry(child))
    await pusher.manifest(parent, "multi")
    await pusher.registry.manifests.delete(NAME, Digest.of(parent), actor=ALICE)
    await _set_after(kit, Digest.of(child), 5)
    return Digest.of(child)


async def _set_after(kit: Kit, digest: Digest, time: int) -> None:
    await kit.metadata.write(lambda tx: tx.execute(_SET_AFTER, which=str(digest), to=time))


async def _after(kit: Kit, digest: Digest) -> int | None:
    row = await kit.metadata.one(_AFTER, digest=str(digest))
    assert row is not None
    return None if row[0] is None else int(row[0])


async def test_children_of_what_went_are_queued(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """With the blobs that lost their last manifest, and the files of its own bytes and its signature's."""
    child = await pusher.image(None, b"layer")
    parent = index(entry(child))
    await pusher.manifest(parent, "multi")
    signature = image(b"{}", subject=entry(parent, "application/vnd.oci.image.index.v1+json"))
    await pusher.manifest(signature)
    before = len(await kit.metadata.all(_QUEUED))
    await registry.manifests.delete(NAME, Digest.of(parent), actor=ALICE)
    queued = await kit.metadata.all(_QUEUED)
    files = [(review.FILE, str(Digest.of(body))) for body in (signature, parent)]
    assert queued[before:] == [(review.BLOB, None), files[0], (review.MANIFEST, None), files[1]]
    after = await _after(kit, Digest.of(child))
    assert after is not None
    assert clock.after(3000) < after < clock.after(3700)


@pytest.mark.parametrize("content", [False, True])
async def test_whoever_finds_a_queued_manifest_renews_its_grace(
    kit: Kit, pusher: Pusher, registry: Registry, *, content: bool
) -> None:
    """A HEAD and a GET alike; by one statement until half of the grace is over."""
    digest = await _child_of_a_deleted_index(kit, pusher)
    await registry.manifests.get(NAME, digest, content=content)
    after = await _after(kit, digest)
    assert after is not None
    assert after > clock.after(3000)
    before = kit.metadata.statistics
    await registry.manifests.get(NAME, digest, content=False)
    assert kit.metadata.statistics.transactions == before.transactions
    assert kit.metadata.statistics.statements <= before.statements + 1


async def test_a_queued_manifest_that_goes_while_somebody_asks_for_it_is_unknown(
    kit: Kit, pusher: Pusher, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told that it is there after it went."""
    digest = await _child_of_a_deleted_index(kit, pusher)
    real = manifests.renew

    async def remove_then_renew(tx: Transaction, manifest_id: int, *, review_after: int) -> bool:
        await manifests.drop_references(tx, manifest_id)
        await tx.execute(_FORGET, digest=str(digest))
        return await real(tx, manifest_id, review_after=review_after)

    monkeypatch.setattr(manifests, "renew", remove_then_renew)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(NAME, digest, content=False)


@pytest.mark.parametrize("how", ["by digest", "by tag", "one more tag"])
async def test_what_is_pushed_or_tagged_again_stands_for_itself(
    kit: Kit, pusher: Pusher, registry: Registry, how: str
) -> None:
    """Nothing takes it any more for what it once belonged to, also when its tag goes again."""
    digest = await _child_of_a_deleted_index(kit, pusher)
    if how == "one more tag":
        assert await registry.manifests.add_tag(NAME, digest, Tag.parse("v1"), actor=ALICE)
    else:
        await pusher.manifest(image(b"{}", b"layer"), "v1" if how == "by tag" else None)
    assert await _after(kit, digest) is None
    if how != "by digest":
        await registry.manifests.delete(NAME, Tag.parse("v1"), actor=ALICE)
    assert await _after(kit, digest) is None


async def test_a_manifest_found_by_its_tag_is_renewed_too(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """The tag may go before the push that relies on it."""
    body = await pusher.image("v1", b"layer")
    reference: Reference = Tag.parse("v1")
    await _set_after(kit, Digest.of(body), 5)
    await registry.manifests.get(NAME, reference, content=False)
    after = await _after(kit, Digest.of(body))
    assert after is not None
    assert after > clock.now()


async def test_deleting_takes_as_many_statements_with_a_thousand_tags_referrers_and_children(
    kit: Kit, sparse_registry: Registry
) -> None:
    """R18: whatever points at a manifest, and whatever it points at, deleting it asks the database as often.

    Twenty referrers go at once, the others are queued.
    """
    pusher = Pusher(sparse_registry)
    counts = []
    for number in (50, 1000):
        children = [image(b"{}", annotations={"child": f"{number}.{one}"}) for one in range(number)]
        await pusher.blob(b"{}")
        for child in children[:20]:
            await pusher.manifest(child)
        body = index(*(entry(child) for child in children))
        await pusher.manifest(body, *(f"t{number}.{one}" for one in range(min(number, 100))))
        await _tag_and_refer(kit, body, number)
        before = kit.metadata.statistics.statements
        await sparse_registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
        counts.append(kit.metadata.statistics.statements - before)
        assert await kit.metadata.one(_HISTORY, action="deleted") == (number + 50 * (number > 50),)
    assert counts[0] == counts[1] < 40 + 20 * 20


async def _tag_and_refer(kit: Kit, body: bytes, number: int) -> None:
    """Give a manifest the rest of its tags, and referrers, by inserting them."""

    async def work(tx: Transaction) -> None:
        repository = await repositories.find(tx, NAME)
        assert repository is not None
        row = await manifests.locked(tx, repository.id, str(Digest.of(body)))
        assert row is not None
        await tags.put(tx, repository.id, [f"t{number}.{one}" for one in range(number)], row.id)
        for one in range(number):
            raw = image(b"{}", annotations={"referrer": f"{number}.{one}"})
            await manifests.add(
                tx,
                repository.id,
                digest=str(Digest.of(raw)),
                media_type="application/vnd.oci.image.manifest.v1+json",
                artifact_type=None,
                raw=raw,
                subject=str(Digest.of(body)),
                annotations={},
            )

    await kit.metadata.write(work)


async def test_equal_manifests_pushed_and_deleted_at_once_in_two_repositories(kit: Kit, registry: Registry) -> None:
    """The bytes are shared: whoever deletes the last one takes them along, and whoever pushes has them."""
    names = [RepositoryName.parse(f"team/r{number}") for number in range(4)]
    body = image(b"{}")
    for name in names:
        await Pusher(registry, name).blob(b"{}")

    async def push_and_delete(name: RepositoryName) -> None:
        for _ in range(10):
            await Pusher(registry, name).manifest(body, "v1")
            found = await registry.manifests.get(name, Digest.of(body), content=False)
            assert found.digest == Digest.of(body)
            assert await manifests.content(kit.metadata, str(Digest.of(body))) == body
            await registry.manifests.delete(name, Digest.of(body), actor=ALICE)

    await asyncio.gather(*map(push_and_delete, names))
    assert await kit.metadata.one(_CONTENTS) == (0,)
