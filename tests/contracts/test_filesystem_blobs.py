"""What only the filesystem store promises: its layout, its order of effects, how seldom it reads, how it lets go."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.fs import Fs
from entrepot.adapters.blobs.piece_size import piece_size
from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.registry.ports import UploadProgress
from tests.contracts.blob_uploads import append, each, pieces_of, push, read, walk
from tests.support.disks import CachingFs, CountingFs, FailingFs, HookedFs, SlowFs, open_files

Open = Callable[..., FilesystemBlobStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Give a function that opens a worker on one folder, on any disk and in any boot."""
    opened: list[FilesystemBlobStore] = []

    def open_store(fs: Fs | None = None, boot: str | None = None, threads: int = 16) -> FilesystemBlobStore:
        opened.append(FilesystemBlobStore(tmp_path, fs=fs, boot=boot, threads=threads))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


# Reading back.


async def test_one_patch_and_an_empty_put_read_nothing_back(open_store: Open) -> None:
    """POST, one PATCH, empty PUT: no byte is read again, on whichever worker the PUT ends."""
    first, second = CountingFs(), CountingFs()
    one, two = open_store(first), open_store(second)
    for upload_id, sealer in (("same", one), ("other", two)):
        data = random.Random(upload_id).randbytes(3_000_000)
        await one.start_upload(upload_id)
        known = await append(one, upload_id, data)
        assert (await sealer.seal(upload_id, Digest.of(data), known=known)).offset == len(data)
        await sealer.publish(upload_id, Digest.of(data))
    assert first.read_back.total() == 0
    assert second.read_back.total() == 0


@pytest.mark.parametrize("sealer", [0, 1])
async def test_a_thousand_chunks_over_two_workers_read_each_byte_back_at_most_once(
    open_store: Open, sealer: int
) -> None:
    """However chunks scatter, no byte is read again more than once, counted over both workers."""
    disks = [CountingFs(), CountingFs()]
    workers = [open_store(disk) for disk in disks]
    source = random.Random(1000)
    known, sent = None, b""
    await workers[0].start_upload("scattered")
    for _ in range(1000):
        chunk = source.randbytes(source.randrange(1, 2000))
        worker = workers[source.getrandbits(1)]
        known = await append(worker, "scattered", chunk, offset=len(sent), known=known)
        sent += chunk
    assert (await workers[sealer].seal("scattered", Digest.of(sent), known=known)).offset == len(sent)
    read_back = disks[0].read_back + disks[1].read_back
    assert read_back.total() > 0
    assert max(read_back.values()) == 1


async def test_a_thousand_chunks_to_one_worker_read_nothing_back(open_store: Open) -> None:
    """The hasher stays in the process from chunk to chunk."""
    disk = CountingFs()
    store = open_store(disk)
    await store.start_upload("steady")
    for n in range(1000):
        await append(store, "steady", b"12345", offset=5 * n)
    assert (await store.seal("steady", Digest.of(b"12345" * 1000))).offset == 5000
    assert disk.read_back.total() == 0


async def test_a_sealing_worker_reads_only_what_it_has_not_hashed(open_store: Open) -> None:
    """The worker that hashed the beginning reads the rest alone."""
    disk = CountingFs()
    one, two = open_store(disk), open_store()
    await one.start_upload("continued")
    await append(one, "continued", b"a" * 1000)
    await append(two, "continued", b"b" * 500, offset=1000)
    await one.seal("continued", Digest.of(b"a" * 1000 + b"b" * 500))
    assert sorted(offset for _, offset in disk.read_back) == list(range(1000, 1500))


async def test_a_hasher_that_saw_more_than_was_written_is_dropped(open_store: Open) -> None:
    """After a failed write the bytes that came instead are what counts."""
    broken = FailingFs()
    one, two = open_store(broken), open_store()
    await one.start_upload("failed")
    await append(one, "failed", b"first,")
    broken.arm(5, errno.EIO)  # after open, lock, stat_file and stat
    with pytest.raises(Unavailable):
        await append(one, "failed", b"lost bytes", offset=6)
    assert broken.failed == "write"
    broken.disarm()
    await append(two, "failed", b"other data", offset=6)
    assert (await one.seal("failed", Digest.of(b"first,other data"))).offset == 16


async def test_nothing_is_written_in_the_place_of_a_failed_write(open_store: Open) -> None:
    """Bytes that follow those of a failed write do not move up: the client goes on from the last good byte."""
    broken = FailingFs()
    store = open_store(broken)
    await store.start_upload("failed")
    broken.arm(5, errno.EIO)
    with pytest.raises(Unavailable):
        await append(store, "failed", random.Random(8).randbytes(5 << 20))
    assert broken.failed == "write"
    broken.disarm()
    assert await store.upload_size("failed") == 0


# Boots.


async def test_after_a_boot_the_note_of_a_digest_counts_no_more(open_store: Open, tmp_path: Path) -> None:
    """Bytes that a power cut changed are noticed, although the database still tells their old digest."""
    before = open_store(boot="monday")
    await before.start_upload("cut")
    known = await append(before, "cut", b"whole")
    (tmp_path / "entrepot/uploads/cut").write_bytes(b"who\0\0")
    after = open_store(boot="tuesday")
    with pytest.raises(DigestInvalid):
        await after.seal("cut", Digest.of(b"whole"), known=known)


async def test_an_upload_of_an_older_boot_can_still_be_finished(open_store: Open) -> None:
    """Bytes that the power cut left alone are read once more, and become a blob with the mode of all blobs."""
    before = open_store(boot="monday")
    await before.start_upload("kept")
    known = await append(before, "kept", b"whole")
    disk = CountingFs()
    after = open_store(disk, boot="tuesday")
    await after.seal("kept", Digest.of(b"whole"), known=known)
    await after.publish("kept", Digest.of(b"whole"))
    assert disk.read_back.total() == 5
    plain = await push(after, b"pushed today")
    modes = {after.path(key).stat().st_mode for key in (str(Digest.of(b"whole")), plain.key)}
    assert len(modes) == 1


async def test_a_restart_within_a_boot_changes_nothing(open_store: Open) -> None:
    """When only the process ended, the note counts: nothing is read again."""
    before = open_store(boot="monday")
    await before.start_upload("restarted")
    known = await append(before, "restarted", b"whole")
    disk = CountingFs()
    after = open_store(disk, boot="monday")
    await after.seal("restarted", Digest.of(b"whole"), known=known)
    assert disk.read_back.total() == 0


async def test_an_upload_that_cannot_be_marked_is_dropped(open_store: Open) -> None:
    """A file of an older boot that belongs to somebody else is not trusted, so it goes."""

    def refuse(name: str, arguments: tuple[str, ...]) -> None:
        if name == "set_mode":
            raise PermissionError

    await open_store(boot="monday").start_upload("foreign")
    assert await open_store(HookedFs(refuse), boot="tuesday").uploads() == []


async def test_a_blob_with_its_upload_name_left_is_not_written_to(open_store: Open, tmp_path: Path) -> None:
    """Where a power cut left both names of a rename, going on with the upload does not reach the blob."""
    before = open_store(boot="monday")
    blob = await push(before, b"published", upload_id="twice")
    os.link(before.path(blob.key), tmp_path / "entrepot/uploads/twice")
    after = open_store(boot="tuesday")
    with pytest.raises(BlobUploadUnknown):
        await append(after, "twice", b" and more", offset=9)
    assert await read(after, blob.key) == b"published"


# Layout.


async def test_a_blob_lies_where_registry_2_puts_it(open_store: Open, tmp_path: Path) -> None:
    """The bytes are in `blobs/<algorithm>/<two digits>/<hex>/data`, with the modes that the umask gives."""
    umask = os.umask(0o027)
    try:
        store = open_store()
        blob = await push(store, b"content")
    finally:
        os.umask(umask)
    encoded = Digest.of(b"content").encoded
    path = tmp_path / f"docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"
    assert path.read_bytes() == b"content"
    assert store.path(blob.key) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "entrepot").stat().st_mode) == 0o700
    assert (blob.inode, blob.mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)


async def test_the_root_is_made_when_it_is_missing(tmp_path: Path) -> None:
    """A folder that is not there yet is made, and those above it."""
    store = FilesystemBlobStore(tmp_path / "a/b/c")
    blob = await push(store, b"content")
    assert await read(store, blob.key) == b"content"
    store.close()


async def test_the_walk_passes_over_what_is_no_blob(open_store: Open, tmp_path: Path) -> None:
    """Foreign files, temporary files, folders in the wrong place and half deleted blobs are no blobs."""
    store = open_store()
    blob = await push(store, b"content")
    shard = store.path(blob.key).parent.parent
    encoded = Digest.of(b"elsewhere").encoded
    for odd in (
        "README",
        f"{encoded}.tmp",
        encoded,
        "a" * 64 if shard.name != "aa" else "b" * 64,
        shard.name + "0" * 62,
    ):
        (shard / odd).mkdir(parents=True)
    (shard / encoded / "data").write_bytes(b"elsewhere")
    (shard / "file").write_bytes(b"")
    (shard.parent / "file").write_bytes(b"")
    (shard.parent / "zz").mkdir()
    (shard.parent.parent / "md5/00").mkdir(parents=True)
    (shard / (shard.name + "0" * 62) / "data").mkdir()
    assert await walk(store) == [blob]


async def test_what_lies_beside_the_bytes_survives_their_deletion(open_store: Open) -> None:
    """A folder that holds more than the bytes loses the bytes alone."""
    store = open_store()
    blob = await push(store, b"content")
    beside = store.path(blob.key).with_name("note")
    beside.write_text("not ours")
    await store.delete(blob.key)
    assert beside.exists()
    with pytest.raises(BlobUnknown):
        await store.stat(blob.key)


async def test_a_folder_removed_under_a_push_is_made_again(open_store: Open, tmp_path: Path) -> None:
    """A deletion that takes the blob's folder away just before the rename does not fail the push."""
    removed = []

    def remove_once(name: str, arguments: tuple[str, ...]) -> None:
        if name == "rename" and not removed:
            removed.append(Path(arguments[1]).parent)
            removed[0].rmdir()

    blob = await push(open_store(HookedFs(remove_once)), b"content")
    assert removed
    assert await read(open_store(), blob.key) == b"content"


async def test_a_blob_deleted_while_it_is_published(open_store: Open) -> None:
    """A deletion that comes between the rename and its sync is as good as one that comes after."""

    def delete(name: str, arguments: tuple[str, ...]) -> None:
        if name == "sync_folder" and len(Path(arguments[0]).name) == 64:
            (Path(arguments[0]) / "data").unlink()
            Path(arguments[0]).rmdir()

    store = open_store(HookedFs(delete))
    blob = await push(store, b"content")
    with pytest.raises(BlobUnknown):
        await store.stat(blob.key)


async def test_a_pushed_copy_heals_a_damaged_one(open_store: Open) -> None:
    """Pushing a blob whose stored bytes are damaged puts the right ones there."""
    store = open_store()
    blob = await push(store, b"content")
    store.path(blob.key).write_bytes(b"c0ntent")
    healed = await push(store, b"content")
    assert await read(store, blob.key) == b"content"
    assert healed.inode != blob.inode


async def test_large_uploads_are_written_out_early(open_store: Open) -> None:
    """What cannot pass the page cache is asked to be written every 4 MiB, so that the sync at the end is short."""
    disk = CachingFs()
    store = open_store(disk)
    await store.start_upload("early")
    await append(store, "early", bytes(50 << 20))
    assert disk.calls["start_sync"] == 12


async def test_a_push_costs_three_syncs(open_store: Open) -> None:
    """The file, its folder, the folder above: more only where folders are used for the first time."""
    disk = CountingFs()
    store = open_store(disk)
    await push(store, b"first")
    shard = Digest.of(b"first").encoded[:2]
    second = next(b"%d" % n for n in range(10_000) if Digest.of(b"%d" % n).encoded[:2] == shard)
    disk.calls.clear()
    await push(store, second)
    assert disk.calls["sync"] == 3


# Letting go.


async def test_a_write_under_way_ends_before_the_lock_is_given_up(open_store: Open, tmp_path: Path) -> None:
    """A cancelled append holds its lock until its thread has written the batch it is at."""
    slow = SlowFs("write")
    slow.go.set()
    store, other = open_store(slow), open_store()
    slow.go.clear()
    slow.reached.clear()
    await store.start_upload("held")
    task = asyncio.create_task(append(store, "held", b"x" * 2_000_000))
    await asyncio.to_thread(slow.reached.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(UploadRangeInvalid):
        await append(other, "held", b"")
    slow.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_files(tmp_path) == []
    size = await other.upload_size("held")
    await append(other, "held", b"x" * (2_000_000 - size), offset=size)
    assert (await other.seal("held", Digest.of(b"x" * 2_000_000))).offset == 2_000_000


@pytest.mark.parametrize("seed", range(8))
async def test_cancelling_at_any_moment_leaves_nothing_open(open_store: Open, tmp_path: Path, seed: int) -> None:
    """Pushes and pulls cancelled at random moments leave no descriptor, no lock, and whole blobs only."""
    source = random.Random(seed)
    store = open_store()
    blobs = {}
    for n in range(60):
        data = source.randbytes(source.choice((0, 100, 70_000, 1_500_000)))
        digest = Digest.of(data)
        task = asyncio.create_task(_push_and_pull(store, f"s{seed}-{n}", data, in_two=source.random() < 0.5))
        await asyncio.sleep(source.choice((0, 0, 0.0002, 0.0005, 0.001, 0.002, 0.004)))
        task.cancel()
        done, _ = await asyncio.wait((task,))
        assert len(done) == 1
        blobs[str(digest)] = data
    assert open_files(tmp_path) == []
    for upload_id, _ in await store.uploads():
        offset = await store.upload_size(upload_id)
        await append(store, upload_id, b"", offset=offset)
    for blob in await walk(store):
        assert await read(store, blob.key) == blobs[blob.key]


async def _push_and_pull(store: FilesystemBlobStore, upload_id: str, data: bytes, *, in_two: bool) -> None:
    half = len(data) // 2 if in_two else len(data)
    await store.start_upload(upload_id)
    await append(store, upload_id, data[:half])
    await append(store, upload_id, data[half:], offset=half)
    digest = Digest.of(data)
    await store.seal(upload_id, digest)
    await store.publish(upload_id, digest)
    async with aclosing(store.stream(str(digest))) as stream:
        async for _ in stream:
            await asyncio.sleep(0)


async def test_leaving_a_stream_early_closes_the_file(open_store: Open, tmp_path: Path) -> None:
    """Closing the generator closes the file at once."""
    store = open_store()
    blob = await push(store, b"x" * 5_000_000)
    stream = store.stream(blob.key)
    await anext(stream)
    assert len(open_files(tmp_path)) == 1
    await stream.aclose()
    assert open_files(tmp_path) == []


async def test_the_event_loop_neither_hashes_nor_waits_for_the_disk(open_store: Open) -> None:
    """Writes, reads, syncs and renames are made by threads, and hashing costs the loop's own thread next to nothing."""
    callers: dict[str, set[bool]] = {}
    loop_thread = threading.get_ident()

    def note(name: str, _: tuple[object, ...]) -> None:
        callers.setdefault(name, set()).add(threading.get_ident() == loop_thread)

    store = open_store(HookedFs(note))
    data = random.Random(0).randbytes(64 * 1024 * 1024)
    pieces = [data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)]
    await store.start_upload("large")
    callers.clear()
    of_loop, of_all = time.thread_time(), time.process_time()
    await store.append("large", each(pieces), offset=0, algorithm="sha256")
    of_loop, of_all = time.thread_time() - of_loop, time.process_time() - of_all
    await store.seal("large", Digest.of(data))
    await store.publish("large", Digest.of(data))
    assert await read(store, str(Digest.of(data))) == data
    assert of_loop < of_all / 2, (of_loop, of_all)
    assert [callers[name] for name in ("write", "read", "sync", "rename")] == [{False}] * 4


async def test_no_more_file_calls_at_once_than_allowed(open_store: Open) -> None:
    """Of twenty pushes that all want to sync, as many do at a time as the store was given threads."""
    running, most, lock = 0, 0, threading.Lock()

    class Crowded(Fs):
        def sync(self, file: int) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1
            super().sync(file)

    store = open_store(Crowded(), threads=3)
    await asyncio.gather(*(push(store, b"%d" % number, upload_id=f"push-{number}") for number in range(20)))
    assert most == 3


async def test_the_pieces_shrink_when_streams_are_many(open_store: Open) -> None:
    """One reader gets megabytes, a crowd gets 64 KiB each, and those who stay get megabytes again."""
    store = open_store()
    blob = await push(store, b"x" * 5_000_000)
    streams = [store.stream(blob.key) for _ in range(200)]
    sizes = [len(await anext(stream)) for stream in streams]
    assert sizes[0] == 1 << 20
    assert sizes[-1] == 64 << 10
    assert sizes == [piece_size(n + 1) for n in range(200)]
    for stream in streams[1:]:
        await stream.aclose()
    assert len(await anext(streams[0])) == 1 << 20
    await streams[0].aclose()


async def test_a_failing_body_is_not_a_failing_disk(open_store: Open) -> None:
    """An OSError of the client's connection passes through untouched."""
    store = open_store()
    await store.start_upload("broken")

    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await store.append("broken", broken(), offset=0, algorithm="sha256")
    assert await store.upload_size("broken") == 4


async def test_ten_gigabytes_are_only_a_number(open_store: Open, tmp_path: Path) -> None:
    """Offsets beyond 4 GiB are written, published and read in the right place."""
    store = open_store()
    await store.start_upload("huge")
    size = 10 << 30
    os.truncate(tmp_path / "entrepot/uploads/huge", size)
    progress = await append(store, "huge", b"the end", offset=size)
    assert progress == UploadProgress(offset=size + 7, hashed=None)
    digest = Digest.of(b"taken on trust")
    trusted = UploadProgress(offset=size + 7, hashed=digest)
    assert (await store.seal("huge", digest, known=trusted)).offset == size + 7
    blob = await store.publish("huge", digest)
    assert blob.size == size + 7
    assert await read(store, blob.key, size - 1) == b"\0the end"


async def test_a_file_cut_by_somebody_else(open_store: Open, tmp_path: Path) -> None:
    """An upload whose file is cut while it is read again is refused, and does not keep the store reading for ever."""
    path = tmp_path / "entrepot/uploads/cut"

    def cut(name: str, arguments: tuple[str, ...]) -> None:
        if name == "read" and path.exists():
            os.truncate(path, 1)

    store, other = open_store(), open_store(HookedFs(cut))
    await store.start_upload("cut")
    await append(store, "cut", b"content")
    with pytest.raises(BlobUploadInvalid):
        await other.seal("cut", Digest.of(b"content"))


async def test_a_file_taken_away_by_somebody_else(open_store: Open, tmp_path: Path) -> None:
    """An upload whose file vanished is unknown at every step."""
    store = open_store()
    await store.start_upload("vanished")
    await append(store, "vanished", b"abc")
    await store.seal("vanished", Digest.of(b"abc"))
    (tmp_path / "entrepot/uploads/vanished").unlink()
    with pytest.raises(BlobUploadUnknown):
        await store.publish("vanished", Digest.of(b"abc"))
    with pytest.raises(BlobUploadUnknown):
        await store.append("vanished", pieces_of(b"d"), offset=3, algorithm="sha256")
