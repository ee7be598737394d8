"""Collection over a store of objects: keys are used once, so nobody waits, and what nobody knows goes after a day."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.jobs.upload_purge import Strays, UploadPurging
from entrepot.lifecycle.collection.model import CollectionLimits
from entrepot.lifecycle.collection.orphans import Orphans
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.contents import upload_sessions
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadUnknown, DigestInvalid, Unavailable, UploadRangeInvalid
from entrepot.registry.model import BlobRecord
from entrepot.registry.ports import UploadProgress
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.service import Registry
from entrepot.registry.uploads import Uploads, _Copy
from entrepot.telemetry.progress import Unwatched
from tests.contracts.collection.conftest import GRACE, Clock, House, collecting_in
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, OWNER, pieces
from tests.support.memory_cloud import MemoryCloud

DAY = 24 * 3600.0
MIB = 1 << 20


@dataclass(slots=True)
class SlowCloud(MemoryCloud):
    """A cloud whose deletes wait until a test lets them go on."""

    may_delete: asyncio.Event = field(default_factory=asyncio.Event)
    deletes: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, operation: str) -> None:
        """Wait before a delete."""
        self.asked.append(operation)
        if operation == "delete":
            self.deletes.set()
            await self.may_delete.wait()


@pytest.fixture
def cloud() -> SlowCloud:
    """Give a bucket, whose deletes are as quick as others."""
    made = SlowCloud()
    made.may_delete.set()
    return made


@pytest.fixture
def house(kit: Kit, cloud: SlowCloud, monkeypatch: pytest.MonkeyPatch) -> House:
    """A registry over it."""
    over = replace(kit, store=ObjectBlobStore(cloud, calls=Calls(pause=0.001)))
    work = replace(collecting_in(over), limits=CollectionLimits(deletes=1000))
    return House(over, Clock(monkeypatch), work)


async def certain() -> str | None:
    """Have no doubt about the clock."""
    return None


def purging(house: House) -> UploadPurging:
    """Give the job that looks after uploads."""
    store = house.kit.store
    assert isinstance(store, ObjectBlobStore)
    return UploadPurging(
        metadata=house.kit.metadata,
        work=house.kit.work,
        store=store,
        read_only=lambda: False,
        age=7 * DAY,
        doubt=certain,
        strays=Strays(metadata=house.kit.metadata, work=house.kit.work, store=store),
    )


async def strays(house: House) -> int:
    """Remove what nobody knows."""
    found = purging(house).strays
    assert found is not None
    return await found.purge(Unwatched())


async def test_blobs_go_together(house: House, cloud: SlowCloud) -> None:
    """What a collection takes away at a time is one request to the store."""
    for number in range(30):
        await house.pusher.blob(b"%d" % number)
    cloud.asked.clear()
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 30
    assert cloud.asked == ["delete"]
    assert cloud.objects == {}


async def test_a_push_does_not_wait_for_a_deletion(house: House, cloud: SlowCloud) -> None:
    """It brings a new key while the old object is being deleted; the row, its links and the new object stay."""
    await house.pusher.blob(b"layer")
    before = await house.blob(b"layer")
    assert before is not None
    house.clock.advance(GRACE + 1)
    cloud.may_delete.clear()
    cloud.deletes.clear()
    collection = asyncio.create_task(house.collect())
    await cloud.deletes.wait()
    await house.pusher.image("v1", b"layer")
    cloud.may_delete.set()
    await collection
    after = await house.blob(b"layer")
    assert after is not None
    assert (after.id, after.state) == (before.id, blob_rows.LIVE)
    assert after.storage_key != before.storage_key
    assert before.storage_key not in cloud.objects
    assert cloud.objects[after.storage_key] == b"layer"
    found = await house.registry.blobs.get(NAME, Digest.of(b"layer"))
    assert found.key == after.storage_key
    await house.collect_until_nothing_is_left()
    assert after.storage_key in cloud.objects


async def test_a_pushed_copy_of_a_known_blob_is_dropped(house: House, cloud: SlowCloud) -> None:
    """A second push of the same bytes leaves one object."""
    await house.pusher.blob(b"layer")
    first = set(cloud.objects)
    await house.pusher.blob(b"layer")
    assert set(cloud.objects) == first


async def test_a_lost_object_is_found_by_the_listing(house: House, cloud: SlowCloud) -> None:
    """A blob whose object went goes out of sight, and a push of it heals it; the others cost no request each."""
    for number in range(20):
        await house.pusher.blob(b"%d" % number)
    row = await house.blob(b"7")
    last = max(
        [await house.blob(b"%d" % number) for number in range(20)], key=lambda one: one.storage_key if one else ""
    )
    assert row is not None
    assert last is not None
    for lost in {row.storage_key, last.storage_key}:
        del cloud.objects[lost]
    cloud.asked.clear()
    orphans = Orphans(house.work, Quarantine(house.kit.metadata, house.kit.store, lambda: False))
    tally = await orphans.run(Unwatched())
    assert (tally.missing, tally.files) == (len({row.id, last.id}), 0)
    assert cloud.asked.count("describe") <= 2 * tally.missing
    assert (await house.blob(b"7")).state == blob_rows.MISSING  # type: ignore[union-attr]
    await house.pusher.blob(b"7")
    assert (await house.blob(b"7")).state == blob_rows.LIVE  # type: ignore[union-attr]


async def test_strays_go_after_a_day(house: House, cloud: SlowCloud) -> None:
    """Objects and parts of dead processes go; blobs, open uploads and what is younger stay."""
    registry = house.registry
    await house.pusher.image("v1", b"layer")
    small = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await registry.uploads.append(NAME, small.id, pieces(b"begun"), principal=OWNER)
    large = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await registry.uploads.append(NAME, large.id, pieces(*[b"x" * MIB] * 20), principal=OWNER)
    kept, open_parts = set(cloud.objects), set(cloud.multiparts)
    store = house.kit.store
    dead = await store.append(
        "dead", pieces(b"bytes"), offset=0, algorithm="sha256", known=await store.start_upload("dead")
    )
    await store.append(
        "deader", pieces(*[b"y" * MIB] * 20), offset=0, algorithm="sha256", known=await store.start_upload("x")
    )
    assert dead.offset == 5
    assert len(cloud.objects) == len(kept) + 1
    assert await strays(house) == 0
    house.clock.advance(DAY + 60)
    assert await strays(house) == 2
    assert (set(cloud.objects), set(cloud.multiparts)) == (kept, open_parts)
    digest = Digest.of(b"begun")
    await registry.uploads.complete(NAME, small.id, digest, principal=OWNER, actor=ALICE)
    house.clock.advance(DAY + 60)
    assert await strays(house) == 0
    assert (await registry.blobs.get(NAME, digest)).key in cloud.objects


async def test_abandoned_uploads_go_with_all_they_have(house: House, cloud: SlowCloud) -> None:
    """After the time that is set; one that its client goes on with stays."""
    registry = house.registry
    for size in (1, 20):
        session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
        await registry.uploads.append(NAME, session.id, pieces(*[b"x" * MIB] * size), principal=OWNER)
    house.clock.advance(7 * DAY - 60)
    used = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await registry.uploads.append(NAME, used.id, pieces(b"still here"), principal=OWNER)
    house.clock.advance(120)
    assert await purging(house).purge(Unwatched()) == 2
    assert not cloud.multiparts
    assert list(cloud.objects.values()) == [b"still here"]
    await registry.uploads.complete(NAME, used.id, Digest.of(b"still here"), principal=OWNER, actor=ALICE)


async def test_a_session_that_ends_while_it_is_written_to_leaves_nothing(house: House, cloud: SlowCloud) -> None:
    """Whoever is appending is told that it is gone, and takes along what it has put there."""
    registry = house.registry
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * MIB
        begun.set()
        await goes_on.wait()
        yield b"last"

    task = asyncio.create_task(registry.uploads.append(NAME, session.id, body(), principal=OWNER))
    await begun.wait()
    await registry.uploads.cancel(NAME, session.id, principal=OWNER)
    goes_on.set()
    with pytest.raises(BlobUploadUnknown):
        await task
    assert not cloud.objects
    assert not cloud.multiparts


async def test_an_upload_broken_off_goes_on_elsewhere(house: House, cloud: SlowCloud) -> None:
    """When a client goes away in the middle, what it sent is kept in the row for every node."""
    registry, data = house.registry, random.Random(1).randbytes(22 * MIB)
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)

    async def broken() -> AsyncIterator[bytes]:
        for start in range(0, 20 * MIB, MIB):
            yield data[start : start + MIB]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await registry.uploads.append(NAME, session.id, broken(), principal=OWNER)
    node = replace(house.kit, store=ObjectBlobStore(cloud)).registry(grace_seconds=GRACE)
    offset = (await node.uploads.status(NAME, session.id, principal=OWNER)).offset
    assert offset == 20 * MIB
    await node.uploads.append(NAME, session.id, pieces(data[offset:]), principal=OWNER, start=offset)
    blob = await node.uploads.complete(NAME, session.id, Digest.of(data), principal=OWNER, actor=ALICE)
    assert cloud.objects[blob.key] == data
    assert await upload_sessions.known(house.kit.work, [session.id]) == set()


async def test_of_two_nodes_that_append_one_is_refused(house: House, cloud: SlowCloud) -> None:
    """The row tells which of them came first, and where the session stands."""
    other = replace(house.kit, store=ObjectBlobStore(cloud)).registry(grace_seconds=GRACE)
    session = await house.registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"slow"
        begun.set()
        await goes_on.wait()

    task = asyncio.create_task(house.registry.uploads.append(NAME, session.id, slow(), principal=OWNER))
    await begun.wait()
    await other.uploads.append(NAME, session.id, pieces(b"quick"), principal=OWNER)
    goes_on.set()
    with pytest.raises(UploadRangeInvalid) as refused:
        await task
    assert refused.value.offset == 5
    blob = await other.uploads.complete(NAME, session.id, Digest.of(b"quick"), principal=OWNER, actor=ALICE)
    assert cloud.objects[blob.key] == b"quick"


class Died(Exception):
    """A process ended here."""


async def commit_and_die(house: House, data: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Push a blob by a process that dies between the blob's commit and the end of its session; return the session."""

    async def die(*_: object, **__: object) -> None:
        raise Died

    uploads = house.registry.uploads
    session = await uploads.start(NAME, principal=OWNER, actor=ALICE)
    await uploads.append(NAME, session.id, pieces(data), principal=OWNER)
    with monkeypatch.context() as patched:
        patched.setattr(Uploads, "_forget", die)
        with pytest.raises(Died):
            await uploads.complete(NAME, session.id, Digest.of(data), principal=OWNER, actor=ALICE)
    return session.id


@pytest.mark.parametrize("size", [5, 20 * MIB], ids=["one-object", "parts"])
@pytest.mark.parametrize("then", ["purge", "cancel", "complete"])
async def test_a_session_whose_blob_was_committed_takes_nothing_along(
    house: House, cloud: SlowCloud, monkeypatch: pytest.MonkeyPatch, size: int, then: str
) -> None:
    """A process dies, or its answer gets lost, behind the commit; whatever ends the session leaves the blob's bytes."""
    data = b"x" * size
    session = await commit_and_die(house, data, monkeypatch)
    uploads, digest = house.registry.uploads, Digest.of(data)
    await house.pusher.image("v1", data)
    if then == "purge":
        house.clock.advance(8 * DAY)
        assert await purging(house).purge(Unwatched()) == 1
    elif then == "cancel":
        await uploads.cancel(NAME, session, principal=OWNER)
    else:
        await uploads.complete(NAME, session, digest, principal=OWNER, actor=ALICE)
    house.clock.advance(2 * DAY)
    await strays(house)
    blob = await house.registry.blobs.get(NAME, digest)
    assert cloud.objects.get(blob.key) == data
    assert await upload_sessions.known(house.kit.work, [session]) == set()


async def test_a_push_repeated_into_a_committed_session_leaves_the_blob(
    house: House, cloud: SlowCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that heard nothing sends the same bytes again: they are refused, and the blob keeps its bytes."""
    session = await commit_and_die(house, b"layer", monkeypatch)
    uploads, digest = house.registry.uploads, Digest.of(b"layer")
    for _ in range(3):
        with pytest.raises(DigestInvalid):
            await uploads.complete(NAME, session, digest, pieces(b"layer"), principal=OWNER, actor=ALICE)
    assert cloud.objects[(await house.registry.blobs.get(NAME, digest)).key] == b"layer"


@dataclass(slots=True)
class Held:
    """A request that completes an upload, and stands still between its bytes and its commit."""

    task: asyncio.Task[BlobRecord]
    goes_on: asyncio.Event


async def held_complete(node: Registry, session: str, data: bytes, *, published: bool = True) -> Held:
    """Begin to complete an upload; it waits when its bytes are published, or before it knows whether they must be."""
    arrived, goes_on = asyncio.Event(), asyncio.Event()

    class Slow(Uploads):
        """Stands still there."""

        async def _place(self, session_id: str, digest: Digest, sealed: UploadProgress) -> _Copy | None:
            copy = await Uploads._place(self, session_id, digest, sealed) if published else None
            arrived.set()
            await goes_on.wait()
            return copy or await Uploads._place(self, session_id, digest, sealed)

    of = node.uploads
    slow = Slow(metadata=of.metadata, work=of.work, store=of.store, lookup=of.lookup, settings=of.settings)
    task = asyncio.create_task(slow.complete(NAME, session, Digest.of(data), principal=OWNER, actor=ALICE))
    await asyncio.wait({task, asyncio.ensure_future(arrived.wait())}, return_when=asyncio.FIRST_COMPLETED)
    return Held(task, goes_on)


async def begun_upload(house: House, data: bytes) -> str:
    """Send the bytes of an upload."""
    session = await house.registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await house.registry.uploads.append(NAME, session.id, pieces(data), principal=OWNER)
    return session.id


async def require_bytes(house: House, cloud: SlowCloud, data: bytes) -> None:
    """Make sure that the blob has its bytes, now and when what nobody knows was removed."""
    blob = await house.registry.blobs.get(NAME, Digest.of(data))
    assert cloud.objects.get(blob.key) == data
    house.clock.advance(DAY + 60)
    await strays(house)
    assert list(cloud.objects) == [blob.key]


@pytest.mark.parametrize("size", [5, 20 * MIB], ids=["one-object", "parts"])
@pytest.mark.parametrize("then", ["cancel", "purge", "append nothing, cancel"])
async def test_what_ends_a_session_beside_its_commit_takes_nothing_along(
    house: House, cloud: SlowCloud, size: int, then: str
) -> None:
    """A commit that is acknowledged has its bytes, though another node ended the session in the middle of it."""
    data = b"x" * size
    session = await begun_upload(house, data)
    other = replace(house.kit, store=ObjectBlobStore(cloud)).registry(grace_seconds=GRACE)
    held = await held_complete(house.registry, session, data)
    if then == "purge":
        house.clock.advance(8 * DAY)
        assert await purging(house).purge(Unwatched()) == 1
    else:
        if then != "cancel":
            await other.uploads.append(NAME, session, pieces(), principal=OWNER)
        await other.uploads.cancel(NAME, session, principal=OWNER)
    held.goes_on.set()
    await held.task
    await require_bytes(house, cloud, data)


@pytest.mark.parametrize("later", [True, False], ids=["the later one finds another copy", "the earlier one does"])
async def test_two_nodes_complete_one_session(house: House, cloud: SlowCloud, *, later: bool) -> None:
    """One of them finds a copy that was pushed meanwhile; it does not remove the bytes that the other commits."""
    session = await begun_upload(house, b"layer")
    other = replace(house.kit, store=ObjectBlobStore(cloud)).registry(grace_seconds=GRACE)
    earlier_one = await held_complete(house.registry, session, b"layer", published=later)
    later_one = await held_complete(other, session, b"layer", published=not later)
    await house.pusher.blob(b"layer")
    finds, commits = (later_one, earlier_one) if later else (earlier_one, later_one)
    finds.goes_on.set()
    await finds.task
    commits.goes_on.set()
    await commits.task
    blob = await house.registry.blobs.get(NAME, Digest.of(b"layer"))
    assert cloud.objects.get(blob.key) == b"layer"
    assert await upload_sessions.known(house.kit.work, [session]) == set()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_blob_that_was_collected_is_not_committed_again(
    house: House, cloud: SlowCloud, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A session goes on whose blob was committed and collected: its client has to push the bytes once more."""
    session = await commit_and_die(house, b"layer", monkeypatch)
    uploads, digest = house.registry.uploads, Digest.of(b"layer")
    house.clock.advance(GRACE + 1)
    if when == "meanwhile":
        cloud.may_delete.clear()
        cloud.deletes.clear()
    collection = asyncio.create_task(house.collect())
    await (cloud.deletes.wait() if when == "meanwhile" else collection)
    with pytest.raises(Unavailable):
        await uploads.complete(NAME, session, digest, principal=OWNER, actor=ALICE)
    cloud.may_delete.set()
    await collection
    await house.pusher.image("v1", b"layer")
    assert cloud.objects[(await house.registry.blobs.get(NAME, digest)).key] == b"layer"
