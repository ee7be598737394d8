"""What deleting something would free once trash and grace are over, told at once and without changing anything.

The answer is the difference between two futures: one in which all that was chosen is deleted now, and one in which it
is not. In both, nobody pushes or restores anything, the trash is emptied and collection takes what nothing needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from entrepot.insight.chosen import Chosen, Finding, Found, Kept
from entrepot.insight.fates import Fates
from entrepot.metadata import freeing
from entrepot.metadata.blobs import LOST
from entrepot.metadata.database import Database, Reader
from entrepot.metadata.freeing import HeldBlob
from entrepot.metadata.patient import patient
from entrepot.registry.ports import TagRules

#: Things that an answer names as staying.
_NAMED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldFree:
    """What a deletion would bring."""

    blob_bytes: int  #: of blobs that nothing needs any more
    manifest_bytes: int  #: of manifests that are nowhere any more
    shared_bytes: int  #: that stay, because something else needs them
    blobs: int  #: that go
    manifests: int  #: that leave their repositories
    followers: int  #: of them: parts of indexes, signatures and the like, which go with the others
    kept: Sequence[Kept]  #: what would not be deleted
    more_kept: bool  #: there is more of that

    @property
    def bytes(self) -> int:
        """All bytes that go."""
        return self.blob_bytes + self.manifest_bytes


@dataclass(frozen=True, slots=True)
class Freeing:
    """Answers the question."""

    metadata: Database
    rules: TagRules

    async def would_free(self, chosen: Chosen) -> WouldFree:
        """Say what deleting something would free.

        Raises:
            Invalid: It is too much to be looked at at once.
            TookTooLong: It took too long.
        """
        reader = patient(self.metadata)
        found = await Finding(reader, self.rules).find(chosen)
        return await _Question(reader, found).answer()


@dataclass(slots=True)
class _Question:
    reader: Reader
    found: Found
    gone: set[int] = field(default_factory=set)
    followers: int = 0

    async def answer(self) -> WouldFree:
        await self._delete()
        await self._follow()
        ours = self.gone - await Fates(reader=self.reader).going(self.gone)
        holding = _Holding(self.reader, Fates(reader=self.reader, gone=self.gone, untagged=self.found.untagged))
        blobs = await freeing.blobs_of(self.reader, ours)
        contents = {one.digest: one.size for one in await freeing.standing(self.reader, ours)}
        staying = await holding.blobs(blobs)
        dead = {row_id: blob for row_id, blob in blobs.items() if row_id not in staying}
        gone_contents = contents.keys() - await holding.contents(contents)
        keys = await self._keys(holding, dead, gone_contents)
        return self._tell(ours, dead, staying, blobs, {d: contents[d] for d in gone_contents}, keys)

    async def _delete(self) -> None:
        """Delete what was chosen, but for what an index lists that stays."""
        single = dict(self.found.single)
        while True:
            deleted = self.found.whole | single.keys()
            needs = await freeing.parents(self.reader, single)
            listed = {one for one, indexes in needs.items() if not indexes <= deleted}
            if not listed:
                self.gone = deleted
                return
            for one in listed:
                self.found.kept.append(Kept(single.pop(one), "an index that stays lists it"))

    async def _follow(self) -> None:
        """Let go of what goes with it."""
        frontier = set(self.gone)
        while frontier:
            fates = Fates(reader=self.reader, gone=self.gone, untagged=self.found.untagged)
            frontier = await fates.going(await freeing.dependants(self.reader, frontier) - self.gone)
            self.gone |= frontier
            self.followers += len(frontier)

    async def _keys(self, holding: _Holding, dead: dict[int, HeldBlob], contents: Collection[str]) -> set[str]:
        """Return the keys of bytes that go: those that no other blob and no manifest has."""
        keys = {blob.key for blob in dead.values()} | set(contents)
        others = {row: key for row, key in (await freeing.same_bytes(self.reader, keys)).items() if row not in dead}
        kept = await holding.blobs(others)
        return keys - {others[row] for row in kept} - await holding.contents(keys - set(contents))

    def _tell(
        self,
        ours: set[int],
        dead: dict[int, HeldBlob],
        staying: set[int],
        blobs: dict[int, HeldBlob],
        contents: dict[str, int],
        keys: set[str],
    ) -> WouldFree:
        sizes = {blob.key: blob.size for blob in dead.values() if blob.key in keys and blob.state not in LOST}
        return WouldFree(
            blob_bytes=sum(sizes.values()),
            manifest_bytes=sum(size for digest, size in contents.items() if digest in keys and digest not in sizes),
            shared_bytes=sum(blobs[row].size for row in staying),
            blobs=len(dead),
            manifests=len(ours),
            followers=self.followers,
            kept=self.found.kept[:_NAMED],
            more_kept=len(self.found.kept) > _NAMED,
        )


@dataclass(slots=True)
class _Holding:
    """Says what something holds that stays."""

    reader: Reader
    fates: Fates
    _going: set[int] = field(default_factory=set)

    async def blobs(self, ids: Collection[int]) -> set[int]:
        """Return those blobs that a manifest holds which stays."""
        held: set[int] = set()
        waiting = set(ids)
        while waiting:
            found = await freeing.holders(self.reader, waiting, but=self.fates.gone | self._going)
            going = await self._told(found.values())
            held |= {row for row, holder in found.items() if holder not in going}
            waiting = found.keys() - held
        return held

    async def contents(self, digests: Collection[str]) -> set[str]:
        """Return those digests that a manifest has which stays."""
        held: set[str] = set()
        waiting = set(digests)
        while waiting:
            found = await freeing.holders_of_contents(self.reader, waiting, but=self.fates.gone | self._going)
            going = await self._told(found.values())
            held |= {digest for digest, holder in found.items() if holder not in going}
            waiting = found.keys() - held
        return held

    async def _told(self, holders: Collection[int]) -> set[int]:
        going = await self.fates.going(set(holders))
        self._going |= going
        return going
