"""Giving a bucket back to registry:2, and taking in what it wrote: `entrepot layout write`, `adopt --delta`."""

from __future__ import annotations

import asyncio

from entrepot.adapters.trees.bucket import BucketTree
from entrepot.adapters.trees.bucket_files import BucketWriter
from entrepot.adapters.trees.bucket_report import BucketReport
from entrepot.adoption import state
from entrepot.adoption.foreign_objects import ForeignObjects
from entrepot.adoption.intake import Intake
from entrepot.adoption.run import OnProgress, Progress
from entrepot.adoption.state import AdoptionState
from entrepot.adoption.young_links import YoungLinks
from entrepot.bootstrap.databases import opened_databases, opened_locks
from entrepot.bootstrap.storage import opened_storage
from entrepot.config import Config
from entrepot.metadata.database import Database
from entrepot.oci.errors import RegistryError
from entrepot.projection.give_back import GivenBack, GivingBack
from entrepot.registry.settings import RegistrySettings


class NotNow(RegistryError):
    """The bucket cannot be given back now."""


async def give_back(config: Config, *, writing: bool) -> GivenBack:
    """Do it, or say what would be done.

    Raises:
        NotNow: Not all of the bucket is adopted, or another registry has written to it; the text says what to do.
    """
    async with opened_databases(config) as stores, opened_storage(config, stores) as storage:
        assert storage.bucket is not None, "the caller has looked"
        await _require_adopted(stores.metadata)
        tree = BucketTree(storage.bucket)
        foreign = ForeignObjects(stores.metadata, tree)
        if await foreign.waiting():
            raise NotNow(await foreign.remedy())
        since = await foreign.since() or await asyncio.to_thread(tree.ours_since)
        files = BucketWriter(storage.bucket)
        work = GivingBack(metadata=stores.metadata, tree=tree, files=files, since=since, writing=writing)
        given = await work.run()
        if writing and not given.theirs:
            await foreign.settle()
        return given


async def take_young(config: Config, settings: RegistrySettings, on_progress: OnProgress) -> Progress:
    """Take in what another registry wrote to a bucket since all that was there was known.

    Raises:
        NotNow: Not all of the bucket is adopted.
    """
    async with (
        opened_databases(config) as stores,
        opened_locks(config) as locks,
        opened_storage(config, stores) as storage,
    ):
        assert storage.bucket is not None, "the caller has looked"
        await _require_adopted(stores.metadata)
        foreign = ForeignObjects(stores.metadata, BucketTree(storage.bucket))
        since = await foreign.since()
        if not since:
            return Progress()  # nobody has looked yet; what is there counts as known from now on
        tree = BucketTree(storage.bucket, younger=since)
        intake = Intake(stores.metadata, tree, locks)
        progress = await YoungLinks(intake, BucketReport(storage.bucket), settings, on_progress).run()
        await foreign.settle()
        return progress


async def _require_adopted(metadata: Database) -> None:
    if await state.find(metadata) not in (AdoptionState.COMPLETE, None):
        raise NotNow("the bucket is still being adopted; let the registry run until that is done")
