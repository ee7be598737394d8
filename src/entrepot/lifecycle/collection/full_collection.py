"""A collection that somebody asked for, or that a schedule starts: the light part and the heavy ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.model import Collecting, Tally
from entrepot.lifecycle.collection.orphans import Orphans, OrphanTally
from entrepot.lifecycle.collection.preview import Preview
from entrepot.lifecycle.collection.untagged import Untagged
from entrepot.metadata import clock
from entrepot.metadata.lifecycle import review
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress

#: Files and rows that are compared by a collection that is not to compare all of them: a second of work.
_COMPARED: Final = 20_000


@dataclass(slots=True)
class FromTrash:
    """What leaves the trash for good."""

    entries: int = 0
    manifests: int = 0  #: known once they have left


class EmptyTrash(Protocol):
    """Removes for good what the trash holds."""

    async def __call__(self, progress: Progress, *, everything: bool, dry_run: bool = False) -> FromTrash:
        """Remove what is past its time, or everything; or only count what that would be."""
        ...


async def no_trash(progress: Progress, *, everything: bool, dry_run: bool = False) -> FromTrash:  # noqa: ARG001 - the port
    """Do nothing where there is no trash."""
    return FromTrash()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a collection is asked to do."""

    dry_run: bool = False  #: only say what would go
    empty_trash: bool = False  #: remove for good all that the trash holds, not only what is past its time
    compare: bool = False  #: compare a piece of the store with the metadata, the next one at each time
    whole: bool = False  #: compare all of it
    delete_untagged: bool = False  #: let manifests go that have no tag and that nothing else needs


@dataclass(slots=True, kw_only=True)
class Result:
    """What a collection did."""

    trash: FromTrash = field(default_factory=FromTrash)
    collected: Tally = field(default_factory=Tally)
    orphans: OrphanTally | None = None
    untagged: int = 0  #: manifests that will go after the grace
    waiting: int = 0  #: entries of the queue that are not due yet
    next_due_at: int | None = None  #: when the first of them is, in microseconds since the epoch

    def as_json(self) -> dict[str, Any]:
        """Give it as plain JSON values, to be shown."""
        return clock.told(asdict(self))


@dataclass(frozen=True, slots=True)
class WholeCollection:
    """Collects all that can be collected now."""

    work: Collecting
    quarantine: Quarantine
    empty_trash: EmptyTrash = no_trash

    async def run(self, request: Request, progress: Progress, result: Result | None = None) -> Result:
        """Do it; what was done is in `result` also when this is ended.

        Raises:
            CollectionOff: Nothing may be collected now.
            Stopped: Somebody asked for an end.
            TimeoutError: Another process has the turn and does not give it back.
        """
        result = result or Result()
        await self.work.require_open()
        if request.delete_untagged:
            result.untagged = await Untagged(self.work).run(progress, dry_run=request.dry_run)
        result.trash = await self.empty_trash(progress, everything=request.empty_trash, dry_run=request.dry_run)
        if request.dry_run:
            await Preview(self.work, progress, result.collected).run()
        else:
            await self._collect(request, progress, result)
        await self._look_ahead(result)
        return result

    async def _collect(self, request: Request, progress: Progress, result: Result) -> None:
        if request.compare or request.whole:
            await progress.say("comparing the store with the metadata")
            result.orphans = OrphanTally()
            orphans = Orphans(self.work, self.quarantine)
            if request.whole:
                await orphans.run(progress, result.orphans)
            else:
                await orphans.some(progress, _COMPARED, result.orphans)
        await progress.say("collecting what is due")
        await Collector(self.work).run(progress, result.collected)

    async def _look_ahead(self, result: Result) -> None:
        now = clock.now()
        backlog = await review.backlog(self.work.metadata, until=now)
        result.waiting = backlog.waiting - backlog.due
        result.next_due_at = backlog.oldest if backlog.oldest is not None and backlog.oldest > now else None
