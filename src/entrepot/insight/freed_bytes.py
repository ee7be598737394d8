"""What deleting something would free once trash and grace are over, told at once and without changing anything.

The answer is the difference between two futures: one in which all that was chosen is deleted now, and one in which it
is not. In both, nobody pushes or restores anything, the trash is emptied and collection takes what nothing needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from entrepot.insight.byte_holders import Holding
from entrepot.insight.deletion_choice import Chosen, Finding, Found, Kept
from entrepot.insight.removal_closure import Fates
from entrepot.metadata.contents import image_blobs
from entrepot.metadata.contents.blobs import LOST
from entrepot.metadata.database import Database, Reader
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.usage import deletion_closure, usage
from entrepot.metadata.usage.deletion_closure import HeldBlob, Standing
from entrepot.metadata.usage.usage import FULL
from entrepot.registry.ports import TagRules

#: Things that an answer names as staying.
_NAMED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """What goes from the storage."""

    blob_bytes: int  #: of blobs that nothing needs any more
    manifest_bytes: int  #: of manifests that are nowhere any more
    shared_bytes: int  #: of blobs that stay, because something else needs them
    blobs: int  #: that go

    @property
    def bytes(self) -> int:
        """All bytes that go."""
        return self.blob_bytes + self.manifest_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InProject:
    """What a project uses less, as its quota counts."""

    bytes: int
    shared_bytes: int  #: of blobs that the project needs for something else


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldFree:
    """What a deletion would bring."""

    on_disk: OnDisk | None  #: None where that was not asked for
    projects: Mapping[int, InProject]  #: by row id
    manifests: int  #: that leave their repositories
    followers: int  #: of them: parts of indexes, signatures and the like, which go with the others
    kept: Sequence[Kept]  #: what would not be deleted
    more_kept: bool  #: there is more of that


@dataclass(frozen=True, slots=True)
class Freeing:
    """Answers the question."""

    metadata: Database
    rules: TagRules

    async def would_free(self, chosen: Chosen, *, disk: bool) -> WouldFree:
        """Say what deleting something would free: from projects, and, where `disk` says so, from the storage.

        Raises:
            Invalid: It is too much to be looked at at once.
            TookTooLong: It took too long.
        """
        reader = patient(self.metadata)
        found = await Finding(reader, self.rules).find(chosen)
        deletion = await Deletion.of(reader, found)
        return WouldFree(
            on_disk=await deletion.on_disk() if disk else None,
            projects=await deletion.in_projects(),
            manifests=len(deletion.manifests),
            followers=deletion.followers,
            kept=found.kept[:_NAMED],
            more_kept=len(found.kept) > _NAMED,
        )


@dataclass(slots=True)
class Deletion:
    """All that goes because of what was chosen, and would not go without that."""

    reader: Reader
    holding: Holding
    manifests: list[Standing]
    followers: int
    blobs: dict[int, HeldBlob] = field(default_factory=dict)  #: that these manifests refer to

    @classmethod
    async def of(cls, reader: Reader, found: Found) -> Deletion:
        """Find out what goes."""
        gone = await _deleted(reader, found)
        followers = await _follow(reader, gone, found.untagged)
        ours = gone - await Fates(reader=reader).going(gone)
        holding = Holding(reader, Fates(reader=reader, gone=gone, untagged=found.untagged))
        manifests, blobs = await deletion_closure.standing(reader, ours), await deletion_closure.blobs_of(reader, ours)
        return cls(reader, holding, manifests, followers, blobs)

    async def on_disk(self) -> OnDisk:
        """Say what the storage loses."""
        contents = {one.digest: one.size for one in self.manifests}
        contents = {digest: contents[digest] for digest in contents.keys() - await self.holding.contents(contents)}
        staying = await self.holding.blobs(self.blobs)
        dead = {row_id: blob for row_id, blob in self.blobs.items() if row_id not in staying}
        keys = await self._keys(dead, contents)
        sizes = {blob.key: blob.size for blob in dead.values() if blob.key in keys and blob.state not in LOST}
        return OnDisk(
            blob_bytes=sum(sizes.values()),
            manifest_bytes=sum(size for digest, size in contents.items() if digest in keys and digest not in sizes),
            shared_bytes=sum(self.blobs[row].size for row in staying),
            blobs=len(dead),
        )

    async def _keys(self, dead: dict[int, HeldBlob], contents: Collection[str]) -> set[str]:
        """Return the keys of bytes that go: those that no other blob and no manifest has."""
        keys = {blob.key for blob in dead.values()} | set(contents)
        others = {
            row: key for row, key in (await deletion_closure.same_bytes(self.reader, keys)).items() if row not in dead
        }
        kept = await self.holding.blobs(others)
        return keys - {others[row] for row in kept} - await self.holding.contents(keys - set(contents))

    async def in_projects(self) -> dict[int, InProject]:
        """Say what the quotas of the projects count less."""
        by_project: defaultdict[int, list[Standing]] = defaultdict(list)
        for one in self.manifests:
            by_project[one.project_id].append(one)
        return {project: await self._in_project(project, ours) for project, ours in by_project.items()}

    async def _in_project(self, project: int, ours: Sequence[Standing]) -> InProject:
        contents = {one.digest: one.size for one in ours}
        kept = await self.holding.contents(contents, within=project)
        own = sum(size for digest, size in contents.items() if digest not in kept)
        uses = await image_blobs.of_manifests(self.reader, [one.id for one in ours])
        sizes = {blob: size for blobs in uses.values() for blob, size in blobs.items()}
        staying = await self.holding.blobs(sizes, within=project)
        freed = sum(size for blob, size in sizes.items() if blob not in staying)
        if (await usage.find(self.reader, project)).limits.charge == FULL:
            own = sum(one.size for one in ours)
            freed = sum(size for blobs in uses.values() for size in blobs.values())
        return InProject(bytes=own + freed, shared_bytes=sum(sizes[blob] for blob in staying))


async def _deleted(reader: Reader, found: Found) -> set[int]:
    """Delete what was chosen, but for what an index lists that stays."""
    single = dict(found.single)
    while True:
        deleted = found.whole | single.keys()
        needs = await deletion_closure.parents(reader, single)
        listed = {one for one, indexes in needs.items() if not indexes <= deleted}
        if not listed:
            return deleted
        for one in listed:
            found.kept.append(Kept(single.pop(one), "an index that stays lists it"))


async def _follow(reader: Reader, gone: set[int], untagged: Collection[int]) -> int:
    """Let go of what goes with it; return how many manifests that are."""
    frontier, before = set(gone), len(gone)
    while frontier:
        fates = Fates(reader=reader, gone=gone, untagged=untagged)
        frontier = await fates.going(await deletion_closure.dependants(reader, frontier) - gone)
        gone |= frontier
    return len(gone) - before
