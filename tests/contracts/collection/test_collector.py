"""What a collection takes away and what it leaves, the same over every database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import bindparam, update

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.manifest_removal import following
from entrepot.lifecycle.collection.model import CollectionLimits, CollectionOff, NoLinks, Tally
from entrepot.metadata import events
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.contents import manifests as manifest_rows
from entrepot.metadata.contents import repositories, repository_blobs
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox_rounds import Round
from entrepot.metadata.lifecycle import review
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.tables import blobs
from entrepot.metadata.usage.usage import Counts, Limits
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, ManifestUnknown, Unavailable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.collection.conftest import GRACE, House
from tests.contracts.quota.test_usage import limit, standing
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import entry, image, index

_SET = Query(
    update(blobs)
    .where(blobs.c.digest == bindparam("which"))
    .values(state=bindparam("becomes"), generation=blobs.c.generation + 1),
    "test.collection.set",
)
_FORGET_TIME = Query(
    update(blobs).where(blobs.c.digest == bindparam("which")).values(review_after=None), "test.collection.forget_time"
)


async def _delete(house: House, body: bytes) -> None:
    await house.registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)


async def test_a_blob_that_no_manifest_ever_needed_goes_after_its_grace(house: House) -> None:
    """Not before; and nothing of it is left: row, bytes, its place in the repository, its entry in the queue."""
    await house.pusher.blob(b"loose")
    assert await house.collect() == Tally()
    house.clock.advance(GRACE + 1)
    assert await house.collect() == Tally(reviewed=1, blobs=1, freed_bytes=5)
    assert await house.blob(b"loose") is None
    assert await house.keys() == set()
    assert [await house.count(table) for table in ("repository_blobs", "review_queue")] == [0, 0]
    topics = [entry.topic for entry in await outbox.oldest(house.kit.metadata, 9)]
    assert topics == [outbox.BLOB_LINKED, outbox.BLOB_UNLINKED]
    with pytest.raises(BlobUnknown):
        await house.registry.blobs.stat(NAME, Digest.of(b"loose"))


async def test_a_collected_blob_is_no_longer_charged(house: House) -> None:
    """What was reserved for it ends with it, though nobody pushed a manifest that would have looked."""
    await limit(house.kit.metadata, Limits(hard_bytes=1000))
    await house.pusher.blob(b"loose")
    assert (await standing(house.kit.metadata)).counts == Counts(reserved_bytes=5)
    house.clock.advance(GRACE + 1)
    await house.collect()
    assert (await standing(house.kit.metadata)).counts == Counts()


async def test_what_manifests_need_stays(house: House) -> None:
    """Tagged or not; the entries of their pushes are all that goes."""
    await house.pusher.image("v1", b"one")
    await house.pusher.image(None, b"two")
    before = await house.keys()
    tally = await house.collect_until_nothing_is_left()
    assert (tally.manifests, tally.blobs, tally.files) == (0, 0, 0)
    assert await house.keys() == before
    assert await house.count("review_queue") == 0
    row = await house.blob(b"one")
    assert row is not None
    assert (row.state, row.review_after) == (blob_rows.LIVE, None)


async def test_a_deleted_image_takes_its_own_layers_along_and_no_others(house: House) -> None:
    """With the bytes of the manifest itself, which lie among the blobs for registry:2."""
    first = await house.pusher.image("v1", b"one", b"shared")
    await house.pusher.image("v2", b"two", b"shared")
    await _write_manifest_file(house, first)
    await _delete(house, first)
    assert await house.collect() == Tally()
    house.clock.advance(GRACE + 1)
    tally = await house.collect()
    assert (tally.blobs, tally.files, tally.freed_bytes) == (1, 1, len(b"one") + len(first))
    assert await house.keys() == {str(Digest.of(content)) for content in (b"two", b"shared", b"{}")}


async def _write_manifest_file(house: House, body: bytes) -> None:
    """Put a manifest's bytes where the projection puts them."""
    key = str(Digest.of(body))
    house.store._blobs[key] = body
    house.store._placed_at[key] = 0


async def test_an_index_takes_its_images_along_in_their_turn(house: House) -> None:
    """First the images, after a grace; then, after another, their layers."""
    child = await house.pusher.image(None, b"layer")
    parent = index(entry(child))
    await house.pusher.manifest(parent, "multi")
    signature = image(b"{}", b"signature", subject=entry(child))
    await house.pusher.blob(b"signature")
    await house.pusher.manifest(signature)
    await _delete(house, parent)
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).manifests == 2
    for gone in (child, signature):
        with pytest.raises(ManifestUnknown):
            await house.registry.manifests.get(NAME, Digest.of(gone), content=False)
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 3
    assert await house.keys() == set()
    assert [await house.count(table) for table in ("manifests", "manifest_contents", "blobs", "review_queue")] == [
        0
    ] * 4


@pytest.mark.parametrize("reason", ["tag", "another index", "subject is back", "pushed again"])
async def test_what_is_needed_otherwise_stays_when_its_index_goes(house: House, reason: str) -> None:
    """A tag, another index, its subject, or that somebody pushed it for itself."""
    child = await house.pusher.image(None, b"layer")
    parent = index(entry(child))
    part, whole = child, parent
    if reason == "subject is back":
        whole = await house.pusher.image("subject", b"subject")
        parts = [image(b"{}", b"layer", subject=entry(whole), annotations={"n": str(n)}) for n in range(25)]
        for each in parts:
            await house.pusher.manifest(each)
        part = max(parts, key=lambda each: str(Digest.of(each)))  # more than go at once with it
    else:
        await house.pusher.manifest(parent, "multi")
    if reason == "tag":
        await house.registry.manifests.add_tag(NAME, Digest.of(child), Tag.parse("v1"), actor=ALICE)
    if reason == "another index":
        await house.pusher.manifest(index(entry(child), annotations={"other": "yes"}), "other")
    await _delete(house, whole)
    if reason == "subject is back":
        await house.pusher.manifest(whole, "subject")
    if reason == "pushed again":
        await house.pusher.manifest(child)
    await house.collect_until_nothing_is_left()
    assert (await house.registry.manifests.get(NAME, Digest.of(part), content=True)).content == part
    assert (await house.registry.blobs.get(NAME, Digest.of(b"layer"))).size == 5


async def test_an_image_that_is_needed_again_waits_for_nothing_any_more(house: House) -> None:
    """Another index lists it: the collection forgets that its first one went, and says so when asked why it stays."""
    child = await house.pusher.image(None, b"layer")
    await house.pusher.manifest(index(entry(child)), "multi")
    await house.pusher.manifest(index(entry(child), annotations={"other": "yes"}), "other")
    await _delete(house, index(entry(child)))
    queued = await manifest_rows.by_digest(house.kit.metadata, NAME, str(Digest.of(child)))
    assert queued is not None
    assert queued.review_after is not None
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).manifests == 0
    settled = await manifest_rows.by_digest(house.kit.metadata, NAME, str(Digest.of(child)))
    assert settled is not None
    assert settled.review_after is None
    assert await house.count("review_queue") == 0


async def test_referrers_that_came_before_their_subject_stay(house: House) -> None:
    """Nothing that they belonged to has gone."""
    body = image(b"{}", subject=entry(b"not here yet"))
    await house.pusher.blob(b"{}")
    await house.pusher.manifest(body)
    await house.collect_until_nothing_is_left()
    assert (await house.registry.manifests.get(NAME, Digest.of(body), content=False)).size == len(body)


async def test_an_image_that_somebody_found_stays_for_the_push_that_relies_on_it(house: House) -> None:
    """A HEAD of an image whose index went, shortly before its time is over; then an index of it is pushed."""
    child = await house.pusher.image(None, b"layer")
    await house.pusher.manifest(index(entry(child)), "multi")
    await _delete(house, index(entry(child)))
    house.clock.advance(GRACE - 1)
    await house.registry.manifests.get(NAME, Digest.of(child), content=False)
    house.clock.advance(GRACE / 2)
    assert (await house.collect()).manifests == 0
    again = index(entry(child), annotations={"again": "yes"})
    await house.pusher.manifest(again, "again")
    await house.collect_until_nothing_is_left()
    assert (await house.registry.manifests.get(NAME, Digest.of(child), content=True)).content == child
    assert (await house.registry.blobs.get(NAME, Digest.of(b"layer"))).size == 5


@pytest.mark.parametrize("how", ["head", "mount", "push", "manifest"])
async def test_whoever_relies_on_a_queued_blob_keeps_it(house: House, how: str) -> None:
    """Half a grace later it is still there; and it goes when nobody comes back to it."""
    await house.pusher.image("keep", b"keep")
    await house.pusher.blob(b"layer")
    house.clock.advance(GRACE - 1)
    other = RepositoryName.parse("team/other")
    if how == "head":
        await house.registry.blobs.stat(NAME, Digest.of(b"layer"))
    elif how == "mount":
        await house.registry.blobs.mount(other, Digest.of(b"layer"), NAME, actor=ALICE)
    elif how == "push":
        await Pusher(house.registry, other).blob(b"layer")
    else:
        await house.pusher.manifest(image(b"{}", b"layer"))
    house.clock.advance(GRACE / 2)
    assert (await house.collect()).blobs == 0
    row = await house.blob(b"layer")
    assert row is not None
    assert (row.review_after is None) == (how == "manifest")
    await house.collect_until_nothing_is_left()
    assert (await house.blob(b"layer") is None) == (how != "manifest")


@pytest.mark.parametrize("state", [blob_rows.MARKED, blob_rows.DELETING])
async def test_the_next_collector_finishes_what_a_dead_one_began(house: House, state: str) -> None:
    """Whatever of the bytes was still there."""
    for content in (b"there", b"gone"):
        await house.pusher.blob(content)
        digest = str(Digest.of(content))
        await house.kit.metadata.write(partial(_set_state, digest, state))
    await house.store.delete(str(Digest.of(b"gone")))
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 2
    assert await house.keys() == set()
    assert [await house.count(table) for table in ("blobs", "repository_blobs", "review_queue")] == [0, 0, 0]


async def _set_state(digest: str, state: str, tx: Transaction) -> int:
    return await tx.execute(_SET, which=digest, becomes=state)


async def test_a_push_goes_on_when_the_next_collector_has_finished(house: House) -> None:
    """It waits for the row to go, and stores the bytes anew."""
    await house.pusher.blob(b"layer")
    await house.kit.metadata.write(partial(_set_state, str(Digest.of(b"layer")), blob_rows.DELETING))
    house.clock.advance(GRACE + 1)
    waiting = asyncio.ensure_future(house.pusher.blob(b"layer"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await house.collect()
    record = await waiting
    assert (await house.store.stat(record.key)).size == 5


async def test_a_blob_without_its_bytes_goes_too(house: House) -> None:
    """It is never shown to anybody on its way, and its place in the repository goes with it."""
    body = await house.pusher.image("v1", b"layer")
    await house.store.delete(str(Digest.of(b"layer")))
    await house.kit.metadata.write(partial(_set_state, str(Digest.of(b"layer")), blob_rows.MISSING))
    await _delete(house, body)
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 2
    assert await house.count("blobs") == 0


async def test_a_blob_whose_last_reference_went_unnoticed_gets_its_grace_first(house: House) -> None:
    """Two deletes at once each saw the other's manifest: nobody noted the time, and a HEAD did not renew it."""
    body = await house.pusher.image("v1", b"layer")
    await _delete(house, body)
    digest = str(Digest.of(b"layer"))
    await house.kit.metadata.write(lambda tx: tx.execute(_FORGET_TIME, which=digest))
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 1  # the config
    await house.registry.blobs.stat(NAME, Digest.of(b"layer"))
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 1


async def test_a_blob_that_is_needed_again_unnoticed_is_settled(house: House) -> None:
    """Its time is forgotten, so that reads need not renew it; a mark left by a dead collector goes."""
    await house.pusher.image("v1", b"layer")
    row = await house.blob(b"layer")
    assert row is not None
    await house.kit.metadata.write(partial(_set_state, row.digest, blob_rows.MARKED))
    await house.kit.metadata.write(lambda tx: review.add(tx, review.BLOB, [row.id], after=5, reason="test"))
    await house.collect()
    settled = await house.blob(b"layer")
    assert settled is not None
    assert (settled.state, settled.review_after) == (blob_rows.LIVE, None)


async def test_bytes_that_the_store_will_not_delete_are_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go; a minute later the rest does."""
    for content in (b"good", b"stuck"):
        await house.pusher.blob(content)
    house.clock.advance(GRACE + 1)
    real = MemoryBlobStore.delete

    async def refuse(store: MemoryBlobStore, key: str) -> None:
        if key == str(Digest.of(b"stuck")):
            raise Unavailable(30, "the blob storage failed: Input/output error")
        await real(store, key)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryBlobStore, "delete", refuse)
        tally = await house.collect()
    assert (tally.blobs, tally.failed, tally.freed_bytes) == (1, 1, 4)
    with pytest.raises(BlobUnknown):
        await house.registry.blobs.stat(NAME, Digest.of(b"stuck"))
    assert (await house.collect()).blobs == 0
    house.clock.advance(61)
    assert (await house.collect()).blobs == 1
    assert await house.keys() == set()


async def test_bytes_that_a_blob_of_another_digest_uses_stay(house: House) -> None:
    """registry:2 keeps what was pushed by sha512 under its sha256; whichever of the two goes last takes the bytes."""
    canonical, alias = str(Digest.of(b"layer")), str(Digest.of(b"layer", "sha512"))
    await house.pusher.blob(b"layer")

    async def adopt(tx: Transaction) -> None:
        row_id = await blob_rows.put(tx, alias, size=5, storage_key=canonical, review_after=None, verified=False)
        repository = await repositories.find(tx, NAME)
        assert repository is not None
        assert row_id is not None
        await repository_blobs.link(tx, repository.id, row_id)

    await house.kit.metadata.write(adopt)
    house.clock.advance(GRACE + 1)
    tally = await house.collect()
    assert (tally.blobs, tally.freed_bytes) == (1, 0)
    assert await house.keys() == {canonical}
    await house.registry.blobs.delete(NAME, Digest.of(b"layer", "sha512"), actor=ALICE)
    house.clock.advance(GRACE + 1)
    tally = await house.collect_until_nothing_is_left()
    assert (tally.blobs, tally.files) == (1, 1)
    assert await house.keys() == set()


async def test_bytes_that_are_a_manifest_too_stay(house: House) -> None:
    """Somebody pushed a manifest's bytes as a blob: the blob goes, the manifest's file stays."""
    body = await house.pusher.image("v1", b"layer")
    await house.pusher.blob(body)
    house.clock.advance(GRACE + 1)
    tally = await house.collect()
    assert (tally.blobs, tally.freed_bytes) == (1, 0)
    assert str(Digest.of(body)) in await house.keys()
    assert await house.blob(body) is None


async def test_a_manifest_that_is_pushed_while_its_old_bytes_go_gets_its_file_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the projection came by, the file was there; so it has to come by again."""
    body = await house.pusher.image("v1", b"layer")
    await house.pusher.image("v2", b"layer", b"more")
    await _write_manifest_file(house, body)
    await _delete(house, body)
    house.clock.advance(GRACE + 1)
    real = MemoryBlobStore.delete

    async def push_then_delete(store: MemoryBlobStore, key: str) -> None:
        await house.pusher.manifest(body, "v1")
        await Round(house.kit.metadata, []).batch()
        await real(store, key)

    monkeypatch.setattr(MemoryBlobStore, "delete", push_then_delete)
    assert (await house.collect()).files == 1
    (left,) = await outbox.oldest(house.kit.metadata, 9)
    assert (left.topic, left.payload["digest"]) == (outbox.MANIFEST_PUT, str(Digest.of(body)))


async def test_registry2s_links_go_before_the_bytes(house: House) -> None:
    """What the outbox asks for is written, up to the last of the blobs' places in repositories."""
    await house.pusher.blob(b"layer")
    house.clock.advance(GRACE + 1)
    seen: list[tuple[int, set[str]]] = []

    class Files:
        async def catch_up(self, upto: int) -> None:
            seen.append((upto, await house.keys()))

    await house.collect(links=Files())
    entries = await outbox.oldest(house.kit.metadata, 9)
    assert seen == [(one.id, {str(Digest.of(b"layer"))}) for one in (entries[-2], entries[-1])]
    assert entries[-1].topic == outbox.BLOB_UNLINKED


async def test_links_that_show_another_registry_keep_everything_unclaimed(house: House) -> None:
    """They are looked at before a claim: a push of a blob that is claimed would wait for as long as nothing goes."""
    await house.pusher.blob(b"layer")
    house.clock.advance(GRACE + 1)
    reasons: list[str] = []

    class Files:
        async def catch_up(self, upto: int) -> None:
            reasons.append("another registry has written to the folder")

    async def gate() -> str | None:
        return reasons[0] if reasons else None

    with pytest.raises(CollectionOff):
        await house.collect(links=Files(), gate=gate)
    assert str(Digest.of(b"layer")) in await house.keys()
    await house.pusher.blob(b"layer")


async def test_a_blob_of_very_many_repositories_is_taken_out_of_some_at_a_time(house: House) -> None:
    """No transaction is as large as the registry."""
    for number in range(7):
        await Pusher(house.registry, RepositoryName.parse(f"team/r{number}")).blob(b"layer")
    house.clock.advance(GRACE + 1)
    before = house.kit.metadata.statistics.transactions
    await house.collect(limits=CollectionLimits(links=3))
    assert house.kit.metadata.statistics.transactions - before == 2 + 3 + 1
    assert await house.count("repository_blobs") == 0


async def test_nothing_is_collected_while_the_gate_is_closed(house: House) -> None:
    """In maintenance, or while a folder is adopted; it closes also in the middle, between two batches."""
    for number in range(4):
        await house.pusher.blob(b"%d" % number)
    house.clock.advance(GRACE + 1)
    answers = iter([None, None, "the registry is read-only", "the registry is read-only"])  # asked twice by a batch

    async def gate() -> str | None:
        return next(answers)

    with pytest.raises(CollectionOff, match="read-only"):
        await house.collect(gate=gate, limits=CollectionLimits(blobs=2))
    assert len(await house.keys()) == 2
    with pytest.raises(CollectionOff):
        await house.collect(gate=gate)
    assert (await house.collect()).blobs == 2


async def test_a_collection_ends_when_it_is_asked_to_and_goes_on_later(house: House) -> None:
    """Between two batches; what it has done is known."""
    for number in range(6):
        await house.pusher.blob(b"%d" % number)
    house.clock.advance(GRACE + 1)
    steps: list[tuple[int, int | None]] = []

    class Ending(Unwatched):
        async def step(self, done: int, total: int | None = None) -> None:
            steps.append((done, total))
            if done >= 4:
                raise Stopped

    tally = Tally()
    work = replace(house.work, limits=CollectionLimits(blobs=2))
    with pytest.raises(Stopped):
        await Collector(work).run(Ending(), tally)
    assert steps == [(0, 6), (2, 6), (4, 6)]
    assert tally.blobs == 4
    assert (await house.collect()).blobs == 2


async def test_a_rate_is_kept(house: House) -> None:
    """So many blobs a second, and no more."""
    for number in range(6):
        await house.pusher.blob(b"%d" % number)
    house.clock.advance(GRACE + 1)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await house.collect(limits=CollectionLimits(rate=20.0))).blobs == 6
    assert loop.time() - begun >= 6 / 20


async def test_collecting_costs_what_is_collected(house: House) -> None:
    """The same statements among ten images and among two hundred."""
    costs = []
    for stored in (10, 200):
        for number in range(stored):
            await house.pusher.image(f"s{stored}-{number}", b"%d-%d" % (stored, number))
        await house.collect_until_nothing_is_left()
        for number in range(3):
            body = await house.pusher.image(f"d{stored}-{number}", b"deleted %d-%d" % (stored, number))
            await _delete(house, body)
        house.clock.advance(GRACE + 1)
        before = house.kit.metadata.statistics.statements
        assert (await house.collect()).blobs == 3
        costs.append(house.kit.metadata.statistics.statements - before)
    assert costs[0] == costs[1]


async def test_a_batch_costs_the_same_statements_however_many_images_it_takes_away(house: House) -> None:
    """What is claimed is taken out of its repositories, and links follow, by one statement for all."""
    costs = []
    for deleted in (2, 12):
        for number in range(deleted):
            await _delete(house, await house.pusher.image(f"d{number}", b"%d of %d" % (number, deleted)))
        house.clock.advance(GRACE + 1)
        before = house.kit.metadata.statistics.statements
        assert (await house.collect()).blobs == deleted + 1  # with the configuration that they share
        costs.append(house.kit.metadata.statistics.statements - before)
    assert costs[0] == costs[1]


async def test_the_audit_log_says_what_went_with_its_index(house: House) -> None:
    """By whom: the collection."""
    child = await house.pusher.image(None, b"layer")
    await house.pusher.manifest(index(entry(child)), "multi")
    await _delete(house, index(entry(child)))
    house.clock.advance(GRACE + 1)
    await house.collect()
    rows = await house.kit.metadata.all(RawQuery("SELECT kind, actor, digest FROM events ORDER BY id DESC LIMIT 1"))
    assert rows == [(events.DELETE, "collection", str(Digest.of(child)))]


async def test_while_deleting_is_switched_off_no_image_follows_its_index(house: House) -> None:
    """It waits, and follows when deleting is switched on again."""
    child = await house.pusher.image(None, b"one")
    body = index(entry(child))
    await house.pusher.manifest(body, "multi")
    await house.registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    off = following(RegistrySettings(grace_seconds=GRACE, delete_enabled=False))
    for _ in range(2):
        house.clock.advance(GRACE + 1)
        assert (await house.collect(leave=off)).manifests == 0
    assert await house.registry.manifests.get(NAME, Digest.of(child), content=False)
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).manifests == 1


async def test_a_collector_that_stood_still_deletes_nothing_that_was_pushed_since(house: House) -> None:
    """Its turn was given to another one, which came to the end of it; the same bytes were pushed after that."""
    await house.pusher.blob(b"layer")
    house.clock.advance(GRACE + 1)

    class StoodStill(NoLinks):
        async def catch_up(self, upto: int) -> None:
            del upto
            row = await house.blob(b"layer")
            if row is not None and row.state == blob_rows.DELETING:
                assert (await house.collect()).blobs == 1
                await house.pusher.image("v1", b"layer")

    await house.collect(links=StoodStill())
    row = await house.blob(b"layer")
    assert row is not None
    assert row.state == blob_rows.LIVE
    assert row.storage_key in await house.keys()
