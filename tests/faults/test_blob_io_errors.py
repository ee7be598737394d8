"""Every single disk call of a push, a pull and a deletion fails once, with each error that disks give.

After each: nothing was acknowledged that is not there, nothing is left open, what was there before still is, and the
next try works.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Awaitable
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.oci.digest import Digest
from entrepot.oci.errors import InsufficientStorage, RegistryError, Unavailable
from entrepot.registry.ports import StoredBlob
from tests.contracts.blob_uploads import append, push, read, walk
from tests.support.disks import FailingFs, open_files

ERRORS = [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EDQUOT, errno.EACCES]
DATA = random.Random(7).randbytes(2_300_000)
DIGEST = Digest.of(DATA)
OLD = b"was here before"


async def _push(store: FilesystemBlobStore, upload_id: str) -> StoredBlob:
    """Push in two appends, the second of which this process did not hash, so that bytes are read back too."""
    await store.start_upload(upload_id)
    await append(store, upload_id, DATA[:1_500_000])
    await append(store, upload_id, DATA[1_500_000:], offset=1_500_000, algorithm="sha512")
    await store.seal(upload_id, DIGEST)
    return await store.publish(upload_id, DIGEST)


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
async def test_a_push_survives_the_failure_of_any_call(tmp_path: Path, error: int) -> None:
    """A push whose n-th call fails is refused and leaves nothing half, and the next one works."""
    seen = set()
    for n in range(1, 1000):
        fs = FailingFs()
        store = FilesystemBlobStore(tmp_path / str(n), fs=fs)
        old = await push(store, OLD)
        fs.arm(n, error)
        refused = await _refusal(_push(store, "failing"))
        fs.disarm()
        if fs.failed is None:
            assert refused is None
            break
        seen.add(fs.failed)
        assert isinstance(refused, InsufficientStorage if _means_full(error) else Unavailable)
        assert str(tmp_path) not in refused.message
        assert open_files(tmp_path) == [], fs.failed
        await _check_after(store, old, freed=_means_full(error) and fs.failed in {"write", "make_folder", "rename"})
        store.close()
    assert seen >= {"open", "lock", "write", "read", "close", "sync", "rename", "make_folder", "stat_file", "stat"}


def _means_full(error: int) -> bool:
    """Tell whether an error number means that there is no more room."""
    return error in {errno.ENOSPC, errno.EDQUOT}


async def _refusal(attempt: Awaitable[object]) -> RegistryError | None:
    try:
        await attempt
    except RegistryError as error:
        return error
    return None


async def _check_after(store: FilesystemBlobStore, old: StoredBlob, *, freed: bool) -> None:
    """Nothing half is visible, a full disk has its space back, and the same push works at the second try."""
    assert await read(store, old.key) == OLD
    for blob in await walk(store):
        assert Digest.of(await read(store, blob.key)) == Digest.parse(blob.key)
    if freed:
        assert await store.uploads() == []
    await store.cancel_upload("failing")
    assert await store.uploads() == []
    blob = await _push(store, "again")
    assert await read(store, blob.key) == DATA


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
async def test_reading_survives_the_failure_of_any_call(tmp_path: Path, error: int) -> None:
    """A read whose n-th call fails ends with an error, never with fewer bytes."""
    fs = FailingFs()
    store = FilesystemBlobStore(tmp_path, fs=fs)
    blob = await push(store, DATA)
    fs.arm(0, 0)
    await read(store, blob.key)
    for n in range(1, fs.count + 1):
        fs.arm(n, error)
        with pytest.raises((RegistryError, OSError)):
            await read(store, blob.key)
        assert open_files(tmp_path) == [], fs.failed
    fs.disarm()
    assert await read(store, blob.key) == DATA
    store.close()


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
async def test_a_deletion_can_be_repeated_after_any_failure(tmp_path: Path, error: int) -> None:
    """A deletion whose n-th call fails leaves the whole blob or none, and ends when repeated."""
    fs = FailingFs()
    store = FilesystemBlobStore(tmp_path, fs=fs)
    for n in range(1, 20):
        blob = await push(store, DATA)
        fs.arm(n, error)
        failed = await _refusal(store.delete(blob.key)) is not None
        fs.disarm()
        assert failed == (fs.failed is not None and fs.failed != "remove_folder")
        assert await walk(store) in ([], [blob])
        await store.delete(blob.key)
        assert await walk(store) == []
        assert open_files(tmp_path) == []
        if fs.failed is None:
            break
    else:
        pytest.fail("a deletion makes fewer calls than that")
    store.close()


async def test_a_failed_sync_is_never_retried(tmp_path: Path) -> None:
    """After a failed sync the upload is gone: no second try can take lost bytes for stored ones."""
    fs = FailingFs()
    store = FilesystemBlobStore(tmp_path, fs=fs)
    await store.start_upload("unsynced")
    await append(store, "unsynced", DATA)
    n = 1
    while fs.failed != "sync":
        if not await store.uploads():
            pytest.fail("the upload went for another reason")
        fs.arm(n, errno.EIO)
        with pytest.raises(RegistryError):
            await store.seal("unsynced", DIGEST)
        n += 1
    fs.disarm()
    assert await store.uploads() == []
    with pytest.raises(RegistryError):
        await store.seal("unsynced", DIGEST)
    store.close()
