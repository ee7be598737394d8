"""Opens the place of the blobs, for the server and for every command.

Here and nowhere else is decided which adapter it is; nothing of the others is imported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.timed_store import MeasuredBlobStore
from entrepot.config import Config
from entrepot.metadata.opening import Stores
from entrepot.oci.digest import Digest
from entrepot.registry import layout
from entrepot.registry.ports import BlobStore, LocalFiles
from entrepot.system.volumes import standing
from entrepot.telemetry.instruments import Metrics

if TYPE_CHECKING:
    from entrepot.adapters.delivery.urls import Presigning


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """How the store's blobs are called outside, and who signs for them."""

    path_of: Callable[[str], str]  #: registry:2's path of a key's bytes, from a slash on, without `rootdirectory`
    root: str = ""  #: `rootdirectory` of an object store: what stands before that path in the bucket
    presigning: Presigning | None = None  #: the store, where it signs URLs itself

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
    async with _chosen(config, stores) as storage:
        if metrics is None:
            yield storage
        else:
            yield Storage(
                store=MeasuredBlobStore(storage.store, metrics, config.storage.type or "filesystem"),
                objects=storage.objects,
                files=storage.files,
            )


@asynccontextmanager
async def _chosen(config: Config, stores: Stores) -> AsyncIterator[Storage]:
    if config.storage.type != "filesystem":
        raise ValueError(f"storage.{config.storage.type} cannot be opened")  # `config.support` has refused it
    files = FilesystemBlobStore(config.data, threads=config.file_operations, has_room=_room_of(config, stores))
    try:
        yield Storage(store=files, objects=Objects(path_of=_path_in_folder), files=files)
    finally:
        files.close()


def _path_in_folder(key: str) -> str:
    return f"/{layout.blob_data(Digest.parse(key))}"


def _room_of(config: Config, stores: Stores) -> Callable[[int], bool]:
    """Give what says whether there is room for blobs: their disk may be another than that of the databases."""
    uploads = config.data / layout.UPLOADS
    if stores.ballast is None or standing(uploads).stat().st_dev != config.state.stat().st_dev:
        return lambda _size: True
    return stores.ballast.has_room
