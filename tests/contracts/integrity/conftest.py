"""A registry over each database with a few images, harmed as a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.integrity.doctor import Doctor
from entrepot.integrity.examination import Examination
from entrepot.integrity.model import Report
from entrepot.integrity.scrub import Pass, Scrub
from entrepot.metadata.contents import blobs
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress, Unwatched
from tests.contracts.registry.conftest import Kit, kit, postgres_url, pusher, registry
from tests.support.rows import open_findings

__all__ = ["kit", "postgres_url", "pusher", "registry"]


@dataclass
class Ward:
    """The registry as who looks for damage sees it, and what a test does to it."""

    kit: Kit
    read_only: bool = False
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def store(self) -> MemoryBlobStore:
        """The blobs."""
        assert isinstance(self.kit.store, MemoryBlobStore)
        return self.kit.store

    @property
    def quarantine(self) -> Quarantine:
        """Give the place for what is damaged."""
        return Quarantine(
            self.kit.metadata, self.store, lambda: self.read_only, lambda kind, by: self.told.append((kind, by))
        )

    def scrub(self, **more: float) -> Scrub:
        """Give a scrub to which no verification is young enough."""
        options = {"age": 0.0, **more}
        return Scrub(metadata=self.kit.metadata, store=self.store, quarantine=self.quarantine, **options)

    async def scrubbed(self, progress: Progress | None = None) -> Pass:
        """Scrub once."""
        return await self.scrub().run(progress or Unwatched())

    async def examined(self, *, repair: bool = False, sample: float = 1.0, **more: object) -> Report:
        """Make a check-up."""
        self.read_only = not repair
        work = Examination(
            metadata=self.kit.metadata,
            store=self.store,
            quarantine=self.quarantine,
            progress=Unwatched(),
            repair=repair,
            sample=sample,
            **more,  # type: ignore[arg-type] - the tests name real fields
        )
        try:
            return await Doctor(work).run()
        finally:
            self.read_only = False

    def damage(self, content: bytes) -> Digest:
        """Change a byte of a blob."""
        digest = Digest.of(content)
        self.store._blobs[str(digest)] = content[:-1] + bytes([content[-1] ^ 1])
        return digest

    def lose(self, content: bytes) -> Digest:
        """Take a blob's bytes away."""
        digest = Digest.of(content)
        del self.store._blobs[str(digest)]
        return digest

    def put_back(self, content: bytes) -> None:
        """Bring the right bytes back, behind the registry's back."""
        self.store._blobs[str(Digest.of(content))] = content

    async def sql(self, text: str) -> None:
        """Change rows."""
        await self.kit.metadata.write(lambda tx: tx.execute(RawQuery(text)))

    async def state(self, content: bytes) -> str:
        """Return the state of a blob's row."""
        row = await blobs.find(self.kit.metadata, str(Digest.of(content)))
        assert row is not None
        return row.state

    async def open_findings(self) -> list[tuple[str, str]]:
        """List what is wrong."""
        return sorted((kind, subject) for kind, subject, _ in await open_findings(self.kit.metadata))


@pytest.fixture
def ward(kit: Kit) -> Ward:
    """Give the registry to whoever looks for damage."""
    return Ward(kit)
