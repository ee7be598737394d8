"""Taking in what another registry did to a folder that is adopted already: registry:2 had it back for a while.

New manifests, blobs and repositories come in, tags follow the files. What registry:2 no longer has is kept unless it is
to be pruned: files are lost by accidents too. Bytes that are gone are gone in any case (`presence`). Tags that a rule
of their project keeps are neither moved nor deleted.

A server may run meanwhile. A repository's files are compared with its rows as of one moment: nothing of it is in the
outbox then, so that the files say what the rows said. Something that happens to the repository after that moment makes
every write refuse, and the repository is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from entrepot.adoption import prune
from entrepot.adoption.byte_presence import Presence
from entrepot.adoption.intake import Intake
from entrepot.adoption.links import LayerLink, RepositoryLinks, TagLink
from entrepot.adoption.prune import Kept
from entrepot.adoption.report import Problem, Report
from entrepot.adoption.repository_adoption import Adopted, OnPiece, Taking
from entrepot.adoption.run import OnProgress, Progress, Tally, note, walk_names
from entrepot.metadata import events
from entrepot.metadata.contents import repositories, repository_contents
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.contents.repository_contents import RepositoryContents
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError, TagImmutable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.settings import RegistrySettings

_ATTEMPTS = 5
_OUTBOX_SECONDS = 10.0
_POLL_SECONDS = 0.1
_NAMES_A_PAGE = 200
_OUTBOX_LOOKED_AT = 1000
_GONE_A_PIECE = 50


#: Writes what the outbox asks for to the files, as far as it can be written.
CatchUp = Callable[[], Awaitable[object]]


class OutboxWaiting(RegistryError):
    """What was pushed or deleted here cannot be written to the folder; look at its rights and room, then try again."""


class TooBusy(RegistryError):
    """A repository was pushed to all the time while it was compared; run this again, or stop the server first."""


class _ChangedMeanwhile(Exception):
    """Something happened to the repository after its files were read."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The links of a repository."""

    tags: dict[str, TagLink]
    revisions: frozenset[Digest]
    layers: dict[str, LayerLink]

    @classmethod
    def read(cls, links: RepositoryLinks) -> _Found:
        """Read all of them."""
        return cls(
            tags={link.tag: link for link in links.tags()},
            revisions=frozenset(links.revisions()),
            layers={str(link.digest): link for link in links.layers()},
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """Brings the metadata of an adopted folder in line with its files."""

    intake: Intake
    report: Report
    on_progress: OnProgress = lambda _progress: None
    pruning: bool = False
    settings: RegistrySettings = field(default_factory=RegistrySettings)  #: of the registry, for what goes or moves
    #: Brings the files up to what the metadata say, where no server may be there to do so.
    catch_up: CatchUp | None = None
    #: What registry:2 no longer has, or has moved, and the metadata keep.
    kept: list[Kept] = field(default_factory=list)

    async def run(self) -> Progress:
        """Do it for every repository of the folder and of the metadata.

        Raises:
            OutboxWaiting: The files lag behind the metadata, and nobody can write them.
            TooBusy: A repository is pushed to all the time.
            ReadOnly: It is to prune, and the registry is read-only: from the start, or since a moment ago.
            Unsupported: It is to prune, and deleting is switched off; nothing was done.
        """
        if self.pruning:
            await prune.require_allowed(self.intake.metadata, self.settings)
        if self.catch_up is not None:
            await self.catch_up()
        progress = Progress()
        async for found in walk_names(self.intake.tree):
            note(progress, self.report, [entry for entry in found if isinstance(entry, Problem)])
            for name in found:
                if not isinstance(name, Problem):
                    await self._repository(name, progress)
        await self._vanished(progress)
        seen = await Presence(self.intake.metadata, self.intake.tree).check(lambda: self.on_progress(progress))
        note(progress, self.report, seen.problems)
        return progress

    async def _vanished(self, progress: Progress) -> None:
        """Look at repositories whose folder is gone as a whole."""
        last = ""
        while page := await repositories.page(self.intake.metadata, limit=_NAMES_A_PAGE, last=last):
            for name in map(RepositoryName.parse, page):
                if not await asyncio.to_thread(self.intake.tree.has, name):
                    await self._repository(name, progress)
            last = page[-1]

    async def _repository(self, name: RepositoryName, progress: Progress) -> None:
        progress.total += 1
        for _ in range(_ATTEMPTS):
            tally = Tally(progress, self.report, self.on_progress)
            try:
                adopted = await self._attempt(name, tally.piece)
            except _ChangedMeanwhile:
                continue
            tally.end(name, adopted)
            return
        raise TooBusy(f"{TooBusy.__doc__} It is {name}.")

    async def _attempt(self, name: RepositoryName, on_piece: OnPiece) -> Adopted:
        moment = await self._moment(name)
        links = RepositoryLinks(self.intake.tree, name)
        wanted = await repository_contents.read(self.intake.metadata, name)
        found = await asyncio.to_thread(_Found.read, links)
        taking = Taking(
            metadata=self.intake.metadata,
            links=links,
            guard=moment.require,
            pushes_win=False,
            rules=self.settings.tag_rules,
            paces=self.intake.paces,
            on_piece=on_piece,
        )
        await _take_new(taking, wanted, found)
        await self._prune(taking, moment, _gone(name, wanted, found))
        self.kept.extend(_immutable(name, link, rule) for link, rule in taking.result.immutable)
        return taking.result

    async def _moment(self, name: RepositoryName) -> _Moment:
        """Wait until the files say what the metadata say of a repository, as far as we are to write them."""
        deadline = asyncio.get_running_loop().time() + _OUTBOX_SECONDS
        while True:
            latest = await events.last_id(self.intake.metadata)
            waiting = await outbox.oldest(self.intake.metadata, _OUTBOX_LOOKED_AT)
            of_this = [entry for entry in waiting if entry.payload.get("repository") == name]
            if not of_this and len(waiting) < _OUTBOX_LOOKED_AT:
                return _Moment(latest)
            if asyncio.get_running_loop().time() > deadline:
                raise OutboxWaiting(f"{OutboxWaiting.__doc__} It is {name}.")
            await asyncio.sleep(_POLL_SECONDS)

    async def _prune(self, taking: Taking, moment: _Moment, gone: list[Kept]) -> None:
        """Delete manifests with their tags, indexes before what they list; keep what an index still lists."""
        while self.pruning and gone:
            rest: list[Kept] = []
            for start in range(0, len(gone), _GONE_A_PIECE):
                rest += await taking.write(partial(_delete, moment, gone[start : start + _GONE_A_PIECE], self.settings))
            before, gone = len(gone), rest
            if len(gone) == before:
                break
        self.kept.extend(gone)


@dataclass(slots=True)
class _Moment:
    """When a repository's files were read, by the number of the last event before that."""

    latest: int

    async def require(self, tx: Transaction, repository: RepositoryRecord) -> None:
        """Refuse to write when something has happened to the repository since.

        Raises:
            _ChangedMeanwhile: It has.
        """
        if await events.happened_since(tx, self.latest, repository.name):
            raise _ChangedMeanwhile


async def _take_new(taking: Taking, wanted: RepositoryContents, found: _Found) -> None:
    repository = await taking.repository()
    new = sorted((digest for digest in found.revisions if str(digest) not in wanted.manifests), key=str)
    await taking.manifests(iter(new))
    await taking.layers(repository, iter([link for name, link in found.layers.items() if name not in wanted.blobs]))
    await taking.tags(iter([link for name, link in found.tags.items() if wanted.tags.get(name) != str(link.digest)]))
    await taking.finish()


def _gone(name: RepositoryName, wanted: RepositoryContents, found: _Found) -> list[Kept]:
    held = {str(digest) for digest in found.revisions}
    tags = [Kept(name, Tag.parse(tag)) for tag in sorted(wanted.tags.keys() - found.tags.keys())]
    return [*(Kept(name, Digest.parse(digest)) for digest in sorted(wanted.manifests - held)), *tags]


def _immutable(name: RepositoryName, link: TagLink, rule: int) -> Kept:
    tag = Tag.parse(link.tag)
    return Kept(name, tag, reason=str(TagImmutable(link.tag, rule)), theirs=link.digest)


async def _delete(
    moment: _Moment, gone: list[Kept], settings: RegistrySettings, tx: Transaction, _repository: RepositoryRecord
) -> list[Kept]:
    await prune.require_allowed(tx, settings)
    rest = await prune.delete(tx, gone, settings)
    moment.latest = await events.last_id(tx)
    return rest
