"""What the checks of one check-up share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from entrepot.integrity.model import Problem, Report
from entrepot.metadata.database import Database
from entrepot.oci.digest import Digest
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress

#: Who finds and heals, in findings and events.
DOCTOR = "doctor"


async def _no_spare(_digest: Digest) -> bytes | None:
    return None


async def _sound(_progress: Progress) -> list[str]:
    return []


async def _all_of_them(keys: Sequence[str]) -> set[str]:
    return set(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The registry that is looked at, how, and what was seen so far."""

    metadata: Database
    store: BlobStore
    quarantine: Quarantine
    progress: Progress
    repair: bool = False
    #: The share of blobs whose bytes are read, and of the database's rows that it reads itself, from 0 to 1.
    sample: float = 1.0
    #: Blobs that are read beside each other.
    at_once: int = 1
    #: Seconds for which a file without a row may be one that a push has just put there.
    grace_seconds: float = 3600.0
    #: Gives another copy of a manifest's bytes, if there is one.
    spare: Callable[[Digest], Awaitable[bytes | None]] = _no_spare
    #: Says what the database itself finds wrong with its file.
    look_at_database: Callable[[Progress], Awaitable[list[str]]] = _sound
    #: Says which of some objects under names of their own belong to open uploads.
    uploading: Callable[[Sequence[str]], Awaitable[set[str]]] = _all_of_them
    #: Whether a file that no row speaks of belongs to nobody; not so while a folder is being taken over.
    knows_all_files: bool = True
    report: Report = field(default_factory=Report)

    async def found(self, problem: Problem) -> None:
        """Take in a problem and tell it."""
        self.report.add(problem)
        await self.progress.say(f"{problem.what}: {problem.subject} ({problem.outcome}) {problem.detail}".rstrip())
