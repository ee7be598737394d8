"""Blobs move from one store into another while they are pushed, pulled and collected, and each is verified."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.adapters.blobs.two_stores import TwoStores
from entrepot.lifecycle.storage_move import MoveTally, StorageMove
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.oci.digest import Digest
from entrepot.registry import layout
from entrepot.registry.ports import BlobStore
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.blob_uploads import read
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.memory_cloud import MemoryCloud

LAYERS = [random.Random(number).randbytes(1000 * number + 1) for number in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[FilesystemBlobStore]:
    """Give blobs in a folder."""
    opened = FilesystemBlobStore(tmp_path / "blobs")
    yield opened
    opened.close()


@pytest.fixture
def bucket() -> ObjectBlobStore:
    """Give blobs in a bucket."""
    return ObjectBlobStore(MemoryCloud())


@pytest.fixture(params=["folder to bucket", "bucket to folder", "bucket to bucket"])
def stores(
    request: pytest.FixtureRequest, folder: FilesystemBlobStore, bucket: ObjectBlobStore
) -> tuple[BlobStore, BlobStore]:
    """Give where blobs are, and where they are to be."""
    pairs = {
        "folder to bucket": (folder, bucket),
        "bucket to folder": (bucket, folder),
        "bucket to bucket": (ObjectBlobStore(MemoryCloud()), bucket),
    }
    return pairs[request.param]


def over(kit: Kit, store: BlobStore) -> Pusher:
    """Give a registry with its blobs in a store."""
    return Pusher(replace(kit, store=store).registry())


async def move(kit: Kit, old: BlobStore, new: BlobStore) -> MoveTally:
    """Move what is left."""
    return await StorageMove(metadata=kit.metadata, store=new, other=old).run(Unwatched())


async def pulled(kit: Kit, store: BlobStore, content: bytes) -> bool:
    """Tell whether a registry gives a blob."""
    blob = await replace(kit, store=store).registry().blobs.get(NAME, Digest.of(content))
    return await read(store, blob.key, 0, blob.size) == content


async def test_all_blobs_move_while_both_are_read(kit: Kit, stores: tuple[BlobStore, BlobStore]) -> None:
    """Before, in the middle and after it everything is read; what is pushed meanwhile goes to the new store."""
    old, new = stores
    await over(kit, old).image("v1", *LAYERS)
    both = TwoStores(new, old)
    assert all([await pulled(kit, both, layer) for layer in LAYERS])
    await over(kit, both).image("v2", b"pushed meanwhile", LAYERS[0])
    done = await move(kit, old, new)
    assert (done.moved, done.failed, done.lost) == (13, 0, 0)
    assert done.there == 1
    assert all([await pulled(kit, new, layer) for layer in [*LAYERS, b"pushed meanwhile"]])
    assert all([await pulled(kit, both, layer) for layer in LAYERS])
    again = await move(kit, old, new)
    assert (again.moved, again.there) == (0, 14)


async def test_a_move_that_was_broken_off_goes_on(
    kit: Kit, folder: FilesystemBlobStore, bucket: ObjectBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was moved stays moved, and is not copied again."""
    monkeypatch.setattr("entrepot.lifecycle.storage_move._ROWS", 5)
    await over(kit, folder).image("v1", *LAYERS)

    class Impatient(Unwatched):
        async def step(self, done: int, total: int | None = None) -> None:
            if done >= 10:
                raise Stopped

    with pytest.raises(Stopped):
        await StorageMove(metadata=kit.metadata, store=bucket, other=folder).run(Impatient())
    assert all([await pulled(kit, TwoStores(bucket, folder), layer) for layer in LAYERS])
    done = await move(kit, folder, bucket)
    assert (done.there, done.moved) == (10, 3)


async def test_damaged_bytes_are_not_moved(kit: Kit, folder: FilesystemBlobStore, bucket: ObjectBlobStore) -> None:
    """A blob whose bytes have another digest stays where it is, and is named; nothing of it is left elsewhere."""
    await over(kit, folder).image("v1", *LAYERS)
    folder.path(str(Digest.of(LAYERS[3]))).write_bytes(b"x" * len(LAYERS[3]))
    done = await move(kit, folder, bucket)
    assert (done.failed, done.moved) == (1, len(LAYERS))
    row = await blob_rows.find(kit.metadata, str(Digest.of(LAYERS[3])))
    assert row is not None
    assert not layout.is_object(row.storage_key)
    assert len([key async for key in bucket.keys()]) == len(LAYERS)


async def test_a_row_that_changed_keeps_what_it_says(
    kit: Kit, folder: FilesystemBlobStore, bucket: ObjectBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that is mounted while it is copied is moved by the next run, and the copy is dropped."""
    pusher = over(kit, folder)
    await pusher.blob(LAYERS[5])
    real = ObjectBlobStore.publish

    async def mounted_meanwhile(self: ObjectBlobStore, *words: object, **known: object) -> object:
        other = replace(pusher, name=NAME.__class__.parse("team/other"))
        await other.registry.blobs.mount(other.name, Digest.of(LAYERS[5]), NAME, actor=ALICE)
        return await real(self, *words, **known)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ObjectBlobStore, "publish", mounted_meanwhile)
        assert (await move(kit, folder, bucket)).moved == 0
    assert [key async for key in bucket.keys()] == []
    assert (await move(kit, folder, bucket)).moved == 1
