"""What a store of objects promises otherwise than a disk: keys are used once, any node goes on with an upload.

Over a cloud in memory, which counts what it is asked and fails on request, and over real servers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudRefused, Limits, Payload
from entrepot.adapters.blobs.objects.memory import Memory
from entrepot.adapters.blobs.objects.place import MARK, StorageUnusable, take_place
from entrepot.adapters.blobs.objects.s3 import S3Bucket
from entrepot.adapters.blobs.objects.s3_settings import S3Settings
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadInvalid, BlobUploadUnknown, Unavailable, UploadRangeInvalid
from entrepot.registry import layout
from entrepot.registry.ports import UploadProgress
from tests.contracts.blob_uploads import Bookkeeping, Gate, append, pieces_of, push, read, walk
from tests.support.memory_cloud import MemoryCloud
from tests.support.object_stores import s3_section
from tests.support.seaweedfs import SeaweedFs

MIB = 1 << 20


@dataclass(slots=True)
class Faulty(MemoryCloud):
    """A cloud that fails where it is told to, before or after it did what was asked."""

    faults: dict[str, list[Exception | None]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)

    async def ask(self, operation: str) -> None:
        """Fail, if that is next."""
        self.asked.append(operation)
        faults = self.faults.get(operation)
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault


def opened(cloud: MemoryCloud, **more: object) -> ObjectBlobStore:
    """Give a worker on a cloud that does not wait long between tries."""
    return ObjectBlobStore(cloud, calls=Calls(pause=0.001), **more)  # type: ignore[arg-type]


@pytest.fixture
def cloud() -> Faulty:
    """Give a cloud."""
    return Faulty()


@pytest.fixture
async def bucket(seaweedfs: SeaweedFs) -> AsyncIterator[S3Bucket]:
    """Give a real one."""
    made = await S3Bucket.open(S3Settings.of(s3_section(seaweedfs)))
    yield made
    await made.close()


async def test_a_small_blob_is_one_request(cloud: Faulty) -> None:
    """From the first byte to the blob a small push asks the store once; to open and to verify it asks nothing."""
    blob = await push(Bookkeeping(opened(cloud), {}), b"small" * 1000)
    assert cloud.asked == ["put"]
    assert blob.key.startswith(layout.OBJECTS)


@pytest.mark.parametrize(("size", "asked"), [(13, {"put": 1}), (30, {"begin": 1, "put_part": 4, "complete": 1})])
async def test_a_large_blob_is_its_parts_and_two_requests(cloud: Faulty, size: int, asked: dict[str, int]) -> None:
    """A stream of 8 MiB and a little is one object; of a larger one no part is too small to be followed."""
    data = random.Random(size).randbytes(size * MIB - 1)
    store = opened(cloud)
    blob = await push(Bookkeeping(store, {}), data)
    assert Counter(cloud.asked) == asked
    assert await read(store, blob.key) == data


async def test_an_upload_goes_on_after_each_kill(cloud: Faulty) -> None:
    """Whoever has the row goes on where it says, whichever node that is; what was not kept comes again."""
    data = random.Random(1).randbytes(40 * MIB)
    rows: dict[str, UploadProgress] = {}
    await Bookkeeping(opened(cloud), rows).start_upload("moved")
    sent = 0
    for size in (3 * MIB, 1, 20 * MIB, 2 * MIB, 4 * MIB, 7 * MIB):
        node = Bookkeeping(opened(cloud), rows)  # each time another
        assert await node.upload_size("moved") == sent
        await append(node, "moved", data[sent : sent + size], offset=sent)
        sent += size
    node = Bookkeeping(opened(cloud), rows)
    await append(node, "moved", data[sent:], offset=sent)
    digest = Digest.of(data)
    await Bookkeeping(opened(cloud), rows).seal("moved", digest)
    blob = await Bookkeeping(opened(cloud), rows).publish("moved", digest)
    assert await read(opened(cloud), blob.key) == data
    assert set(cloud.objects) == {blob.key}, "nothing is left over"
    assert not cloud.multiparts


async def test_of_two_nodes_that_append_the_first_to_end_counts(cloud: Faulty) -> None:
    """The other's bytes harm nothing, and it is told where the upload stands."""
    rows: dict[str, UploadProgress] = {}
    one, two = Bookkeeping(opened(cloud), rows), Bookkeeping(opened(cloud), rows)
    gate = Gate(b"x" * 100, b"late")
    await one.start_upload("race")
    slow = asyncio.create_task(one.append("race", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    known = await append(two, "race", b"first")
    gate.opened.set()
    with pytest.raises(UploadRangeInvalid) as refused:
        await slow
    assert refused.value.offset == 5
    await two.seal("race", Digest.of(b"first"), known=known)
    blob = await one.publish("race", Digest.of(b"first"))
    assert await read(one, blob.key) == b"first"
    # The slow one's hasher has seen other bytes, which are as many.
    await one.start_upload("again")
    await append(one, "again", b"12345")
    rows["again"] = await append(two.store, "again", b"other", known=await two.store.start_upload("again"))
    with pytest.raises(BlobUploadInvalid):
        await one.publish("again", Digest.of(b"12345"))
    assert (await one.seal("again", Digest.of(b"other"))).hashed == Digest.of(b"other")


async def test_one_process_refuses_a_second_append_at_once(cloud: Faulty) -> None:
    """Within a process nobody has to wait to be told."""
    store = Bookkeeping(opened(cloud), {})
    gate = Gate(b"x" * 100)
    await store.start_upload("race")
    task = asyncio.create_task(store.append("race", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    with pytest.raises(UploadRangeInvalid):
        await append(store, "race", b"second")
    with pytest.raises(UploadRangeInvalid):
        await store.seal("race", Digest.of(b""))
    gate.opened.set()
    await task


async def test_a_key_is_never_used_twice(cloud: Faulty) -> None:
    """The same blob again is another object, so deleting the old one late takes nothing away."""
    store = Bookkeeping(opened(cloud), {})
    first = await push(store, b"again", upload_id="one")
    second = await push(store, b"again", upload_id="two")
    await store.delete(first.key)
    assert await read(store, second.key) == b"again"


async def test_publishing_may_be_told_twice(cloud: Faulty) -> None:
    """The answer to the last request was lost, or its process died: the next one finds the blob that was made."""
    data = random.Random(2).randbytes(20 * MIB)
    store = opened(cloud)
    rows = Bookkeeping(store, {})
    await rows.start_upload("twice")
    await append(rows, "twice", data)
    sealed = await rows.seal("twice", Digest.of(data))
    first = await store.publish("twice", Digest.of(data), known=sealed)
    again = await opened(cloud).publish("twice", Digest.of(data), known=sealed)
    assert (again.key, again.size, again.etag) == (first.key, first.size, first.etag)
    assert await read(store, first.key) == data


async def test_publishing_again_after_the_tail_went(cloud: Faulty) -> None:
    """The tail of an upload goes when its blob is made: whoever publishes it again does not look for it."""
    data = random.Random(3).randbytes(20 * MIB)
    rows: dict[str, UploadProgress] = {}
    await Bookkeeping(opened(cloud), rows).start_upload("tail")
    await append(Bookkeeping(opened(cloud), rows), "tail", data[: 18 * MIB])
    await append(Bookkeeping(opened(cloud), rows), "tail", data[18 * MIB :], offset=18 * MIB)
    sealed = await Bookkeeping(opened(cloud), rows).seal("tail", Digest.of(data))
    first = await opened(cloud).publish("tail", Digest.of(data), known=sealed)
    assert set(cloud.objects) == {first.key}
    again = await opened(cloud).publish("tail", Digest.of(data), known=sealed)
    assert again.key == first.key
    assert await read(opened(cloud), first.key) == data


async def test_nothing_is_published_that_was_not_verified(cloud: Faulty) -> None:
    """A state without the seal is no blob, whoever has it."""
    store = opened(cloud)
    known = await append(store, "open", b"content", known=await store.start_upload("open"))
    with pytest.raises(BlobUploadInvalid):
        await store.publish("open", Digest.of(b"content"), known=known)
    with pytest.raises(BlobUploadUnknown):
        await store.publish("open", Digest.of(b"content"))


@pytest.mark.parametrize("size", [100, 30 * MIB])
async def test_a_cancelled_upload_leaves_nothing(cloud: Faulty, size: int) -> None:
    """Its objects and its parts go."""
    store = Bookkeeping(opened(cloud), {})
    await store.start_upload("dropped")
    await append(store, "dropped", b"x" * size)
    await append(store, "dropped", b"y" * 100, offset=size)
    await store.cancel_upload("dropped")
    assert not cloud.objects
    assert not cloud.multiparts


async def test_deletes_go_together(cloud: Faulty) -> None:
    """Blobs that are deleted at the same moment are one request."""
    store = opened(cloud)
    blobs = [await push(Bookkeeping(store, {}), b"%d" % number, upload_id=f"u{number}") for number in range(50)]
    cloud.asked.clear()
    await asyncio.gather(*(store.delete(blob.key) for blob in blobs))
    assert cloud.asked == ["delete"]
    assert not cloud.objects


async def test_what_fails_for_a_moment_is_repeated(cloud: Faulty) -> None:
    """Three refusals of each request cost time and nothing else."""
    for operation in ("put", "begin", "put_part", "complete"):
        cloud.faults[operation] = [CloudBusy("SlowDown", slow_down=True), CloudBusy("500"), None]
    data = random.Random(3).randbytes(30 * MIB)
    store = opened(cloud)
    blob = await push(Bookkeeping(store, {}), data)
    assert await read(store, blob.key) == data
    assert (await push(Bookkeeping(store, {}), b"small")).size == 5


async def test_what_an_operator_must_mend_is_not_repeated(cloud: Faulty) -> None:
    """Refused is refused: one request, and the client is told to come later."""
    cloud.faults["put"] = [CloudRefused("no right")] * 9
    with pytest.raises(Unavailable) as refused:
        await push(Bookkeeping(opened(cloud), {}), b"content")
    assert refused.value.retry_after == 30
    assert cloud.asked == ["put"]


async def test_a_dead_store_is_left_in_peace(cloud: Faulty) -> None:
    """When nothing succeeds, requests fail at once; the first that may be tried again decides for all."""
    cloud.faults["describe"] = [CloudBusy("gone")] * 1000
    store = opened(cloud)
    for _ in range(10):
        with pytest.raises(Unavailable):
            await store.stat(f"{layout.OBJECTS}/ab/x.1")
    assert len(cloud.asked) == 20
    assert cloud.asked.count("describe") == 20
    store.calls._rests_until = 0.0  # some seconds later
    cloud.faults.clear()
    blob = await push(Bookkeeping(store, {}), b"back")
    assert await read(store, blob.key) == b"back"


async def test_an_aborted_append_loses_nothing_that_was_acknowledged(cloud: Faulty) -> None:
    """When the store fails in the middle, the upload stands where it stood, and goes on from there."""
    rows: dict[str, UploadProgress] = {}
    store = Bookkeeping(opened(cloud), rows)
    data = random.Random(4).randbytes(35 * MIB)
    await store.start_upload("broken")
    await append(store, "broken", data[: 7 * MIB])
    cloud.faults["put_part"] = [None, *[CloudBusy("gone")] * 8]
    with pytest.raises(Unavailable):
        await append(store, "broken", data[7 * MIB :], offset=7 * MIB)
    cloud.faults.clear()
    other = Bookkeeping(opened(cloud), rows)
    offset = await other.upload_size("broken")
    assert offset >= 7 * MIB
    await append(other, "broken", data[offset:], offset=offset)
    await other.seal("broken", Digest.of(data))
    blob = await other.publish("broken", Digest.of(data))
    assert await read(other, blob.key) == data


async def test_a_long_append_is_kept_on_its_way(cloud: Faulty) -> None:
    """A process that dies in the middle of a long stream leaves most of it to whoever goes on."""
    rows: dict[str, UploadProgress] = {}
    store = Bookkeeping(opened(cloud, keep_seconds=0.0), rows)
    data = random.Random(5).randbytes(40 * MIB)
    await store.start_upload("long")
    gate = Gate(data[: 30 * MIB], data[30 * MIB :])
    task = asyncio.create_task(store.append("long", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    kept = rows["long"]  # as another process reads it
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert kept.offset >= 16 * MIB
    assert kept.hashed == Digest.of(data[: kept.offset])


@pytest.mark.parametrize(
    "limits",
    [
        Limits(smallest_part=5 * MIB),
        Limits(smallest_part=1, first_part=4 * MIB),
        Limits(smallest_part=256 << 10, part_multiple=256 << 10, parts_at_once=1),
    ],
    ids=["s3", "azure", "gcs"],
)
async def test_any_cloud_gets_parts_that_it_takes(limits: Limits) -> None:
    """Whatever a cloud demands of parts, chunks of all sizes become one blob; the cloud in memory refuses others."""
    source = random.Random(6)
    for _ in range(3):
        cloud = Faulty(limits=limits)
        rows: dict[str, UploadProgress] = {}
        data = source.randbytes(source.randrange(50 * MIB))
        await Bookkeeping(opened(cloud), rows).start_upload("any")
        sent = 0
        while sent < len(data):
            size = source.choice([1, 100_000, 5 * MIB, 11 * MIB, 25 * MIB])
            await append(Bookkeeping(opened(cloud), rows), "any", data[sent : sent + size], offset=sent)
            sent += len(data[sent : sent + size])
        store = Bookkeeping(opened(cloud), rows)
        await store.seal("any", Digest.of(data))
        blob = await store.publish("any", Digest.of(data))
        assert await read(store, blob.key) == data
        assert set(cloud.objects) == {blob.key}


async def test_uploads_share_the_memory_of_a_worker() -> None:
    """Forty uploads at once hold no more than the budget together, and all come to their end."""
    most = held = 0

    class Counting(Memory):
        def _give(self, place: object, size: int) -> None:
            nonlocal most, held
            super()._give(place, size)  # type: ignore[arg-type]
            held += size
            most = max(most, held)

        def take_back(self, place: object, size: int) -> None:
            nonlocal held
            held -= size
            super().take_back(place, size)  # type: ignore[arg-type]

    cloud = Faulty()
    store = Bookkeeping(opened(cloud, memory=Counting()), {})
    data = random.Random(7).randbytes(14 * MIB)
    blobs = await asyncio.gather(*(push(store, data, upload_id=f"u{number}") for number in range(40)))
    assert len(blobs) == 40
    assert most <= 64 * MIB
    assert held == 0


async def test_a_client_that_sends_nothing_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stalled client sent is put aside after some seconds, and brought back when it goes on."""
    monkeypatch.setattr("entrepot.adapters.blobs.objects.memory.LONG_TURN", 0.05)
    cloud = Faulty()
    store = Bookkeeping(opened(cloud, memory=Memory(12 * MIB)), {})
    gate = Gate(b"a" * 600_000, b"b" * 600_000)
    await store.start_upload("stalled")
    stalled = asyncio.create_task(store.append("stalled", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    async with asyncio.timeout(5):
        blob = await push(store, b"c" * 20_000_000, upload_id="quick")
    assert blob.size == 20_000_000
    gate.opened.set()
    progress = await stalled
    whole = b"a" * 600_000 + b"b" * 600_000
    assert progress.hashed == Digest.of(whole)
    await store.seal("stalled", Digest.of(whole))
    assert await read(store, (await store.publish("stalled", Digest.of(whole))).key) == whole


async def test_many_slow_uploads_of_one_account_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty that trickle share what their owner is due; another's waits for one of them, and is not sent back."""
    monkeypatch.setattr("entrepot.adapters.blobs.objects.memory.LONG_TURN", 0.2)
    cloud = Faulty()
    store = Bookkeeping(opened(cloud), {})

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 70_000
            await asyncio.sleep(0.1)

    async def slow(name: str) -> None:
        await store.start_upload(name)
        await store.append(name, trickle(), offset=0, algorithm="sha256", owner="user:slow")

    tasks = [asyncio.create_task(slow(f"slow{number}")) for number in range(60)]
    try:
        await asyncio.sleep(0.5)
        await store.start_upload("quick")
        async with asyncio.timeout(5):
            progress = await store.append(
                "quick", pieces_of(b"c" * 60 * MIB), offset=0, algorithm="sha256", owner="user:quick"
            )
        assert progress.offset == 60 * MIB
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_stream_goes_on_where_its_connection_broke() -> None:
    """A reader of a blob does not see that the store hung up in the middle."""

    @dataclass(slots=True)
    class Breaking(MemoryCloud):
        async def read(self, name: str, start: int, length: int | None) -> AsyncIterator[bytes]:  # type: ignore[override]
            self.asked.append("read")
            yield self.objects[name][start : start + 1000]
            raise CloudBusy("reset")

    cloud = Breaking()
    store = opened(cloud)
    data = random.Random(8).randbytes(10_000)
    blob = await push(Bookkeeping(store, {}), data)
    assert await read(store, blob.key, 0, 10_000) == data
    assert cloud.asked.count("read") == 10


async def test_a_bucket_belongs_to_one_registry(cloud: Faulty) -> None:
    """The first registry marks it; another one is told, with what to do about it."""
    await take_place(cloud, Calls(), "one", "the bucket b")
    await take_place(cloud, Calls(), "one", "the bucket b")
    with pytest.raises(StorageUnusable, match="used by another registry"):
        await take_place(cloud, Calls(), "two", "the bucket b")
    assert list(cloud.objects) == [MARK]
    assert await walk(opened(cloud)) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"accesskey": "unknown"}, "does not know the access key"),
        ({"secretkey": "wrong"}, "the secret key is not the access key's"),
        ({"accesskey": "nobody", "secretkey": "nothing"}, "may not do this"),
        ({"bucket": "missing-one"}, "there is no bucket of this name"),
        ({"regionendpoint": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_named_at_the_start(
    seaweedfs: SeaweedFs, changed: dict[str, str], says: str
) -> None:
    """Wrong credentials, no right, no bucket and no server are told apart, in words that help."""
    bucket = await S3Bucket.open(S3Settings.of(s3_section(seaweedfs, **changed)))
    try:
        with pytest.raises(StorageUnusable, match=says):
            await take_place(bucket, Calls(pause=0.001), "one", "the bucket b")
    finally:
        await bucket.close()


async def test_a_changed_part_is_refused_by_the_store(bucket: S3Bucket) -> None:
    """The store makes sure of the bytes that it gets, by their SHA-256, and the same request is tried again."""
    changed = Payload(data=b"content" * MIB, sha256=bytes(32))
    with pytest.raises(CloudBusy):
        await bucket.put("entrepot/blobs/ab/x.1", changed)
    upload = await bucket.begin("entrepot/blobs/ab/x.2")
    with pytest.raises(CloudBusy):
        await bucket.put_part("entrepot/blobs/ab/x.2", upload, 1, 0, changed)


async def test_multiparts_that_nobody_ended_are_listed(bucket: S3Bucket) -> None:
    """What a dead process left open is found by its name, and dropped."""
    upload = await bucket.begin("entrepot/blobs/ab/abc.1")
    found = [one async for one in bucket.list_multiparts(f"{layout.OBJECTS}/")]
    assert [(one.name, one.id) for one in found] == [("entrepot/blobs/ab/abc.1", upload)]
    await bucket.abort(found[0].name, found[0].id)
    await bucket.abort(found[0].name, found[0].id)
    assert [one async for one in bucket.list_multiparts(f"{layout.OBJECTS}/")] == []


async def test_many_objects_are_listed_in_order_and_deleted_together(bucket: S3Bucket) -> None:
    """A listing of more than a page goes on, also behind a name."""
    payload = Payload(data=b"x", sha256=bytes.fromhex(Digest.of(b"x").encoded))
    names = [f"entrepot/blobs/ab/{number:05}.1" for number in range(1100)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(bucket.put(name, payload) for name in names[start : start + 50]))
    assert [one.name async for one in bucket.list("entrepot/blobs/")] == names
    assert [one.name async for one in bucket.list("entrepot/blobs/", names[1050])] == names[1051:]
    store = ObjectBlobStore(bucket)
    await asyncio.gather(*(store.delete(name) for name in names))
    assert [one.name async for one in bucket.list("entrepot/blobs/")] == []


async def test_whoever_has_a_presigned_url_gets_the_blob(bucket: S3Bucket) -> None:
    """The URL needs no credentials, says what the bytes are and for how long they may be kept, and ends."""
    store = ObjectBlobStore(bucket)
    blob = await push(Bookkeeping(store, {}), b"signed for")
    async with aiohttp.ClientSession() as client:
        async with client.get(await store.presign(blob.key, 60)) as answer:
            assert (answer.status, await answer.read()) == (200, b"signed for")
            assert answer.headers["cache-control"] == "max-age=31536000, immutable"
            assert answer.headers["content-type"] == "application/octet-stream"
        async with client.get((await store.presign(blob.key, 60)).replace("Signature=", "Signature=0")) as answer:
            assert answer.status == 403


async def test_without_credentials_no_url_is_given() -> None:
    """A role's credentials that cannot be had just now are an answer to come again, and no fault of ours."""

    class Unsigning(MemoryCloud):
        async def presign(self, name: str, seconds: int) -> str:
            raise CloudBusy(f"nobody signs {name} for {seconds}")

    with pytest.raises(Unavailable):
        await ObjectBlobStore(Unsigning()).presign("entrepot/blobs/ab/abcd", 60)


async def test_bytes_come_whole_through_a_body_in_pieces(bucket: S3Bucket) -> None:
    """A part of many pieces is what was sent."""
    store = ObjectBlobStore(bucket)
    data = random.Random(9).randbytes(33 * MIB)
    rows = Bookkeeping(store, {})
    await rows.start_upload("parts")
    await rows.append("parts", pieces_of(data, 700_001), offset=0, algorithm="sha256")
    await rows.seal("parts", Digest.of(data))
    blob = await rows.publish("parts", Digest.of(data))
    assert await read(store, blob.key) == data
    assert (await store.stat(blob.key)).etag == blob.etag
