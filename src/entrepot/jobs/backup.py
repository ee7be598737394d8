"""Backs up by a schedule, or when asked, and removes backups that are not to be kept any longer (`backup`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Final

from entrepot.backup.create import BackedUp, Creation
from entrepot.backup.prune import Keep, Pruned, prune
from entrepot.backup.sealed_pieces import Pieces
from entrepot.jobs.run import JobRun
from entrepot.metadata import clock
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics

BACKUP: Final = JobTraits(name="backup", title="Back up the registry, and remove backups that are not to be kept")
#: Lost blobs that a result names; the backup itself names all.
_NAMED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingUp:
    """The job."""

    registry: BackedUp
    pieces: Callable[[], AbstractAsyncContextManager[Pieces]]
    keep: Keep
    metrics: Metrics
    doubt: Callable[[], Awaitable[str | None]]  #: says why nothing may be removed for its age now

    async def run(self, run: JobRun) -> dict[str, object]:
        """Make a backup, then prune."""
        async with self.pieces() as pieces:
            info = await Creation(self.registry, pieces, run).run()
            self._tell("entrepot_backup_finished_seconds", "When the last backup ended.", info.finished_at)
            self._tell("entrepot_backup_lost_blobs", "Blobs that the last backup lacks.", len(info.lost), per=1)
            pruned = await self._prune(pieces, run)
        result = {**clock.told(asdict(info)), "lost": list(info.lost[:_NAMED]), "lost_count": len(info.lost)}
        return {**result, "removed_backups": pruned.backups, "removed_bytes": pruned.bytes}

    async def _prune(self, pieces: Pieces, run: JobRun) -> Pruned:
        if (reason := await self.doubt()) is not None:
            await run.say(f"no backup is removed: {reason}")
            return Pruned()
        return await prune(pieces, self.keep, run)

    def _tell(self, name: str, text: str, value: int, per: int = clock.MICROSECONDS) -> None:
        self.metrics.gauge(name, text).set(value / per)
