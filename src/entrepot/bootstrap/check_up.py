"""The check-up of a data folder (`entrepot doctor`), with what only a folder has: a database file and link files."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from functools import partial

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adoption import state
from entrepot.adoption.rights import require_rights
from entrepot.adoption.state import AdoptionState
from entrepot.adoption.tree import Tree
from entrepot.config import Config
from entrepot.integrity.doctor import Doctor
from entrepot.integrity.examination import Examination
from entrepot.integrity.model import Outcome, Problem, Report
from entrepot.metadata.engine.sqlite_check import find_damage
from entrepot.metadata.opening import METADATA_NAME, open_embedded
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.projection.comparison import Comparison, Difference, DifferenceKind
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress

_LAYOUT = "layout"


async def check_up(config: Config, progress: Progress, *, repair: bool, sample: float) -> Report:
    """Look at everything in a data folder, beside a running server or without one.

    Args:
        config: Says where the folder is.
        progress: Watches.
        repair: Whether to put right what can be.
        sample: The share of blobs whose bytes are read, and of rows that SQLite looks at, from 0 to 1.
    """
    require_rights(config.data)
    async with AsyncExitStack() as stack:
        stores = await open_embedded(config.state)
        stack.push_async_callback(stores.close)
        store = FilesystemBlobStore(config.data)
        stack.callback(store.close)
        tree = Tree(config.data)
        work = Examination(
            metadata=stores.metadata,
            store=store,
            quarantine=Quarantine(stores.metadata, store, read_only=lambda: not repair),
            progress=progress,
            repair=repair,
            sample=sample,
            at_once=len(os.sched_getaffinity(0)),
            grace_seconds=config.lifecycle.grace,
            spare=partial(_spare, tree),
            look_at_database=partial(find_damage, config.state / METADATA_NAME, sample=sample),
            knows_all_files=await state.find(stores.metadata) is AdoptionState.COMPLETE,
        )
        began = time.monotonic()
        report = await Doctor(work).run()
        if work.knows_all_files:
            await progress.say("looking at registry:2's files")
            await _Layout(work, tree, TreeFiles(config.data)).run()
        report.seconds = time.monotonic() - began
        return report


async def _spare(tree: Tree, digest: Digest) -> bytes | None:
    return await asyncio.to_thread(tree.manifest, digest)


class _Layout:
    """Holds registry:2's links and manifest files against the rows."""

    def __init__(self, work: Examination, tree: Tree, files: TreeFiles) -> None:
        self._work = work
        self._comparison = Comparison(work.metadata, tree, files)
        self._projector = Projector(work.metadata, files)

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
