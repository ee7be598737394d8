"""Holding registry:2's files against the metadata, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

from entrepot.adoption.foreign import ForeignLink
from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.report import Problem, ProblemKind
from entrepot.adoption.tree import Tree
from entrepot.metadata.contents import manifests, repositories, repository_contents
from entrepot.metadata.contents.repository_contents import RepositoryContents
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox_rounds import EVERYBODYS
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.files import TreeFiles
from entrepot.registry import layout

_NAMES_A_PAGE = 200


class DifferenceKind(StrEnum):
    """How the tree and the metadata can differ."""

    MISSING = "missing"  #: in the metadata, not in the tree
    EXTRA = "extra"  #: in the tree, not in the metadata
    OTHER = "other"  #: a tag that names another manifest in the tree


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: a tag, manifest or blob of a repository, or a whole repository."""

    kind: DifferenceKind
    what: str
    repository: str
    subject: str


@dataclass(slots=True)
class Result:
    """What a comparison saw."""

    repositories: int = 0
    differences: list[Difference] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares one folder with its metadata."""

    metadata: Database
    tree: Tree
    files: TreeFiles
    on_repository: Callable[[str], None] = lambda _name: None

    async def check(self) -> Result:
        """Compare everything and change nothing."""
        return await self._run(writing=False)

    async def write(self) -> Result:
        """Write what the tree lacks or has differently; what only the tree has stays and is reported.

        The result names what differed before, and the repositories whose files cannot be written.
        """
        return await self._run(writing=True)

    async def align(self, name: RepositoryName, ours_until: int) -> list[ForeignLink]:
        """Make the links of one repository say what the metadata say; for whoever has the turn to write.

        A link that says something else, and is younger than a time in microseconds since the epoch, stays and is
        returned: another registry has written it, and it is still to be taken in.
        """
        row = await repositories.find_exact(self.metadata, name)
        if row is not None and not row.adopted:
            return []  # the metadata do not know all of it yet
        wanted = await repository_contents.read(self.metadata, name)
        theirs = await asyncio.to_thread(self.files.has_younger, name, ours_until)
        if not (wanted.manifests or wanted.blobs or theirs):
            await asyncio.to_thread(self.files.remove_repository, name)
            return []
        links = RepositoryLinks(self.tree, name)
        differences = await asyncio.to_thread(self._differences, wanted, links)
        left = await asyncio.to_thread(self._theirs, name, differences, ours_until)
        ours = [one for one in differences if one not in left]
        await asyncio.to_thread(self._remove, name, [one for one in ours if one.kind is DifferenceKind.EXTRA])
        await self._mend(name, wanted, ours)
        return list(left.values())

    async def each(self) -> AsyncIterator[tuple[RepositoryName, list[Difference]]]:
        """Compare the repositories of the metadata, one after another, and change nothing."""
        async for name in self._names():
            result = Result()
            async with self.files.turn():
                await self._repository(name, result, writing=False)
            yield name, result.differences

    async def unknown(self) -> AsyncIterator[Difference]:
        """Give the repositories that only the tree has."""
        async for one in self._unknown():
            if isinstance(one, Difference):
                yield one

    async def write_one(self, name: RepositoryName) -> Result:
        """Write what the tree lacks of one repository or has differently."""
        result = Result()
        async with self.files.turn():
            await self._repository(name, result, writing=True)
        return result

    async def check_one(self, name: RepositoryName) -> Result:
        """Compare one repository, leaving out what entries of the outbox are still to bring."""
        result = Result()
        async with self.files.turn():  # nobody writes files meanwhile
            await self._repository(name, result, writing=False)
            entries = [one async for one in outbox.waiting(self.metadata)]
        ours = [entry for entry in entries if entry.repository == name]
        if any(entry.topic == outbox.REPOSITORY_CHANGED for entry in ours):
            result.differences = []
        coming = {subject for entry in ours for subject in entry.names}
        result.differences = [one for one in result.differences if one.subject not in coming]
        return result

    async def _run(self, *, writing: bool) -> Result:
        result = Result()
        async for name in self._names():
            async with self.files.turn():
                await self._repository(name, result, writing=writing)
            self.on_repository(name)
        async for one in self._unknown():
            if isinstance(one, Problem):
                result.problems.append(one)
            else:
                result.differences.append(one)
        return result

    async def _repository(self, name: RepositoryName, result: Result, *, writing: bool) -> None:
        wanted = await repository_contents.read(self.metadata, name)
        links = RepositoryLinks(self.tree, name)
        differences = await asyncio.to_thread(self._differences, wanted, links)
        result.repositories += 1
        result.differences += differences
        result.problems += links.problems
        if writing:
            result.problems += await self._try_to_mend(name, wanted, differences)

    async def _names(self) -> AsyncIterator[RepositoryName]:
        last = ""
        while page := await repositories.page(self.metadata, limit=_NAMES_A_PAGE, last=last):
            for name in page:
                yield RepositoryName.parse(name)
            last = page[-1]

    def _differences(self, wanted: RepositoryContents, links: RepositoryLinks) -> list[Difference]:
        """Compare one repository; links that lead nowhere, and that the metadata do not have, are no difference."""
        name = links.name
        tags = {str(link.tag): str(link.digest) for link in links.tags()}
        layers = {str(link.digest): link for link in links.layers()}
        whole = {str(digest) for digest in links.revisions() if self.tree.find_blob(digest) is not None}
        moved = [tag for tag in wanted.tags.keys() & tags.keys() if wanted.tags[tag] != tags[tag]]
        dangling_tags = {tag for tag, digest in tags.items() if digest not in whole} - wanted.tags.keys()
        unknown = layers.keys() - wanted.blobs.keys()
        dangling = {digest for digest in unknown if self.tree.find_blob(layers[digest].stored_as) is None}
        return [
            *(Difference(DifferenceKind.OTHER, "tag", name, tag) for tag in sorted(moved)),
            *_compare("manifest", name, wanted.manifests, whole),
            *_compare("blob", name, wanted.blobs.keys(), layers.keys() - dangling),
            *_compare("tag", name, wanted.tags.keys(), tags.keys() - dangling_tags),
        ]

    async def _try_to_mend(
        self, name: RepositoryName, wanted: RepositoryContents, differences: list[Difference]
    ) -> list[Problem]:
        try:
            await self._mend(name, wanted, differences)
        except OSError as error:
            if error.errno in EVERYBODYS:
                raise
            return [Problem(ProblemKind.UNWRITABLE, name, str(error.filename or ""), error.strerror or "")]
        return []

    async def _mend(self, name: RepositoryName, wanted: RepositoryContents, differences: list[Difference]) -> None:
        """Manifests come first, so that no tag names one that is not there."""
        for difference in sorted(differences, key=lambda difference: difference.what == "tag"):
            if difference.kind is DifferenceKind.EXTRA:
                continue
            if difference.what == "manifest":
                await self._write_manifest(name, difference.subject)
            elif difference.what == "blob":
                stored_as = Digest.parse(wanted.blobs[difference.subject])
                await asyncio.to_thread(self.files.put_layer, name, Digest.parse(difference.subject), stored_as)
            else:
                digest = Digest.parse(wanted.tags[difference.subject])
                await asyncio.to_thread(self.files.put_tag, name, Tag.parse(difference.subject), digest)

    def _theirs(
        self, name: RepositoryName, differences: list[Difference], ours_until: int
    ) -> dict[Difference, ForeignLink]:
        times = {one: self.files.written_since(_link(name, one), ours_until) for one in differences}
        return {one: ForeignLink(name, one.subject, at) for one, at in times.items() if at}

    def _remove(self, name: RepositoryName, extra: list[Difference]) -> None:
        """Tags go first, for the same reason."""
        for one in sorted(extra, key=lambda one: one.what != "tag"):
            if one.what == "tag":
                self.files.remove_tag(name, Tag.parse(one.subject))
            elif one.what == "manifest":
                self.files.remove_revision(name, Digest.parse(one.subject))
            else:
                self.files.remove_layer(name, Digest.parse(one.subject))

    async def _write_manifest(self, name: RepositoryName, digest: str) -> None:
        content = await manifests.content(self.metadata, digest)
        if content is not None:
            await asyncio.to_thread(self.files.put_manifest, name, Digest.parse(digest), content)

    async def _unknown(self) -> AsyncIterator[Difference | Problem]:
        """Walk the tree for repositories that only it has, and for what cannot be one."""
        walk = self.tree.names()
        while (name := await asyncio.to_thread(next, walk, None)) is not None:
            if isinstance(name, Problem):
                yield name
            elif await repositories.find_exact(self.metadata, name) is None:
                yield Difference(DifferenceKind.EXTRA, "repository", name, name)


def _compare(what: str, name: str, wanted: Collection[str], found: Collection[str]) -> list[Difference]:
    missing = sorted(set(wanted) - set(found))
    extra = sorted(set(found) - set(wanted))
    return [
        *(Difference(DifferenceKind.MISSING, what, name, subject) for subject in missing),
        *(Difference(DifferenceKind.EXTRA, what, name, subject) for subject in extra),
    ]


def _link(name: RepositoryName, difference: Difference) -> str:
    if difference.what == "tag":
        return layout.tag_current_link(name, Tag.parse(difference.subject))
    link = layout.revision_link if difference.what == "manifest" else layout.layer_link
    return link(name, Digest.parse(difference.subject))
