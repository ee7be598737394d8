"""Moves blobs between the two stores of a configuration."""

from __future__ import annotations

from contextlib import AsyncExitStack

from entrepot.bootstrap.databases import opened_databases
from entrepot.bootstrap.storage import opened_pair
from entrepot.config import Config
from entrepot.lifecycle.storage_move import MoveTally, StorageMove
from entrepot.oci.errors import RegistryError
from entrepot.telemetry.progress import Progress


class NothingToMove(RegistryError):
    """The configuration names no other store."""


async def move_blobs(config: Config, progress: Progress) -> MoveTally:
    """Move what only the other store has.

    Raises:
        NothingToMove: The configuration names no other store.
        StorageUnusable: One of them cannot be used.
    """
    if not config.storage.also.type:
        raise NothingToMove(
            "the configuration names one store; name the one that the blobs are in now under storage.also, on every "
            "node, and run this again"
        )
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(opened_databases(config))
        store, other = await stack.enter_async_context(opened_pair(config, stores))
        return await StorageMove(metadata=stores.metadata, store=store, other=other).run(progress)
    raise AssertionError  # the stack swallows nothing
