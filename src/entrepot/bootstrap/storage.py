"""Opens the place of the blobs, for the server and for every command.

Here and nowhere else is decided which adapter it is; nothing of the others is imported.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.timed_store import MeasuredBlobStore
from entrepot.config import Config
from entrepot.config.schema.cloud_storage import S3, Azure, Gcs
from entrepot.config.schema.storage import OtherStorage
from entrepot.config.schema.storage import Storage as StorageSection
from entrepot.metadata import settings
from entrepot.metadata.database import Database
from entrepot.metadata.opening import Stores
from entrepot.oci.digest import Digest
from entrepot.registry import layout
from entrepot.registry.ports import BlobStore, Leftovers, LocalFiles
from entrepot.system.volumes import standing
from entrepot.telemetry.instruments import Metrics

if TYPE_CHECKING:
    from entrepot.adapters.blobs.objects.calls import Calls
    from entrepot.adapters.blobs.objects.store import ObjectBlobStore
    from entrepot.adapters.delivery.urls import Presigning
    from entrepot.adapters.trees.bucket_client import BucketClient, ListedCloud

#: The setting that names this registry in the marks of buckets.
_IDENTITY: Final = "registry-identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """How the store's blobs are called outside, and who signs for them."""

    path_of: Callable[[str], str]  #: registry:2's path of a key's bytes, from a slash on, without `rootdirectory`
    root: str = ""  #: `rootdirectory` of an object store: what stands before that path in the bucket
    presigning: Presigning | None = None  #: the store, where it signs URLs itself
    leftovers: Leftovers | None = None  #: the store, where it is to be searched for what nobody needs
    is_failing: Callable[[], bool] = lambda: False  #: tells whether the store has failed lately

    def name_of(self, key: str) -> str:
        """Return the object's name in the bucket, as a CDN in front of it asks for it."""
        return (self.root.rstrip("/") + self.path_of(key)).lstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The place of the blobs."""

    store: BlobStore
    objects: Objects
    #: Where blobs are whole files that the server can send by itself; None of an object store.
    files: LocalFiles | None = None
    bucket: BucketClient | None = None  #: where registry:2's objects can be looked for


@asynccontextmanager
async def opened_storage(config: Config, stores: Stores, metrics: Metrics | None = None) -> AsyncIterator[Storage]:
    """Open the place of the blobs that a configuration names, for the length of the block.

    Args:
        config: Names it.
        stores: The databases, which may lie on the same disk.
        metrics: Where is counted how long it takes; nowhere when None.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(_chosen(config, stores, metrics))
        if config.storage.also.type:
            from entrepot.adapters.blobs.two_stores import TwoStores  # noqa: PLC0415 - while blobs are moved

            other = await stack.enter_async_context(_other(config, stores))
            # What lies elsewhere is no file of this folder, and no object of this bucket.
            objects = replace(storage.objects, presigning=None)
            storage = replace(storage, store=TwoStores(storage.store, other), objects=objects, files=None)
        if metrics is not None:
            measured = MeasuredBlobStore(storage.store, metrics, config.storage.type or "filesystem")
            storage = replace(storage, store=measured)
        yield storage


@asynccontextmanager
async def opened_pair(config: Config, stores: Stores) -> AsyncIterator[tuple[BlobStore, BlobStore]]:
    """Open the place of the blobs and, each by itself, the other one that is read as well.

    Raises:
        OSError: A folder cannot be made or written to.
        StorageUnusable: A bucket cannot be used; the text says why.
    """
    async with _chosen(config, stores) as storage, _other(config, stores) as other:
        yield storage.store, other


@asynccontextmanager
async def _other(config: Config, stores: Stores) -> AsyncIterator[BlobStore]:
    also = config.storage.also
    if also.filesystem is None:
        async with _objects(cloud_place(also), stores) as storage:
            yield storage.store
        return
    root = Path(also.filesystem.rootdirectory)
    files = FilesystemBlobStore(root, threads=config.file_operations, shared=config.on_server)
    try:
        yield files
    finally:
        files.close()


@asynccontextmanager
async def _chosen(config: Config, stores: Stores, metrics: Metrics | None = None) -> AsyncIterator[Storage]:
    if config.storage.type in {"s3", "azure", "gcs"}:
        async with _objects(cloud_place(config.storage), stores, metrics) as storage:
            yield storage
        return
    if config.storage.type != "filesystem":
        raise ValueError(f"storage.{config.storage.type} cannot be opened")  # `config.support` has refused it
    files = FilesystemBlobStore(
        config.data,
        threads=config.file_operations,
        has_room=_room_of(config, stores),
        shared=config.on_server,  # where the databases are on a server, other hosts may have the folder too
    )
    try:
        yield Storage(store=files, objects=Objects(path_of=_path_in_folder), files=files)
    finally:
        files.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPlace:
    """A bucket or container of a cloud."""

    where: str  #: for people
    root: str  #: what all names begin with
    opening: Callable[[], Awaitable[ListedCloud]]  #: makes a client of it
    calls: Callable[[], Calls]  #: makes what repeats calls that failed


def cloud_place(storage: StorageSection | OtherStorage) -> CloudPlace:
    """Read which bucket is named; nobody is asked yet.

    Raises:
        StorageUnusable: The packages that it needs are not installed.
    """
    from entrepot.adapters.blobs.objects.place import StorageUnusable  # noqa: PLC0415 - not where blobs are files

    try:
        if storage.azure is not None:
            return _azure(storage.azure)
        if storage.gcs is not None:
            return _gcs(storage.gcs)
        assert storage.s3 is not None
        return _s3(storage.s3)
    except ImportError as error:
        raise StorageUnusable(
            f"storage.{storage.type} needs packages that are not installed ({error.name}): "
            f"pip install 'entrepot[{storage.type}]'"
        ) from error


def _s3(section: S3) -> CloudPlace:
    from entrepot.adapters.blobs.objects.calls import Calls  # noqa: PLC0415 - not where blobs are files
    from entrepot.adapters.blobs.objects.s3 import S3Bucket  # noqa: PLC0415 - needs the extra
    from entrepot.adapters.blobs.objects.s3_settings import S3Settings  # noqa: PLC0415 - as above

    place = S3Settings.of(section)
    return CloudPlace(
        where=f"the bucket {place.bucket}", root=place.root, opening=lambda: S3Bucket.open(place), calls=Calls
    )


def _azure(section: Azure) -> CloudPlace:
    from entrepot.adapters.blobs.objects.azure import AzureCloud  # noqa: PLC0415 - needs the extra
    from entrepot.adapters.blobs.objects.calls import MOST_TRIES, Calls  # noqa: PLC0415 - not where blobs are files

    tries = min(section.max_retries + 1, MOST_TRIES)
    return CloudPlace(
        where=f"the container {section.container}",
        root=section.root,
        opening=lambda: AzureCloud.open(section),
        calls=lambda: Calls(tries=tries, pause=section.retry_delay),
    )


def _gcs(section: Gcs) -> CloudPlace:
    from entrepot.adapters.blobs.objects.calls import Calls  # noqa: PLC0415 - not where blobs are files
    from entrepot.adapters.blobs.objects.gcs import GcsCloud  # noqa: PLC0415 - needs the extra

    return CloudPlace(
        where=f"the bucket {section.bucket}", root=section.root, opening=lambda: GcsCloud.open(section), calls=Calls
    )


@asynccontextmanager
async def _objects(place: CloudPlace, stores: Stores, metrics: Metrics | None = None) -> AsyncIterator[Storage]:
    """Open what is the same for all clouds: blobs below a root, and a mark that says whose they are.

    Raises:
        StorageUnusable: The bucket cannot be used; the text says why.
    """
    from entrepot.adapters.blobs.objects.cloud import CloudError  # noqa: PLC0415 - not where blobs are files
    from entrepot.adapters.blobs.objects.place import StorageUnusable, take_place  # noqa: PLC0415 - as above
    from entrepot.adapters.blobs.objects.store import ObjectBlobStore, name_of  # noqa: PLC0415 - as above
    from entrepot.adapters.trees.bucket_client import BucketClient  # noqa: PLC0415 - as above

    try:
        cloud = await place.opening()
    except CloudError as error:
        raise StorageUnusable(f"{place.where} cannot be used: {error}") from error
    calls = place.calls()
    if metrics is not None:
        calls.watch = _watch(metrics)
    store = ObjectBlobStore(cloud, calls=calls)
    bucket = BucketClient(place.where, place.opening, place.calls())
    try:
        await take_place(cloud, store.calls, await _identity(stores.metadata), place.where)
        objects = Objects(
            path_of=lambda key: f"/{name_of(key)}",
            root=place.root,
            presigning=store,
            leftovers=store,
            is_failing=store.calls.is_failing,
        )
        yield Storage(store=store, objects=objects, bucket=bucket)
    finally:
        await asyncio.to_thread(bucket.close)
        await store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket that is to be filled, before there are databases that say whose it is."""

    where: str  #: for people
    store: ObjectBlobStore
    take: Callable[[Database], Awaitable[None]]  #: marks it as that of these metadata; raises where it is another's


@asynccontextmanager
async def opened_bucket(config: Config) -> AsyncIterator[Bucket]:
    """Open the bucket that a configuration names.

    Raises:
        StorageUnusable: It cannot be used; the text says why.
    """
    place = cloud_place(config.storage)
    from entrepot.adapters.blobs.objects.cloud import CloudError  # noqa: PLC0415 - not where blobs are files
    from entrepot.adapters.blobs.objects.place import StorageUnusable, take_place  # noqa: PLC0415 - as above
    from entrepot.adapters.blobs.objects.store import ObjectBlobStore  # noqa: PLC0415 - as above

    try:
        cloud = await place.opening()
    except CloudError as error:
        raise StorageUnusable(f"{place.where} cannot be used: {error}") from error
    store = ObjectBlobStore(cloud, calls=place.calls())

    async def take(metadata: Database) -> None:
        await take_place(cloud, store.calls, await _identity(metadata), place.where)

    try:
        yield Bucket(where=place.where, store=store, take=take)
    finally:
        await store.close()


async def _identity(metadata: Database) -> str:
    """Return what this registry is called in marks; made once."""
    name = await settings.find(metadata, _IDENTITY)
    if name is None:
        await metadata.write(lambda tx: settings.add(tx, _IDENTITY, secrets.token_hex(16)), name="name registry")
        name = await settings.find(metadata, _IDENTITY)
    assert name is not None
    return name


def _watch(metrics: Metrics) -> Callable[[str, str, float], None]:
    """Count requests to the store by what was asked and how it ended, and how long they took."""
    asked = metrics.counter("entrepot_store_requests", "Requests to the object store.", ("op", "outcome"))
    took = metrics.histogram("entrepot_store_seconds", "Seconds that requests to the object store took.", ("op",))

    def watch(operation: str, outcome: str, seconds: float) -> None:
        asked.inc(operation, outcome)
        took.observe(seconds, operation)

    return watch


def _path_in_folder(key: str) -> str:
    return f"/{layout.blob_data(Digest.parse(key))}"


def _room_of(config: Config, stores: Stores) -> Callable[[int], bool]:
    """Give what says whether there is room for blobs: their disk may be another than that of the databases."""
    uploads = config.data / layout.UPLOADS
    if stores.ballast is None or standing(uploads).stat().st_dev != config.state.stat().st_dev:
        return lambda _size: True
    return stores.ballast.has_room
