"""A registry and its collector over each database, with blobs in memory and a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.manifest_removal import following
from entrepot.lifecycle.collection.model import Collecting, Tally
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.contents.blobs import BlobRow
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.registry.service import Registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.conftest import Kit, kit, postgres_url
from tests.contracts.registry.pushing import Pusher

__all__ = ["kit", "postgres_url"]

GRACE = 3600.0


class Clock:
    """The time of the database; it goes on by itself, and a test may move it on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0  #: microseconds
        real = clock.now
        monkeypatch.setattr(clock, "now", lambda: real() + self.ahead)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += int(seconds * clock.MICROSECONDS)


@asynccontextmanager
async def unshared() -> AsyncIterator[None]:
    """Give the turn to take bytes away where nobody else is."""
    yield


@dataclass
class House:
    """A registry whose collector a test runs."""

    kit: Kit
    clock: Clock
    work: Collecting

    @property
    def registry(self) -> Registry:
        """The registry."""
        return self.kit.registry(grace_seconds=GRACE)

    @property
    def pusher(self) -> Pusher:
        """Somebody who pushes to team/app."""
        return Pusher(self.registry)

    @property
    def store(self) -> MemoryBlobStore:
        """The bytes."""
        assert isinstance(self.kit.store, MemoryBlobStore)
        return self.kit.store

    async def collect(self, **changes: object) -> Tally:
        """Run the collector once; `changes` replace parts of what it works with."""
        work = replace(self.work, **changes)  # type: ignore[arg-type] - the tests name real fields
        return await Collector(work).run(Unwatched())

    async def collect_until_nothing_is_left(self) -> Tally:
        """Let grace after grace pass, and collect after each."""
        whole = Tally()
        for _ in range(6):
            self.clock.advance(GRACE + 1)
            await Collector(self.work).run(Unwatched(), whole)
        return whole

    async def blob(self, content: bytes) -> BlobRow | None:
        """Look up the row of a blob."""
        return await blob_rows.find(self.kit.metadata, str(Digest.of(content)))

    async def keys(self) -> set[str]:
        """List what the store has."""
        return {stored.key async for stored in self.store.keys()}

    async def count(self, table: str) -> int:
        """Count the rows of a table."""
        row = await self.kit.metadata.one(RawQuery(f"SELECT count(*) FROM {table}"))
        assert row is not None
        return int(row[0])


def collecting_in(kit: Kit) -> Collecting:
    """Give what a collector of this registry works with."""
    leave = following(RegistrySettings(grace_seconds=GRACE))
    return Collecting(metadata=kit.metadata, store=kit.store, grace_seconds=GRACE, turn=unshared, leave=leave)


@pytest.fixture
def house(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> House:
    """A registry with nothing in it."""
    return House(kit, Clock(monkeypatch), collecting_in(kit))
