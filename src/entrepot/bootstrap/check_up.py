"""The check-up of a registry (`entrepot doctor`), with what only some have: a database file, link files."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from entrepot.adoption import state
from entrepot.adoption.rights import require_rights
from entrepot.adoption.state import AdoptionState
from entrepot.bootstrap.databases import opened_databases, opened_locks
from entrepot.bootstrap.deployment import Folder, folder_of
from entrepot.bootstrap.storage import opened_storage
from entrepot.config import Config
from entrepot.integrity.doctor import Doctor
from entrepot.integrity.examination import Examination
from entrepot.integrity.model import Outcome, Problem, Report
from entrepot.metadata.contents import upload_sessions
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite_check import find_damage
from entrepot.metadata.opening import METADATA_NAME
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.projection.comparison import Comparison, Difference, DifferenceKind
from entrepot.projection.projector import Projector
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress

_LAYOUT = "layout"


async def check_up(config: Config, progress: Progress, *, repair: bool, sample: float) -> Report:
    """Look at everything in a registry, beside a running server or without one.

    Args:
        config: Says where it is.
        progress: Watches.
        repair: Whether to put right what can be.
        sample: The share of blobs whose bytes are read, and of rows that SQLite looks at, from 0 to 1.
    """
    if config.has_folder:
        require_rights(config.data)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(opened_databases(config))
        store = (await stack.enter_async_context(opened_storage(config, stores))).store
        locks = await stack.enter_async_context(opened_locks(config))
        folder = folder_of(config, stores.metadata, locks) if config.has_folder else None
        adopted = await state.find(stores.metadata)
        work = Examination(
            metadata=stores.metadata,
            store=store,
            quarantine=Quarantine(stores.metadata, store, read_only=lambda: not repair),
            progress=progress,
            repair=repair,
            sample=sample,
            at_once=len(os.sched_getaffinity(0)),
            grace_seconds=config.lifecycle.grace,
            spare=partial(_spare, folder),
            look_at_database=partial(_damage, config, stores.metadata, sample),
            uploading=partial(_uploading, stores.work),
            knows_all_files=adopted is AdoptionState.COMPLETE or (folder is None and adopted is None),
        )
        began = time.monotonic()
        report = await Doctor(work).run()
        if folder is not None and work.knows_all_files:
            await progress.say("looking at registry:2's files")
            await _Layout(work, folder).run()
        report.seconds = time.monotonic() - began
        return report


async def _uploading(work: Database, keys: Sequence[str]) -> set[str]:
    """Say which objects belong to open uploads: their names begin with the upload's id."""
    ids = {key: key.rpartition("/")[2].partition(".")[0] for key in keys}
    open_ids = await upload_sessions.known(work, sorted(set(ids.values())))
    return {key for key, upload in ids.items() if upload in open_ids}


async def _spare(folder: Folder | None, digest: Digest) -> bytes | None:
    """Give the bytes of a manifest as registry:2's files have them, where there are any."""
    return None if folder is None else await asyncio.to_thread(folder.tree.manifest, digest)


async def _damage(config: Config, metadata: Database, sample: float, progress: Progress) -> list[str]:
    """Say what the database itself finds wrong: SQLite with its file, PostgreSQL with pages and indexes."""
    if not config.on_server:
        return await find_damage(config.state / METADATA_NAME, progress, sample=sample)
    from entrepot.metadata.engine import postgres_damage  # noqa: PLC0415 - few have a server

    return await postgres_damage.find_damage(metadata, progress, sample=sample)


class _Layout:
    """Holds registry:2's links and manifest files against the rows."""

    def __init__(self, work: Examination, folder: Folder) -> None:
        self._work = work
        self._comparison = Comparison(work.metadata, folder.tree, folder.files)
        self._projector = Projector(work.metadata, folder.files)

    async def run(self) -> None:
        """Look at every repository, one after another."""
        if self._work.repair:
            await self._projector.run()
        seen = 0
        async for name, found in self._comparison.each():
            seen += 1
            await self._work.progress.step(seen)
            if found:
                await self._differing(name, found)
        async for difference in self._comparison.unknown():
            await self._tell(difference)

    async def _differing(self, name: RepositoryName, found: list[Difference]) -> None:
        """Leave out what is only still to be written, or to be removed, by whoever hands the outbox on."""
        again = set((await self._comparison.check_one(name)).differences)
        differences = [difference for difference in found if difference in again]
        if self._work.repair and any(difference.kind is not DifferenceKind.EXTRA for difference in differences):
            await self._comparison.write_one(name)
        for difference in differences:
            await self._tell(difference)

    async def _tell(self, difference: Difference) -> None:
        mended = self._work.repair and difference.kind is not DifferenceKind.EXTRA
        problem = Problem(
            check=_LAYOUT,
            what=f"{difference.what} {_WORDS[difference.kind]}",
            subject=f"{difference.repository} {difference.subject}",
            detail="registry:2's files differ from the metadata",
            outcome=Outcome.REPAIRED if mended else Outcome.FOUND,
        )
        await self._work.found(problem)


_WORDS = {
    DifferenceKind.MISSING: "not in the files",
    DifferenceKind.EXTRA: "only in the files",
    DifferenceKind.OTHER: "other in the files",
}
