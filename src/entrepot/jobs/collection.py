"""Collection as jobs: what is due goes as it comes due, all the time; the whole of it by a schedule, or when asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from entrepot.jobs.run import JobRun
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.full_collection import EmptyTrash, Request, WholeCollection
from entrepot.lifecycle.collection.model import CollectionOff, Tally
from entrepot.lifecycle.collection.orphans import Orphans
from entrepot.metadata import clock
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.lifecycle import review
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Stopped, Unwatched

_log = logging.getLogger(__name__)

#: Between two looks at the queue, at most; and at least, so that a trickle of pushes is dealt with in batches.
_LONGEST_PAUSE: Final = 10.0
_SHORTEST_PAUSE: Final = 0.05
_MEASURE_SECONDS: Final = 15.0
_EXPIRE_SECONDS: Final = 60.0
#: Every minute a little is compared, until all has been; that is begun again after a week, into which twenty million
#: files and rows fit.
_COMPARE_SECONDS: Final = 60.0
_COMPARED_AT_ONCE: Final = 2_000
_COMPARED_EVERY: Final = 7 * 86_400.0

#: Harbor's bound of `workers`: how many blobs are deleted beside each other; 0 leaves it to us.
_MOST_WORKERS: Final = 10


def _check(parameters: Mapping[str, Any]) -> None:
    if not 0 <= parameters["workers"] <= _MOST_WORKERS:
        raise ValueError(f"workers is between 1 and {_MOST_WORKERS}, or 0 for what the registry thinks right")


GARBAGE_COLLECTION: Final = JobTraits(
    name="garbage-collection",
    title="Collect what nothing needs, and compare some of the store with the metadata",
    parameters={"dry_run": False, "delete_untagged": False, "empty_trash": False, "compare": True, "workers": 0},
    right="garbage-collection:create",
    rights_of={"empty_trash": "trash:empty"},
    check=_check,
    schedule="0 3 * * 0",
)


class CollectionMetrics:
    """What a collector tells the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._runs = metrics.counter("entrepot_collection_runs", "Collections that had something to do.", ("result",))
        self._bytes = metrics.counter("entrepot_collection_freed_bytes", "Bytes freed by collection.")
        self._things = metrics.counter("entrepot_collection_removed", "Things removed by collection.", ("kind",))
        self._failed = metrics.counter("entrepot_collection_failures", "Blobs that the store would not delete.")
        self._waiting = metrics.gauge("entrepot_collection_queue", "Things that wait to be looked at.")
        self._due = metrics.gauge("entrepot_collection_queue_due", "Of those, things whose time is over.")
        self._overdue = metrics.gauge("entrepot_collection_overdue_seconds", "How long the oldest of them is due.")

    def count(self, tally: Tally, result: str) -> None:
        """Count what one collection did."""
        if tally.reviewed == 0 and result == "done":
            return
        self._runs.inc(result)
        self._bytes.inc(by=tally.freed_bytes)
        self._failed.inc(by=tally.failed)
        for kind, number in (("blob", tally.blobs), ("manifest", tally.manifests), ("file", tally.files)):
            self._things.inc(kind, by=number)

    def show(self, backlog: review.Backlog, now: int) -> None:
        """Say what waits."""
        self._waiting.set(backlog.waiting)
        self._due.set(backlog.due)
        late = 0 if backlog.oldest is None else max(0, now - backlog.oldest)
        self._overdue.set(late / clock.MICROSECONDS)


class SteadyCollection:
    """A lasting job: collects what is due, when it is."""

    def __init__(
        self, collector: Collector, empty_trash: EmptyTrash, metrics: CollectionMetrics, orphans: Orphans
    ) -> None:
        self._collector = collector
        self._orphans = orphans
        self._empty_trash = empty_trash
        self._metadata = collector.work.metadata
        self._metrics = metrics
        self._pause = max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, collector.work.grace_seconds / 10))
        self._measured = 0.0
        self._expired = 0.0
        self._compared = time.monotonic()
        self._off: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until stopped."""
        while not stop.is_set():
            await self._expire(stop)
            if await self._is_something_due():
                await self._collect(stop)
            await self._compare(stop)
            await self._measure()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._pause)

    async def _expire(self, stop: asyncio.Event) -> None:
        """Remove from the trash what has been there for its time; now and then, since that time is long."""
        if time.monotonic() - self._expired < min(_EXPIRE_SECONDS, self._pause * 6):
            return
        self._expired = time.monotonic()
        try:
            await self._empty_trash(_Until(stop), everything=False)
        except Stopped:
            return
        except Exception:  # noqa: BLE001 - what is left is tried again
            _log.exception("the trash could not be emptied; it is tried again")

    async def _compare(self, stop: asyncio.Event) -> None:
        """Compare a little of the store with the metadata now and then, until all of it has been within the time."""
        if time.monotonic() - self._compared < _COMPARE_SECONDS:
            return
        self._compared = time.monotonic()
        try:
            if not await self._orphans.is_fresh(_COMPARED_EVERY):
                await self._orphans.some(_Until(stop), _COMPARED_AT_ONCE)
        except (CollectionOff, Stopped):
            return
        except Exception:  # noqa: BLE001 - the next time goes on from there
            _log.exception("the store could not be compared with the metadata; it is tried again")

    async def _is_something_due(self) -> bool:
        due = await review.next_due(self._metadata)
        return due is not None and due <= clock.now()

    async def _collect(self, stop: asyncio.Event) -> None:
        tally, result = Tally(), "failed"
        try:
            await self._collector.run(_Until(stop), tally)
            result, self._off = "done", None
        except CollectionOff as error:
            result = "off"
            self._say_off(error.message)
        except Stopped:
            result = "stopped"
        except TimeoutError:
            _log.warning("another process keeps the turn to collect; is an entrepot process stopped?")
        except Exception:  # noqa: BLE001 - what is left is tried again
            _log.exception("collection failed; what is left is tried again")
        self._metrics.count(tally, result)
        if tally.blobs or tally.manifests or tally.files:
            _log.info(
                "collected", extra={"blobs": tally.blobs, "manifests": tally.manifests, "bytes": tally.freed_bytes}
            )

    def _say_off(self, reason: str) -> None:
        if reason != self._off:
            self._off = reason
            _log.info("nothing is collected: %s", reason)

    async def _measure(self) -> None:
        if time.monotonic() - self._measured < _MEASURE_SECONDS:
            return
        self._measured = time.monotonic()
        now = clock.now()
        with contextlib.suppress(TookTooLong):
            self._metrics.show(await review.backlog(self._metadata, until=now), now)


class _Until(Unwatched):
    """Progress that ends when the worker does."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    async def step(self, done: int, total: int | None = None) -> None:  # noqa: ARG002 - nobody watches
        if self._stop.is_set():
            raise Stopped


@dataclass(frozen=True, slots=True)
class GarbageCollection:
    """The kind of job whose runs people see."""

    whole: WholeCollection
    metrics: CollectionMetrics
    may_delete: bool  #: `storage.delete.enabled`

    async def run(self, run: JobRun) -> dict[str, Any]:
        """Do one run."""
        wanted = run.parameters
        untagged = bool(wanted["delete_untagged"])
        if untagged and not self.may_delete:
            await run.say("manifests without a tag stay: deleting is switched off (storage.delete.enabled)")
        request = Request(
            dry_run=bool(wanted["dry_run"]),
            empty_trash=bool(wanted["empty_trash"]),
            compare=bool(wanted["compare"]),
            delete_untagged=untagged and self.may_delete,
        )
        result = await self._with(wanted["workers"]).run(request, run)
        if not request.dry_run:
            self.metrics.count(result.collected, "done")
        return result.as_json()

    def _with(self, workers: int) -> WholeCollection:
        """Return the collection with so many deletes beside each other."""
        if not workers:
            return self.whole
        work = self.whole.work
        return replace(self.whole, work=replace(work, limits=replace(work.limits, deletes=workers)))
