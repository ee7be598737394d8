"""Pulls in the audit log, where the operator wants them (`audit.pulls`)."""

from __future__ import annotations

from collections.abc import Callable

from entrepot.audit.event_batches import Noted, NotedEvents
from entrepot.metadata import events
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source


class PullLog:
    """Takes note of manifests that were pulled; `run` writes them. While the registry is read-only they wait."""

    def __init__(self, metadata: Database, *, paused: Callable[[], bool] = lambda: False) -> None:
        lost = Noted(by=Source(name=""), kind=events.PULL, detail={"reason": "too many"})
        self._noted = NotedEvents(metadata, lost=lost, paused=paused)
        self.flush = self._noted.flush
        self.run = self._noted.run

    def note(self, by: Source, repository: str, digest: str, tag: str | None = None) -> None:
        """Note a pull."""
        self._noted.add(Noted(by=by, kind=events.PULL, repository=repository, digest=digest, tag=tag))
