"""Removing backups that nobody needs any more, and the pieces that only they needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from entrepot.backup import layout
from entrepot.backup.catalogue import BackupInfo, Catalogue
from entrepot.backup.sealed_pieces import Pieces
from entrepot.metadata import clock
from entrepot.telemetry.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Which backups stay: the newest ones, and the newest of each of so many days, weeks, months and years."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    @property
    def is_empty(self) -> bool:
        """Tell whether none would stay."""
        return not any((self.last, self.daily, self.weekly, self.monthly, self.yearly))

    def choose(self, backups: Sequence[BackupInfo]) -> set[str]:
        """Return the ids of those that stay; times are of UTC."""
        newest_first = sorted(backups, key=lambda backup: backup.created_at, reverse=True)
        kept = {backup.id for backup in newest_first[: self.last]}
        for count, period in (
            (self.daily, lambda at: at.date().isoformat()),
            (self.weekly, lambda at: at.strftime("%G-%V")),
            (self.monthly, lambda at: at.strftime("%Y-%m")),
            (self.yearly, lambda at: at.strftime("%Y")),
        ):
            kept |= _newest_of_each(newest_first, count, period)
        return kept


@dataclass(slots=True)
class Pruned:
    """What was removed."""

    kept: int = 0
    backups: int = 0
    pieces: int = 0
    bytes: int = 0


async def prune(pieces: Pieces, keep: Keep, progress: Progress, *, dry_run: bool = False) -> Pruned:
    """Remove all backups but those that `keep` chooses, and what no backup needs.

    Descriptions go first: a backup that is half removed is none.

    Raises:
        PieceDamaged: A description or a list cannot be read: nobody knows which pieces it needs.
        PieceMissing: As above.
        TargetBusy: Somebody else is changing the target.
    """
    if keep.is_empty:
        raise ValueError("at least one backup must stay")
    async with pieces.target.alone():
        catalogue = Catalogue(pieces)
        backups = await catalogue.list()
        chosen = keep.choose(backups)
        kept = [backup for backup in backups if backup.id in chosen]
        needed = await _needed(catalogue, kept, progress)
        result = Pruned(kept=len(kept), backups=len(backups) - len(kept))
        for backup in backups if not dry_run else ():
            if backup.id not in chosen:
                await pieces.target.delete(layout.part(backup.id, layout.INFO))
        await pieces.target.settle()
        await _sweep(pieces, chosen, needed, result, progress, dry_run=dry_run)
        return result


async def _needed(catalogue: Catalogue, kept: Iterable[BackupInfo], progress: Progress) -> set[str]:
    """Return the names of the pieces of blobs that backups need."""
    needed: set[str] = set()
    for backup in kept:
        await progress.step(len(needed))
        async with aclosing(catalogue.blobs(backup)) as listed:
            async for blob in listed:
                needed.add(catalogue.pieces.blob(blob.digest))
    return needed


async def _sweep(
    pieces: Pieces, chosen: set[str], needed: set[str], result: Pruned, progress: Progress, *, dry_run: bool
) -> None:
    """Remove pieces that nothing needs; also what backups left that were never completed."""
    async for name in pieces.target.names(layout.BACKUPS):
        if name.removeprefix(layout.BACKUPS).partition("/")[0] not in chosen and not dry_run:
            await pieces.target.delete(name)
    async for name in pieces.target.names(layout.BLOBS):
        if name in needed:
            continue
        result.pieces += 1
        result.bytes += await pieces.target.size(name) or 0
        await progress.step(result.pieces)
        if not dry_run:
            await pieces.target.delete(name)


def _newest_of_each(newest_first: Sequence[BackupInfo], count: int, period: Callable[[datetime], str]) -> set[str]:
    found: dict[str, str] = {}
    for backup in newest_first:
        if len(found) < count:
            moment = datetime.fromtimestamp(backup.created_at / clock.MICROSECONDS, UTC)
            found.setdefault(period(moment), backup.id)
    return set(found.values())
