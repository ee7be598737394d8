"""Following the outbox: each entry is written to the tree, in order, then removed.

One process projects at a time (the job worker, under a lease; where that is not enough, see `registry.locks`).
Every step may be repeated: an entry says which names to bring in line, and what they hold is read from the metadata
when it is projected, not when it was queued.

Entries may have waited while another registry had the folder: a link that was written after an entry, and not by us, is
left as it is, and counts as foreign until it is taken in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from entrepot.adoption.foreign import ForeignLink, ForeignWrites
from entrepot.adoption.tree import Tree
from entrepot.metadata.contents import manifests, repository_blobs
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox import OutboxEntry
from entrepot.metadata.jobs.outbox_rounds import FULL, Round, attempt
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.comparison import Comparison
from entrepot.projection.files import TreeFiles
from entrepot.registry import layout

#: Manifests' bytes that may be held before they are written: a batch may name thousands of tags of large manifests.
_BYTES_AT_ONCE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Replaced:
    """A link that a step replaces or removes, unless another registry has written it since the entry was made."""

    paths: tuple[str, ...]  #: its own, and that of what needs it
    subject: str  #: the tag or digest
    entry: OutboxEntry
    by: Digest | None = None  #: what it is to name


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done to the files."""

    take: Callable[[], None]
    frees: bool = False  #: it only removes something
    replaced: Replaced | None = None


@dataclass(slots=True)
class _Plan:
    """Steps to be taken together, in order, and the manifests that they bring."""

    files: TreeFiles
    removing: bool = False  #: only steps that remove something are taken
    #: Links that are another registry's and were left.
    left: list[ForeignLink] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    brought: set[tuple[RepositoryName, Digest]] = field(default_factory=set)
    size: int = 0
    #: Where the bytes lie of blobs that repositories hold, of all that the entries name.
    held: Mapping[tuple[str, str], str] = field(default_factory=dict)

    async def carry_out(self) -> None:
        """Take the steps, to their end also when cancelled: the turn is given back after. The plan is empty then."""
        steps, self.steps, self.size = self.steps, [], 0
        self.brought.clear()
        writing = asyncio.ensure_future(asyncio.to_thread(self._run, steps))
        try:
            await asyncio.shield(writing)
        finally:
            await asyncio.wait({writing})

    def _run(self, steps: list[Step]) -> None:
        """Take the steps in their order; where the disk is full, those at least that only remove something.

        Raises:
            OSError: A step failed; on a full disk after the last one.
        """
        full: OSError | None = None
        for step in steps:
            if step.frees or not (full or self.removing):
                try:
                    self._take(step)
                except OSError as error:
                    if error.errno not in FULL:
                        raise
                    full = error
        if full is not None:
            raise full

    def _take(self, step: Step) -> None:
        link = step.replaced
        if link is not None:
            until = link.entry.ours_until
            theirs = max(self.files.written_since(path, until, but=link.by) for path in link.paths)
            if theirs:
                self.left.append(ForeignLink(str(link.entry.repository), link.subject, theirs))
                return
        step.take()


@dataclass(frozen=True, slots=True)
class Projector:
    """Writes what the outbox asks for."""

    metadata: Database
    files: TreeFiles

    @property
    def tree(self) -> Tree:
        """The same folder, to be read."""
        return Tree(self.files.root)

    async def run(self) -> int:
        """Project everything that is waiting, what cannot be written left waiting; return the number of entries."""
        return await Round(self.metadata, [self.project]).whole()

    async def project(self, entries: Iterable[OutboxEntry]) -> None:
        """Write these entries to the tree.

        Raises:
            OSError: The disk refused; what was written stays, and all of it may be repeated.
        """
        await self._carry_out(entries, removing=False)

    async def remove(self, entries: Iterable[OutboxEntry]) -> None:
        """Do only what of these entries removes something, for a disk that takes nothing more.

        Raises:
            OSError: The disk refused; what was removed is.
        """
        await self._carry_out(entries, removing=True)

    async def _carry_out(self, entries: Iterable[OutboxEntry], *, removing: bool) -> None:
        async with self.files.turn():
            asked = list(entries)
            plan = _Plan(
                self.files,
                removing,
                held=await repository_blobs.find_all(self.metadata, {place for one in asked for place in _places(one)}),
            )
            try:
                for entry in asked:
                    await self._entry(plan, entry)
                await plan.carry_out()
            finally:
                if plan.left:
                    await ForeignWrites(self.metadata, self.tree).count(plan.left)

    async def _entry(self, plan: _Plan, entry: OutboxEntry) -> None:
        planners: dict[str, Callable[[_Plan, RepositoryName, OutboxEntry], Awaitable[None]]] = {
            outbox.MANIFEST_PUT: self._manifest_put,
            outbox.MANIFEST_DELETED: self._manifest_deleted,
            outbox.TAG_DELETED: self._tag_deleted,
            outbox.BLOB_LINKED: self._blob_changed,
            outbox.BLOB_UNLINKED: self._blob_changed,
            outbox.REPOSITORY_CHANGED: self._repository_changed,
        }
        planner = planners.get(entry.topic)
        if planner is not None:
            await planner(plan, RepositoryName.parse(str(entry.payload["repository"])), entry)

    async def _manifest_put(self, plan: _Plan, name: RepositoryName, entry: OutboxEntry) -> None:
        await self._revision(plan, name, _digest(entry), entry)
        self._blobs(plan, name, entry)
        for tag in _tags(entry):
            await self._tag(plan, name, tag, entry)

    async def _manifest_deleted(self, plan: _Plan, name: RepositoryName, entry: OutboxEntry) -> None:
        """Tags first: a tag without its manifest is the only state in between that registry:2 would stumble over."""
        for tag in _tags(entry):
            await self._tag(plan, name, tag, entry)
        await self._revision(plan, name, _digest(entry), entry)
        self._blobs(plan, name, entry)

    async def _tag_deleted(self, plan: _Plan, name: RepositoryName, entry: OutboxEntry) -> None:
        await self._tag(plan, name, Tag.parse(str(entry.payload["tag"])), entry)

    async def _blob_changed(self, plan: _Plan, name: RepositoryName, entry: OutboxEntry) -> None:
        self._blobs(plan, name, entry)

    async def _repository_changed(self, plan: _Plan, name: RepositoryName, entry: OutboxEntry) -> None:
        """As much as this may be, it is not planned but done: after what was planned before."""
        await plan.carry_out()
        comparison = Comparison(self.metadata, self.tree, self.files)
        plan.left += await comparison.align(name, entry.ours_until)

    async def _revision(self, plan: _Plan, name: RepositoryName, digest: Digest, entry: OutboxEntry) -> None:
        row = await manifests.by_digest(self.metadata, name, str(digest))
        if row is not None and (name, digest) in plan.brought:
            return
        content = None if row is None else await manifests.content(self.metadata, str(digest))
        if content is None:
            plan.brought.discard((name, digest))
            replaced = Replaced((layout.revision_link(name, digest),), str(digest), entry)
            plan.steps.append(Step(partial(self.files.remove_revision, name, digest), frees=True, replaced=replaced))
            return
        plan.brought.add((name, digest))
        plan.steps.append(Step(partial(self.files.put_manifest, name, digest, content)))
        plan.size += len(content)
        if plan.size >= _BYTES_AT_ONCE:
            await plan.carry_out()

    async def _tag(self, plan: _Plan, name: RepositoryName, tag: Tag, entry: OutboxEntry) -> None:
        """Also brings the revision that the tag names now: its own entry may be further back in the outbox."""
        row, link = await manifests.by_tag(self.metadata, name, tag), layout.tag_current_link(name, tag)
        if row is None:
            replaced = Replaced((link,), tag, entry)
            plan.steps.append(Step(partial(self.files.remove_tag, name, tag), frees=True, replaced=replaced))
            return
        digest = Digest.parse(row.digest)
        await self._revision(plan, name, digest, entry)
        replaced = Replaced((link,), tag, entry, by=digest)
        plan.steps.append(Step(partial(self.files.put_tag, name, tag, digest), replaced=replaced))

    def _blobs(self, plan: _Plan, name: RepositoryName, entry: OutboxEntry) -> None:
        """Who pushes a manifest again sends none of the blobs that are there: with it they stay, however old."""
        whole = (layout.revision_link(name, _digest(entry)),) if entry.topic == outbox.MANIFEST_DELETED else ()
        for place in _places(entry):
            key, digest = plan.held.get(place), Digest.parse(place[1])
            if key is None:
                replaced = Replaced((layout.layer_link(name, digest), *whole), str(digest), entry)
                plan.steps.append(Step(partial(self.files.remove_layer, name, digest), frees=True, replaced=replaced))
            else:
                plan.steps.append(Step(partial(self.files.put_layer, name, digest, Digest.parse(key))))


@dataclass(slots=True)
class Forerunner:
    """Projects what somebody must rely on now, ahead of whoever hands the outbox on, who does it once more."""

    projector: Projector
    _done: int = field(default=0, init=False)

    async def catch_up(self, upto: int) -> None:
        """Project the entries up to a number, those that were projected here before left out.

        What cannot be written is passed over: links that lead nowhere are what registry:2's own collection leaves.
        What is to be removed is removed on a full disk, too, before the bytes that it names.
        """
        aside: dict[str, OSError] = {}
        while entries := await outbox.between(self.projector.metadata, after=self._done, upto=upto):
            try:
                await attempt([self.projector.project], entries, aside)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                await self._remove(entries, aside)
            self._done = entries[-1].id

    async def _remove(self, entries: Iterable[OutboxEntry], aside: dict[str, OSError]) -> None:
        """One by one: what an entry cannot write keeps none of the others from what they remove."""
        for entry in entries:
            try:
                await attempt([self.projector.remove], [entry], aside)
            except OSError as error:
                if error.errno not in FULL:
                    raise


def _digest(entry: OutboxEntry) -> Digest:
    return Digest.parse(str(entry.payload["digest"]))


def _places(entry: OutboxEntry) -> list[tuple[str, str]]:
    """Return which blobs of which repository an entry is about."""
    about = entry.topic in {outbox.BLOB_LINKED, outbox.BLOB_UNLINKED}
    digests = [entry.payload["digest"]] if about else entry.payload.get("blobs", [])
    assert isinstance(digests, list)
    return [(str(entry.payload["repository"]), digest) for digest in digests]


def _tags(entry: OutboxEntry) -> list[Tag]:
    tags = entry.payload["tags"]
    assert isinstance(tags, list)
    return [Tag.parse(tag) for tag in tags]
