"""The power fails at every point, and no acknowledged blob suffers.

Two workers push, push again, delete and abandon. Their disk effects are recorded and replayed up to every point, with
everything that was not yet synced dropped, torn, zeroed or reordered. On each disk so found a store is opened: every
blob that was acknowledged must be there, whole; every blob that is there must be what its digest says; every upload
that the database still tells of must end in a right blob or in an error; and a new push must work.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError, Unavailable
from entrepot.registry.ports import UploadProgress
from tests.contracts.blob_uploads import append, push, read, walk
from tests.support.crash import CrashStates, Log, Operation, RecordingFs, Said, Sync, SyncFolder, UnsyncedFs, lay_out

STATES = 2_000
ALL_STATES = 100_000

#: How likely an effect that was not synced is kept: none, all (as when only the process dies), and between.
KEPT = (0.0, 1.0, 0.5, 0.8, 0.2)

Forget = Callable[[Operation], bool]


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder name in memory: what is laid out there is looked at and thrown away."""
    with TemporaryDirectory(dir="/dev/shm", prefix="crash-states-") as folder:
        yield Path(folder) / "found"


class Brittle(RecordingFs):
    """A recording disk on which the sync of one folder fails once, after the folder in it was made."""

    fails_at = ""

    def sync_folder(self, path: str) -> None:
        """Fail once where told, else sync."""
        if path == self.fails_at:
            self.fails_at = ""
            raise OSError(5, "Input/output error")
        super().sync_folder(path)


class Scene:
    """Two workers on one recorded disk, and what they were told."""

    def __init__(self, root: Path, log: Log, forget: Forget) -> None:
        """Open both workers on an empty folder."""
        self.root = root
        self.log = log
        self.brittle = Brittle(log, forget=forget)
        self.workers = (
            FilesystemBlobStore(root, fs=RecordingFs(log, forget=forget), boot="before"),
            FilesystemBlobStore(root, fs=self.brittle, boot="before"),
        )
        self.source = Random(20_240)
        self._count = 0

    async def push(self, worker: int, data: bytes, algorithm: str = "sha256") -> None:
        """Push a blob in a few chunks, and note its acknowledgement."""
        upload_id = await self.upload(worker, data, algorithm)
        digest = Digest.of(data, algorithm)
        self.log.say("coming", str(digest))
        await self.workers[worker].seal(upload_id, digest)
        blob = await self.workers[worker].publish(upload_id, digest)
        self.log.say("acknowledged", blob.key)
        self.log.say("ended", upload_id)

    async def upload(self, worker: int, data: bytes, algorithm: str = "sha256") -> str:
        """Send bytes, and note what the database would keep of them."""
        self._count += 1
        upload_id, offset, known = f"upload-{self._count}", 0, None
        await self.workers[worker].start_upload(upload_id)
        while offset < len(data):
            chunk = data[offset : offset + self.source.randrange(1, 3_000)]
            known = await append(
                self.workers[worker], upload_id, chunk, offset=offset, algorithm=algorithm, known=known
            )
            offset = known.offset
            self.log.say("known", upload_id, (known, Digest.of(data[:offset])))
        return upload_id

    async def delete(self, worker: int, data: bytes) -> None:
        """Delete a blob; from the first moment on nobody may count on it."""
        key = str(Digest.of(data))
        self.log.say("given up", key)
        await self.workers[worker].delete(key)
        self.log.say("deleted", key)

    def close(self) -> None:
        """Stop the workers."""
        for worker in self.workers:
            worker.close()


async def _play(scene: Scene) -> None:
    blobs = [scene.source.randbytes(size) for size in (0, 1, 511, 512, 2_000, 5_000, 9_000)]
    for n, data in enumerate(blobs):
        await scene.push(n % 2, data)
    await scene.push(0, blobs[4])
    await scene.push(1, blobs[5], algorithm="sha512")
    await _make_a_folder_and_fail(scene)
    for data in blobs[4:6]:
        await scene.delete(1, data)
    await scene.push(0, blobs[4])
    await scene.delete(0, blobs[4])
    abandoned = await scene.upload(0, blobs[6])
    await scene.workers[0].cancel_upload(await scene.upload(1, blobs[3]))
    await scene.workers[1].seal(abandoned, Digest.of(blobs[6]))
    await scene.upload(1, b"open" * 1_000)
    await asyncio.gather(*(scene.push(n % 2, b"at once") for n in range(4)))


async def _make_a_folder_and_fail(scene: Scene) -> None:
    """One worker makes a folder and fails before syncing its name; the other finds the folder there and goes on."""
    data = next(b"%d" % n for n in range(10_000) if Digest.of(b"%d" % n).encoded.startswith("00"))
    scene.brittle.fails_at = f"{scene.root}/docker/registry/v2/blobs/sha256"
    with pytest.raises(Unavailable):
        await scene.push(1, data)
    await scene.push(0, data)


async def _record(root: Path, forget: Forget = lambda _: False) -> list[Operation]:
    log = Log()
    scene = Scene(root, log, forget)
    await _play(scene)
    scene.close()
    return log.operations


class Expectations:
    """What the caller was told before the cut."""

    def __init__(self, operations: list[Operation]) -> None:
        """Read it from the log."""
        self.blobs: set[str] = set()
        self.gone: set[str] = set()
        self.sessions: dict[str, tuple[UploadProgress, Digest]] = {}
        for operation in operations:
            if isinstance(operation, Said):
                self._take(operation)

    def _take(self, said: Said) -> None:
        match said:
            case Said("coming", key):
                self.gone.discard(key)
            case Said("acknowledged", key):
                self.blobs.add(key)
            case Said("given up", key):
                self.blobs.discard(key)
            case Said("deleted", key):
                self.gone.add(key)
            case Said("known", upload_id, progress) if progress:
                self.sessions[upload_id] = progress
            case Said("ended", upload_id):
                self.sessions.pop(upload_id, None)


async def _violations(root: Path, expected: Expectations) -> AsyncIterator[str]:
    """Open a store on a crash state, look at everything in it, use it, and say what is wrong."""
    store = FilesystemBlobStore(root, fs=UnsyncedFs(), boot="after")
    try:
        async for wrong in _wrong_blobs(store, expected):
            yield f"at once: {wrong}"
        for upload_id, (known, digest) in expected.sessions.items():
            await _finish(store, upload_id, known, digest)
        await push(store, b"life goes on", upload_id="new")
        expected.blobs.add(str(Digest.of(b"life goes on")))
        expected.gone.clear()
        async for wrong in _wrong_blobs(store, expected):
            yield f"after going on: {wrong}"
    finally:
        store.close()


async def _wrong_blobs(store: FilesystemBlobStore, expected: Expectations) -> AsyncIterator[str]:
    found = {blob.key for blob in await walk(store)}
    for key in expected.blobs - found:
        yield f"acknowledged and lost: {key}"
    for key in expected.gone & found:
        yield f"deleted and back: {key}"
    for key in found:
        digest = Digest.parse(key)
        if Digest.of(await read(store, key), digest.algorithm) != digest:
            yield f"visible and not whole: {key}"


async def _finish(store: FilesystemBlobStore, upload_id: str, known: UploadProgress, digest: Digest) -> None:
    """Go on with an upload as a client would: send a little, then complete it; being refused is no fault."""
    try:
        await store.seal(upload_id, digest, known=known)
        await store.publish(upload_id, digest)
    except RegistryError:
        pass
    try:
        offset = await store.upload_size(upload_id)
        await append(store, upload_id, b"more", offset=offset, known=known)
    except RegistryError:
        pass


async def _survey(operations: list[Operation], old_root: Path, place: Path, count: int) -> AsyncGenerator[str, None]:
    """Look at so many crash states, spread over all points, and give what is wrong, with the seed that shows it."""
    states = CrashStates(operations)
    for seed in range(count):
        cut = seed % (len(operations) + 1)
        keep = KEPT[seed // (len(operations) + 1) % len(KEPT)]
        lay_out(old_root, place, *states.build(cut, Random(seed), keep=keep))
        expected = Expectations(operations[:cut])
        async for what in _violations(place, expected):
            yield f"seed {seed}, cut before {cut}: {what}"
        shutil.rmtree(place)


async def test_no_power_cut_harms_an_acknowledged_blob(tmp_path: Path, place: Path) -> None:
    """2,000 crash states, every point of the log among them: nothing acknowledged lost, nothing half visible."""
    operations = await _record(tmp_path / "recorded")
    assert len(operations) * len(KEPT) <= STATES, "each point with each kind of loss"
    wrong = [what async for what in _survey(operations, tmp_path / "recorded", place, STATES)]
    assert wrong == []


@pytest.mark.full
@pytest.mark.timeout(3_600)
async def test_no_power_cut_harms_an_acknowledged_blob_long(tmp_path: Path, place: Path) -> None:
    """The same with 100,000 crash states."""
    operations = await _record(tmp_path / "recorded")
    wrong = [what async for what in _survey(operations, tmp_path / "recorded", place, ALL_STATES)]
    assert wrong == []


def _ends(operation: Operation, end: str) -> bool:
    return isinstance(operation, SyncFolder) and operation.path.endswith(end)


@pytest.mark.parametrize(
    "forget",
    [
        pytest.param(lambda operation: isinstance(operation, Sync), id="bytes"),
        pytest.param(
            lambda operation: isinstance(operation, SyncFolder) and len(Path(operation.path).name) == 64,
            id="blob folder",
        ),
        pytest.param(
            lambda operation: isinstance(operation, SyncFolder) and len(Path(operation.path).name) == 2, id="shard"
        ),
        pytest.param(lambda operation: _ends(operation, "/sha256"), id="algorithm"),
        pytest.param(lambda operation: _ends(operation, "/recorded"), id="root"),
    ],
)
async def test_the_replay_notices_a_missing_sync(tmp_path: Path, place: Path, forget: Forget) -> None:
    """A store that left out any one kind of sync would be caught: the test above can fail."""
    operations = await _record(tmp_path / "recorded", forget)
    async with aclosing(_survey(operations, tmp_path / "recorded", place, 5 * len(operations))) as survey:
        assert await anext(survey)
