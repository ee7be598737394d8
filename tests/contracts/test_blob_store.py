"""What a blob store is: every adapter of `registry/ports.py::BlobStore` passes all of this.

`store` and `other` are two workers on the same storage. A new adapter joins in `_workers`. What object stores promise
otherwise than a disk is in `test_object_stores.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.adapters.blobs.timed_store import MeasuredBlobStore
from entrepot.adapters.blobs.two_stores import TwoStores
from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.registry.ports import BlobStore, UploadProgress
from entrepot.telemetry.instruments import Metrics
from tests.contracts.blob_uploads import Bookkeeping, Gate, append, each, pieces_of, push, read, walk
from tests.support.memory_cloud import MemoryCloud
from tests.support.object_stores import cloud_opener

ABSENT = "sha256:" + "0" * 64
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#: Sizes around every threshold of the adapters: pieces, batches, write-behind.
SIZES = [0, 1, 4095, (1 << 16) - 1, 1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 17, 17 << 20]


async def _workers(adapter: str, folder: Path, request: pytest.FixtureRequest) -> tuple[BlobStore, BlobStore]:
    if adapter == "objects":
        cloud = MemoryCloud()
        return ObjectBlobStore(cloud), ObjectBlobStore(cloud)
    if adapter in {"s3", "azure", "gcs"}:
        opened = cloud_opener(adapter, request)
        return ObjectBlobStore(await opened()), ObjectBlobStore(await opened())
    if adapter == "memory":
        store = MemoryBlobStore()
        return store, store
    if adapter == "two":
        two = TwoStores(MemoryBlobStore(), FilesystemBlobStore(folder))
        return two, two
    if adapter == "measured":
        measured = MeasuredBlobStore(MemoryBlobStore(), Metrics(), "memory")
        return measured, measured
    return FilesystemBlobStore(folder), FilesystemBlobStore(folder)


#: Those that know their uploads by themselves.
DISKS = ["filesystem", "memory", "measured", "two"]
#: Those whose blobs have keys of their own, and whose uploads have a state.
OBJECTS = ["objects", "s3", "azure", "gcs"]
on_disks = pytest.mark.parametrize("workers", DISKS, indirect=True)


@pytest.fixture(params=[*DISKS, *OBJECTS])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[BlobStore, BlobStore]]:
    """Give two workers on one storage."""
    rows: dict[str, UploadProgress] = {}
    stores = await _workers(request.param, tmp_path, request)
    yield tuple(Bookkeeping(store, rows) if store.has_state else store for store in stores)
    for store in stores:
        if isinstance(store, ObjectBlobStore):
            await store.close()
        elif isinstance(store, FilesystemBlobStore | MemoryBlobStore):
            store.close()


@pytest.fixture
def store(workers: tuple[BlobStore, BlobStore]) -> BlobStore:
    """Give the first worker."""
    return workers[0]


@pytest.fixture
def other(workers: tuple[BlobStore, BlobStore]) -> BlobStore:
    """Give the second worker."""
    return workers[1]


# Blobs.


@pytest.mark.parametrize("size", SIZES)
async def test_what_goes_in_comes_out(store: BlobStore, size: int) -> None:
    """A pushed blob has its size and exactly its bytes."""
    data = random.Random(size).randbytes(size)
    blob = await push(store, data)
    assert blob.size == size
    assert blob == await store.stat(blob.key)
    assert await read(store, blob.key) == data


async def test_the_empty_blob(store: BlobStore) -> None:
    """Nothing at all is a blob, without a single append."""
    await store.start_upload("nothing")
    assert (await store.seal("nothing", Digest.parse(EMPTY))).offset == 0
    blob = await store.publish("nothing", Digest.parse(EMPTY))
    assert blob.size == 0
    assert await read(store, blob.key) == b""


async def test_sha512(store: BlobStore) -> None:
    """A blob may be addressed by sha512."""
    blob = await push(store, b"long address", algorithm="sha512")
    assert blob.key.startswith("sha512:") or store.has_state
    assert await read(store, blob.key) == b"long address"


async def test_the_digest_may_use_another_algorithm_than_the_session(store: BlobStore) -> None:
    """A session hashed as sha256 can end in a sha512 blob."""
    await store.start_upload("mixed")
    known = await append(store, "mixed", b"content")
    digest = Digest.of(b"content", "sha512")
    assert (await store.seal("mixed", digest, known=known)).offset == 7
    assert await read(store, (await store.publish("mixed", digest)).key) == b"content"


async def test_other_workers_see_a_blob_at_once(store: BlobStore, other: BlobStore) -> None:
    """A published blob is there for every worker."""
    blob = await push(store, b"shared")
    assert await other.stat(blob.key) == blob
    assert await read(other, blob.key) == b"shared"


async def test_stat_of_a_missing_blob(store: BlobStore) -> None:
    """What is not there is unknown, to stat and to stream."""
    with pytest.raises(BlobUnknown):
        await store.stat(ABSENT)
    with pytest.raises(BlobUnknown):
        await read(store, ABSENT)


@pytest.mark.parametrize("key", ["", "sha256:", "../../etc/passwd", "sha256:../../../x", "sha256:" + "A" * 64, "a\0b"])
async def test_a_key_is_a_digest(store: BlobStore, key: str) -> None:
    """Nothing but a digest, or a name that the store gave, names a blob, so no key leads out of the store."""
    with pytest.raises(DigestInvalid):
        await store.stat(key)
    with pytest.raises(DigestInvalid):
        await read(store, key)
    with pytest.raises(DigestInvalid):
        await store.delete(key)


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (0, None), (1, None), (99_999, 1), (100_000, None), (100_000, 0), (65_535, 2), (5, 0), (1000, 99_000)],
)
async def test_ranges(store: BlobStore, start: int, length: int | None) -> None:
    """Any part of a blob can be read by itself."""
    data = random.Random(1).randbytes(100_000)
    blob = await push(store, data)
    end = None if length is None else start + length
    assert await read(store, blob.key, start, length) == data[start:end]


async def test_a_range_past_the_end_does_not_end_cleanly(store: BlobStore) -> None:
    """Bytes that are missing are an error where they would have come, after those that are there."""
    blob = await push(store, b"short")
    stream = store.stream(blob.key, 1, 100)
    assert await anext(stream) == b"hort"
    with pytest.raises(Unavailable):
        await anext(stream)


async def test_a_stream_survives_the_deletion(store: BlobStore) -> None:
    """Who is reading a blob when it is deleted gets all of it."""
    data = random.Random(2).randbytes(3 << 20)
    blob = await push(store, data)
    async with aclosing(store.stream(blob.key)) as stream:
        first = await anext(stream)
        await store.delete(blob.key)
        assert first + b"".join([piece async for piece in stream]) == data


async def test_delete(store: BlobStore, other: BlobStore) -> None:
    """A deleted blob is gone for every worker; deleting it again changes nothing; it can come again."""
    blob = await push(store, b"for now")
    await other.delete(blob.key)
    await store.delete(blob.key)
    with pytest.raises(BlobUnknown):
        await store.stat(blob.key)
    again = await push(store, b"for now")
    assert await read(other, again.key) == b"for now"


async def test_keys(store: BlobStore) -> None:
    """The walk gives every blob once, in the order of the keys, and no upload that has no key yet."""
    blobs = [await push(store, bytes([n]) * n, algorithm="sha512" if n % 5 == 0 else "sha256") for n in range(1, 30)]
    await store.start_upload("open")
    if not store.has_state:
        await append(store, "open", b"half")
    found = await walk(store)
    assert found == sorted(found, key=lambda blob: blob.key)
    assert found == sorted(blobs, key=lambda blob: blob.key)


async def test_keys_of_an_empty_store(store: BlobStore) -> None:
    """A new store has nothing to walk."""
    assert await walk(store) == []


# Uploads.


async def test_an_upload_is_no_blob_before_it_is_published(store: BlobStore) -> None:
    """A blob appears only once its last byte is verified and it is published."""
    digest = Digest.of(b"content")
    await store.start_upload("slow")
    await append(store, "slow", b"content")
    await store.seal("slow", digest)
    with pytest.raises(BlobUnknown):
        await store.stat(str(digest))
    assert await read(store, (await store.publish("slow", digest)).key) == b"content"


async def test_a_published_upload_is_gone(store: BlobStore) -> None:
    """The session ends with its blob."""
    await push(store, b"content", upload_id="once")
    with pytest.raises(BlobUploadUnknown):
        await store.upload_size("once")
    with pytest.raises(BlobUploadUnknown):
        await append(store, "once", b"more", offset=7)
    assert await store.uploads() == []


async def test_an_id_opens_one_upload(store: BlobStore, other: BlobStore) -> None:
    """The same id cannot be opened twice."""
    await store.start_upload("taken")
    with pytest.raises(BlobUploadInvalid):
        await other.start_upload("taken")


@pytest.mark.parametrize(
    "upload_id", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0", ".boot", "x" * 65, "ä", "a\n"]
)
async def test_an_id_is_a_plain_name(store: BlobStore, upload_id: str) -> None:
    """No upload id leads out of the store."""
    for attempt in (store.start_upload(upload_id), store.upload_size(upload_id), store.cancel_upload(upload_id)):
        with pytest.raises(BlobUploadUnknown):
            await attempt
    with pytest.raises(BlobUploadUnknown):
        await append(store, upload_id, b"x")


async def test_unknown_uploads(store: BlobStore) -> None:
    """Every step of an upload that was never started says so, and leaves none behind."""
    digest = Digest.of(b"")
    with pytest.raises(BlobUploadUnknown):
        await store.upload_size("never")
    with pytest.raises(BlobUploadUnknown):
        await append(store, "never", b"x")
    with pytest.raises(BlobUploadUnknown):
        await store.seal("never", digest)
    with pytest.raises((BlobUploadUnknown, BlobUploadInvalid)):
        await store.publish("never", digest)
    await store.cancel_upload("never")
    assert await store.uploads() == []


async def test_appends_follow_each_other(store: BlobStore) -> None:
    """Chunks make one blob, and the progress tells the digest after each."""
    await store.start_upload("chunks")
    sent = b""
    for chunk in (b"one", b"", b"two", b"three" * 100_000):
        progress = await append(store, "chunks", chunk, offset=len(sent))
        sent += chunk
        assert (progress.offset, progress.hashed) == (len(sent), Digest.of(sent))
        assert await store.upload_size("chunks") == len(sent)
    assert (await store.seal("chunks", Digest.of(sent))).offset == len(sent)


@pytest.mark.parametrize("offset", [0, 2, 4, 1 << 40])
async def test_an_append_must_fit(store: BlobStore, offset: int) -> None:
    """A chunk for another place is refused with the right one, and changes nothing."""
    await store.start_upload("ordered")
    await append(store, "ordered", b"abc")
    with pytest.raises(UploadRangeInvalid) as refused:
        await append(store, "ordered", b"xyz", offset=offset)
    assert refused.value.offset == 3
    assert await store.upload_size("ordered") == 3
    assert (await store.seal("ordered", Digest.of(b"abc"))).offset == 3


@on_disks
async def test_two_appends_at_once(store: BlobStore, other: BlobStore) -> None:
    """Of two writers one is refused at once, also at seal and publish, and the other's bytes are whole."""
    gate = Gate(b"first ", b"last")
    await store.start_upload("race")
    winner = asyncio.create_task(store.append("race", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    for worker in (store, other):
        with pytest.raises(UploadRangeInvalid):
            await append(worker, "race", b"xxxxxx", offset=0)
        with pytest.raises(UploadRangeInvalid):
            await worker.seal("race", Digest.of(b"first "))
    gate.opened.set()
    assert (await winner).hashed == Digest.of(b"first last")
    assert (await store.seal("race", Digest.of(b"first last"))).offset == 10


async def test_a_wrong_digest_is_refused(store: BlobStore) -> None:
    """Bytes never get a digest that is not theirs, and may still get the right one."""
    await store.start_upload("honest")
    await append(store, "honest", b"content")
    with pytest.raises(DigestInvalid):
        await store.seal("honest", Digest.of(b"something else"))
    with pytest.raises(BlobUploadInvalid):
        await store.publish("honest", Digest.of(b"something else"))
    await store.seal("honest", Digest.of(b"content"))
    await store.publish("honest", Digest.of(b"content"))


async def test_publishing_needs_the_seal(store: BlobStore) -> None:
    """What was not verified cannot be published, nor under another digest than the verified one."""
    await store.start_upload("open")
    await append(store, "open", b"content")
    with pytest.raises(BlobUploadInvalid):
        await store.publish("open", Digest.of(b"content"))
    await store.seal("open", Digest.of(b"content"))
    with pytest.raises(BlobUploadInvalid):
        await store.publish("open", Digest.of(b"other"))


async def test_bytes_that_come_after_the_seal_break_it(store: BlobStore, other: BlobStore) -> None:
    """A second writer cannot slip bytes in between verifying and publishing."""
    digest = Digest.of(b"verified")
    await store.start_upload("late")
    await append(store, "late", b"verified")
    await store.seal("late", digest)
    await append(other, "late", b" and more", offset=8)
    with pytest.raises(BlobUploadInvalid):
        await store.publish("late", digest)
    with pytest.raises(BlobUnknown):
        await store.stat(str(digest))


async def test_a_stale_note_does_not_verify(store: BlobStore, other: BlobStore) -> None:
    """The digest that was known of fewer bytes says nothing about more."""
    await store.start_upload("stale")
    known = await append(store, "stale", b"abc")
    await append(store, "stale", b"def", offset=3)
    with pytest.raises(DigestInvalid):
        await other.seal("stale", Digest.of(b"abc"), known=known)
    assert (await other.seal("stale", Digest.of(b"abcdef"), known=known)).offset == 6


async def test_the_workers_take_turns(store: BlobStore, other: BlobStore) -> None:
    """Chunks may come to any worker; what is known of them stays true."""
    await store.start_upload("shared")
    known = await append(store, "shared", b"abc")
    known = await append(other, "shared", b"def", offset=3, known=known)
    assert known.hashed in (None, Digest.of(b"abcdef"))
    known = await append(store, "shared", b"ghi", offset=6, known=known)
    assert known.hashed in (None, Digest.of(b"abcdefghi"))
    with pytest.raises(DigestInvalid):
        await store.seal("shared", Digest.of(b"abcghi"), known=known)
    assert (await other.seal("shared", Digest.of(b"abcdefghi"), known=known)).offset == 9
    blob = await other.publish("shared", Digest.of(b"abcdefghi"))
    assert await read(store, blob.key) == b"abcdefghi"


async def test_an_aborted_append_can_be_resumed(store: BlobStore) -> None:
    """When the client goes away, what it sent stays, and it can go on from there."""
    data = random.Random(3).randbytes(3 << 20)

    async def aborted() -> AsyncIterator[bytes]:
        async for piece in pieces_of(data[: 2 << 20]):
            yield piece
        raise ConnectionResetError

    await store.start_upload("resumed")
    with pytest.raises(ConnectionResetError):
        await store.append("resumed", aborted(), offset=0, algorithm="sha256")
    offset = await store.upload_size("resumed")
    assert offset == 2 << 20
    progress = await append(store, "resumed", data[offset:], offset=offset)
    assert (progress.offset, progress.hashed) == (len(data), Digest.of(data))
    assert (await store.seal("resumed", Digest.of(data))).offset == len(data)


async def test_a_cancelled_append_can_be_resumed(store: BlobStore, other: BlobStore) -> None:
    """When the task is cancelled, the upload is free for the next one at once."""
    gate = Gate(b"a" * 100_000)
    await store.start_upload("stopped")
    task = asyncio.create_task(store.append("stopped", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    offset = await store.upload_size("stopped")
    rest = b"a" * (100_000 - offset) + b"b"
    await append(other, "stopped", rest, offset=offset)
    assert (await store.seal("stopped", Digest.of(b"a" * 100_000 + b"b"))).offset == 100_001


async def test_cancelling_an_upload(store: BlobStore, other: BlobStore) -> None:
    """A cancelled upload is gone for every worker, and cancelling it again changes nothing."""
    await store.start_upload("dropped")
    await append(store, "dropped", b"content")
    await other.cancel_upload("dropped")
    await other.cancel_upload("dropped")
    with pytest.raises(BlobUploadUnknown):
        await store.seal("dropped", Digest.of(b"content"))
    with pytest.raises((BlobUploadUnknown, BlobUploadInvalid)):
        await store.publish("dropped", Digest.of(b"content"))
    assert await store.uploads() == []


@on_disks
async def test_only_an_upload_that_nobody_uses_is_cancelled_as_idle(store: BlobStore, other: BlobStore) -> None:
    """One with new bytes stays, and one that a request is at work on; one that is gone is gone."""
    gate = Gate(b"x" * 100, b"y" * 100)
    for name in ("begun", "filled", "empty"):
        await store.start_upload(name)
    await append(store, "filled", b"content")
    task = asyncio.create_task(store.append("begun", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    gone = [await other.cancel_idle_upload(name) for name in ("begun", "filled", "empty", "empty")]
    assert gone == [False, False, True, True]
    hour = 3600 * 1_000_000
    for before, dropped in ((-hour, [False, False]), (hour, [False, True])):
        later = time.time_ns() // 1000 + before
        assert [await other.cancel_idle_upload(name, before=later) for name in ("begun", "filled")] == dropped
    gate.opened.set()
    assert (await task).offset == 200
    assert {name for name, _ in await store.uploads()} == {"begun"}


async def test_cancelling_under_a_writer(store: BlobStore, other: BlobStore) -> None:
    """An append whose upload is cancelled meanwhile fails instead of writing to nowhere."""
    gate = Gate(b"x" * 100, b"y" * 100)
    await store.start_upload("pulled-away")
    task = asyncio.create_task(store.append("pulled-away", gate.chunks(), offset=0, algorithm="sha256"))
    await gate.waiting.wait()
    await other.cancel_upload("pulled-away")
    gate.opened.set()
    with pytest.raises(BlobUploadUnknown):
        await task


@on_disks
async def test_uploads_are_listed_with_their_age(store: BlobStore) -> None:
    """The list tells which uploads are open and when each was last written to."""
    before = time.time_ns() // 1000
    await store.start_upload("one")
    await store.start_upload("two")
    await append(store, "two", b"content")
    listed = dict(await store.uploads())
    assert listed.keys() == {"one", "two"}
    # File systems take their times from the clock of the last tick.
    assert all(before - 20_000 <= written <= time.time_ns() // 1000 for written in listed.values())


@on_disks
async def test_an_older_copy_is_replaced(store: BlobStore) -> None:
    """Pushing a blob again is no error, and leaves one blob."""
    first = await push(store, b"again", upload_id="one")
    second = await push(store, b"again", upload_id="two")
    assert first.key == second.key
    assert await walk(store) == [second]
    assert await store.stat(second.key) == second


async def test_many_push_the_same_blob_at_once(store: BlobStore, other: BlobStore) -> None:
    """32 pushes of one blob all succeed and leave one copy, or one under each key where keys are used once."""
    data = random.Random(4).randbytes(200_000)
    pushes = (push((store, other)[n % 2], data, upload_id=f"u{n}") for n in range(32))
    blobs = await asyncio.gather(*pushes)
    keys = {blob.key for blob in blobs}
    assert len(keys) == (32 if store.has_state else 1)
    assert {blob.key for blob in await walk(store)} == keys
    assert await read(other, blobs[0].key) == data


@on_disks
async def test_pushes_and_deletes_of_one_blob_at_once(store: BlobStore, other: BlobStore) -> None:
    """A deletion beside a push leaves the whole blob or none, and never breaks the push."""
    data = b"contended"
    key = str(Digest.of(data))
    for round_ in range(50):
        await asyncio.gather(push(store, data, upload_id=f"r{round_}"), other.delete(key), other.delete(key))
        found = await walk(store)
        assert len(found) <= 1
        if found:
            assert await read(other, key) == data


async def test_odd_chunks(store: BlobStore) -> None:
    """Empty chunks and one huge chunk are chunks like others."""
    huge = random.Random(5).randbytes(5 << 20)
    await store.start_upload("odd")
    progress = await store.append("odd", each([b"", b"a", b"", huge, b""]), offset=0, algorithm="sha256")
    assert (progress.offset, progress.hashed) == (len(huge) + 1, Digest.of(b"a" + huge))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.tuples(st.booleans(), st.integers(0, 200_000)), max_size=12), seed=st.integers(0, 2**32))
async def test_any_chunks_over_two_workers_make_the_blob(
    workers: tuple[BlobStore, BlobStore], chunks: list[tuple[bool, int]], seed: int
) -> None:
    """However the bytes are cut and whoever gets them, the blob is the bytes."""
    source = random.Random(seed)
    upload_id = uuid.uuid4().hex
    known, sent = None, b""
    await workers[0].start_upload(upload_id)
    for second, size in chunks:
        chunk = source.randbytes(size)
        known = await append(workers[second], upload_id, chunk, offset=len(sent), known=known)
        sent += chunk
        assert known.offset == len(sent)
    sealer = workers[source.getrandbits(1)]
    assert (await sealer.seal(upload_id, Digest.of(sent), known=known)).offset == len(sent)
    blob = await sealer.publish(upload_id, Digest.of(sent))
    assert await read(workers[0], blob.key) == sent
