"""Noticing that another registry has written to the folder since we last looked.

Blobs appear and go in a few hundred folders, the shards. The time of their last change is remembered while a server
runs. A shard whose latest change is a blob that we have put there ourselves is as we left it. In any other one that was
changed since, the names of its files are held against the rows: which are there that the metadata do not know, and
which known ones are gone.

An unknown file is a trace of somebody else only where a link of the folder names it, and that link is not one that we
are about to remove ourselves: what was deleted here leaves its links to the outbox. Without such a link it is what a
crash of our own left, and is queued for the collector. Tags that were moved between old images leave no trace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from entrepot.adoption.byte_presence import Presence
from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.ports import Foreign, Seen
from entrepot.adoption.report import Problem
from entrepot.adoption.tree import Shard, Tree
from entrepot.metadata import settings
from entrepot.metadata.contents import blobs, manifests
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox import OutboxEntry
from entrepot.metadata.lifecycle import collection, review
from entrepot.metadata.opening import LOST_LOG, METADATA_NAME
from entrepot.metadata.query import ABOVE_ALL
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid

_log = logging.getLogger(__name__)

_SEEN_KEY = "folder-seen"
_FOREIGN_KEY = "folder-has-foreign-writes"
_ROWS_A_PIECE = 1000
#: A push that is going on writes its file before its row, and whatever is asked is asked at one moment after another:
#: what belongs to somebody else looks so several times.
_PUSH_SECONDS = 1.0
_LOOKS = 3
#: Rows that are asked which shards we have changed ourselves. What is older was remembered long ago.
_MOST_EXPLAINED = 20_000
_NS_A_MICROSECOND = 1000
#: The clock of a file system in the network may be ahead of ours by so much.
_CLOCKS_DIFFER_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class ForeignLink:
    """A link that is younger than what we were to do to it."""

    repository: str
    subject: str  #: the tag or digest
    changed_at: int  #: in microseconds since the epoch


@dataclass(frozen=True, slots=True)
class ForeignWrites:
    """Looks for traces of another registry."""

    metadata: Database
    tree: Tree
    #: When this server began, in nanoseconds since the epoch: what it has put somewhere since may lie over the trace of
    #: somebody who wrote before. None where no server of ours has just been started.
    began_ns: int | None = None

    async def look(self) -> Foreign:
        """Say what changed since it was remembered, and make blobs missing whose bytes are gone."""
        found = Foreign()
        remembered = await settings.find(self.metadata, _SEEN_KEY)
        since = 0 if _is_ahead(remembered) else int(remembered or 0)
        shards = [shard for shard in await self._shards() if shard.changed_ns > since]
        unknown: set[str] = set()
        for shard in await self._unexplained(shards, since):
            unknown |= await self._look_at(shard, since, found.seen)
        found.unknown = len(await self._foreign(unknown)) if unknown else 0
        if found.unknown or found.seen.lost:
            await self.metadata.write(_set_foreign, name="folder changed")
        elif shards:
            await self.metadata.write(partial(_move_on, remembered, _newest(shards)), name="folder seen")
        return found

    async def count(self, links: Sequence[ForeignLink]) -> None:
        """Count links as foreign, but for those that an entry of the outbox is about that is younger still.

        What we wrote late looks so to an entry that has waited for long.
        """
        if await self.waiting():
            return
        pending = _Pending([entry async for entry in outbox.waiting(self.metadata)])
        if not all(pending.cover(link.repository, link.subject, link.changed_at) for link in links):
            await self.metadata.write(_set_foreign, name="folder changed")
            _log.warning(await self.remedy(), extra={"links": len(links)})

    async def waiting(self) -> bool:
        """Tell whether somebody has written what nobody has taken in since."""
        return await settings.find(self.metadata, _FOREIGN_KEY) is not None

    async def remedy(self) -> str:
        """Say what has come to be in the folder that is still to be taken in, and how."""
        why = "another registry has written to the folder"
        if await settings.find(self.metadata, LOST_LOG) is not None:
            why = (
                f"{METADATA_NAME}-wal was removed before the database was closed, and the metadata do not know what "
                "was pushed last"
            )
        return f"{why}; first take in what is there: entrepot adopt --delta {self.tree.root}"

    async def settle(self) -> None:
        """Note that everything has been taken in."""
        await self.remember()
        await self.metadata.write(_settle, name="folder settled")

    async def remember(self) -> None:
        """Count everything that is there by now as seen."""
        newest = _newest(await self._shards())
        if await settings.find(self.metadata, _SEEN_KEY) != newest:
            await self.metadata.write(lambda tx: settings.put(tx, _SEEN_KEY, newest), name="folder seen")

    async def pull_back(self) -> None:
        """Forget what was seen at a time that a wrong clock told: the next look is at everything."""
        if _is_ahead(remembered := await settings.find(self.metadata, _SEEN_KEY)):
            await self.metadata.write(partial(_forget, remembered), name="folder seen")

    async def begin(self) -> None:
        """Count what is there before a folder is read for the first time as seen, unless somebody has begun before."""
        newest = _newest(await self._shards())
        await self.metadata.write(lambda tx: settings.add(tx, _SEEN_KEY, newest), name="folder seen")

    async def _shards(self) -> list[Shard]:
        return await asyncio.to_thread(self.tree.shards)

    async def _unexplained(self, shards: Sequence[Shard], since: int) -> list[Shard]:
        """Leave out the shards whose latest change is something that we have put there."""
        if not shards:
            return []
        ours = await self._ours(since // _NS_A_MICROSECOND)
        latest = await asyncio.to_thread(self._latest, ours)
        return [shard for shard in shards if shard.changed_ns > latest.get(shard.first, 0)]

    async def _ours(self, since: int) -> list[str]:
        """Return the digests of the newest blobs and manifests, back to a time in microseconds since the epoch."""
        found: list[str] = []
        for newest in (blobs.newest, manifests.newest):
            before = ABOVE_ALL
            while len(found) < _MOST_EXPLAINED:
                rows = await newest(self.metadata, before=before, limit=_ROWS_A_PIECE)
                found += [digest for _, digest, created_at in rows if created_at >= since]
                if len(rows) < _ROWS_A_PIECE or rows[-1][2] < since:
                    break
                before = rows[-1][0]
        return found

    def _latest(self, digests: Sequence[str]) -> dict[str, int]:
        """Say of every shard when we last put something there, by what its digests begin with."""
        latest: dict[str, int] = {}
        for digest in map(Digest.parse, digests):
            placed = self.tree.placed_at(digest)
            if self.began_ns is None or placed < self.began_ns:
                first = f"{digest.algorithm}:{digest.encoded[:2]}"
                latest[first] = max(latest.get(first, 0), placed)
        return latest

    async def _look_at(self, shard: Shard, since: int, seen: Seen) -> set[str]:
        """Hold the names of a shard's files against the rows; return the new ones that no row speaks of."""
        files = await asyncio.to_thread(self.tree.in_shard, shard)
        unknown, odd, last = set(files), list[str](), shard.first
        while rows := await blobs.whereabouts(self.metadata, shard.first, after=last, limit=_ROWS_A_PIECE):
            last = rows[-1][0]
            unknown.difference_update(digest for digest, _, _ in rows)
            odd += [digest for digest, key, state in rows if (key in files) == (state in blobs.LOST)]
        aliases = await blobs.stored_apart(self.metadata, shard.first, limit=_ROWS_A_PIECE)
        odd += [row.digest for row in aliases if (row.storage_key in files) == (row.state in blobs.LOST)]
        presence = Presence(self.metadata, self.tree)
        for digest in odd:
            row = await blobs.stored_as(self.metadata, digest)
            await presence.look([] if row is None else [row], seen)
        return await asyncio.to_thread(self._placed_after, await self._unknown(unknown), since)

    async def _foreign(self, unknown: set[str]) -> set[str]:
        """Return those of the files without a row that somebody else has put there."""
        for _ in range(_LOOKS):
            await asyncio.sleep(_PUSH_SECONDS)
            unknown = await self._unknown(unknown)
            waiting = [entry async for entry in outbox.waiting(self.metadata)]
            linked, foreign = await asyncio.to_thread(self._linked, unknown, _Pending(waiting))
            await self.metadata.write(partial(_queue, sorted(unknown - linked)), name="queue files")
            unknown = foreign
            if not unknown:
                break
        return unknown

    def _placed_after(self, digests: set[str], since: int) -> set[str]:
        found = (digest for digest in map(_digest, digests) if digest is not None)
        return {str(digest) for digest in found if self.tree.placed_at(digest) > since}

    def _linked(self, digests: set[str], pending: _Pending) -> tuple[set[str], set[str]]:
        """Return those of `digests` that links of the folder name, and of these those that we are not to remove."""
        linked: set[str] = set()
        foreign: set[str] = set()
        for name in self.tree.names():
            if isinstance(name, Problem):
                continue
            for digest, changed in RepositoryLinks(self.tree, name).named(digests):
                linked.add(str(digest))
                if not pending.cover(name, str(digest), changed):
                    foreign.add(str(digest))
        return linked, foreign

    async def _unknown(self, digests: Collection[str]) -> set[str]:
        """Return those of `digests` that no row speaks of."""
        names, found = sorted(digests), set[str]()
        for start in range(0, len(names), _ROWS_A_PIECE):
            some = names[start : start + _ROWS_A_PIECE]
            known = await manifests.known_contents(self.metadata, some)
            known |= await blobs.known(self.metadata, some)
            known |= await collection.shared_keys(self.metadata, some)
            found.update(set(some) - known)
        return found


class _Pending:
    """Which links the outbox is still to bring in line."""

    def __init__(self, entries: Sequence[OutboxEntry]) -> None:
        self._whole: dict[str, int] = {}
        self._named: dict[tuple[str, str], int] = {}
        for entry in entries:
            repository = entry.repository or ""
            if entry.topic == outbox.REPOSITORY_CHANGED:
                self._whole[repository] = entry.ours_until
            for name in entry.names:
                self._named[repository, name] = entry.ours_until

    def cover(self, repository: str, digest: str, changed: int) -> bool:
        """Tell whether a link is to change or go, and was not written by somebody else after that was decided."""
        return changed <= max(self._whole.get(repository, 0), self._named.get((repository, digest), 0))


def _newest(shards: Sequence[Shard]) -> str:
    """Give the time of the latest change; no later one than now, or what is written until then would not be seen."""
    return str(min(time.time_ns(), max((shard.changed_ns for shard in shards), default=0)))


def _is_ahead(remembered: str | None) -> bool:
    return int(remembered or 0) > time.time_ns() + _CLOCKS_DIFFER_NS


def _digest(text: str) -> Digest | None:
    """Read the name of a folder among those of blobs, which need not be one."""
    try:
        return Digest.parse(text)
    except DigestInvalid:
        return None


async def _settle(tx: Transaction) -> None:
    await settings.remove(tx, _FOREIGN_KEY)
    await settings.remove(tx, LOST_LOG)


async def _set_foreign(tx: Transaction) -> None:
    await settings.put(tx, _FOREIGN_KEY, "yes")


async def _forget(remembered: str | None, tx: Transaction) -> None:
    """Forget what was looked at, unless somebody has remembered something else meanwhile."""
    if await settings.find(tx, _SEEN_KEY) == remembered:
        await settings.remove(tx, _SEEN_KEY)


async def _move_on(remembered: str | None, newest: str, tx: Transaction) -> None:
    """Remember what was looked at, unless somebody has remembered more meanwhile."""
    if await settings.find(tx, _SEEN_KEY) == remembered:
        await settings.put(tx, _SEEN_KEY, newest)
    await settings.remove(tx, LOST_LOG)


async def _queue(digests: Sequence[str], tx: Transaction) -> None:
    """Leave what a crash left to the collector, which looks again when it is old enough."""
    await review.add_files(tx, digests, after=0, reason="no row and no link speaks of it")
