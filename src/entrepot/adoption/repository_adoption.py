"""The taking in of one repository, piece by piece, each piece one short transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeVar

from entrepot.adoption import rows
from entrepot.adoption.batch_size import Pace
from entrepot.adoption.contents import Contents, Piece
from entrepot.adoption.links import LayerLink, RepositoryLinks, TagLink
from entrepot.adoption.report import Problem, ProblemKind
from entrepot.metadata.contents import projects, repositories, repository_blobs
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.registry.ports import TagRules
from entrepot.registry.tag_rules import NO_RULES

T = TypeVar("T")
R = TypeVar("R")

Write = Callable[[Transaction, RepositoryRecord], Awaitable[R]]
#: Asked in every transaction whether the repository is still as it was when its files were read; raises if not.
Guard = Callable[[Transaction, RepositoryRecord], Awaitable[None]]


@dataclass(slots=True)
class Adopted:
    """What was taken in."""

    manifests: int = 0
    tags: int = 0
    problems: list[Problem] = field(default_factory=list)
    #: Tags that name something else in the folder, but that a rule of the project keeps: with the rule's number.
    immutable: list[tuple[TagLink, int]] = field(default_factory=list)


OnPiece = Callable[[Adopted], None]


def nobody(_adopted: Adopted) -> None:
    """Be told of a piece and do nothing."""


@dataclass(frozen=True, slots=True)
class Paces:
    """How much of each kind goes into one transaction."""

    manifests: Pace = field(default_factory=lambda: Pace(40))
    layers: Pace = field(default_factory=lambda: Pace(500))
    tags: Pace = field(default_factory=lambda: Pace(150))


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """Takes in what the links of one repository point at."""

    metadata: Database
    links: RepositoryLinks
    guard: Guard
    #: A tag that was pushed keeps what the push said, whatever the files say.
    pushes_win: bool = True
    rules: TagRules = NO_RULES
    paces: Paces = field(default_factory=Paces)
    on_piece: OnPiece = nobody
    result: Adopted = field(default_factory=Adopted)

    def __post_init__(self) -> None:
        self.result.problems = self.links.problems

    async def repository(self) -> RepositoryRecord:
        """Return the repository's row, made if it is missing."""
        return await self.write(_itself)

    async def manifests(self, revisions: Iterator[Digest]) -> None:
        """Take in manifests with their blobs, also those whose blobs are missing."""

        async def take(piece: Piece) -> None:
            self.result.manifests += await self.piece(piece)
            self.on_piece(self.result)

        await self._each(revisions, self.paces.manifests, Contents(self.links).manifests, take)

    async def piece(self, piece: Piece) -> int:
        """Take in manifests that have been read; return how many were new."""
        write = partial(rows.take_manifests, piece=piece)
        return await self.write(write, len(piece.manifests), self.paces.manifests)

    async def layers(self, repository: RepositoryRecord, links: Iterator[LayerLink]) -> None:
        """Take in the blobs that no manifest taken in before refers to."""

        async def take(some: list[LayerLink]) -> None:
            held = await repository_blobs.linked(self.metadata, repository.id, [str(link.digest) for link in some])
            loose = [link for link in some if str(link.digest) not in held]
            if loose:
                piece = await asyncio.to_thread(Contents(self.links).layers, loose)
                await self.write(partial(rows.take_layers, stored=piece.stored), len(loose), self.paces.layers)
            self.on_piece(self.result)

        await self._each(links, self.paces.layers, list, take)

    async def tags(self, links: Iterator[TagLink]) -> None:
        """Take in tags, after the manifests that they name."""

        async def take(some: list[TagLink]) -> None:
            await self.some_tags(some)
            self.on_piece(self.result)

        await self._each(links, self.paces.tags, list, take)

    async def some_tags(self, links: list[TagLink]) -> None:
        """Take in a few tags; those without their manifest are noted."""
        work = partial(rows.take_tags, links=links, pushes_win=self.pushes_win, rules=self.rules)
        taken = await self.write(work, len(links), self.paces.tags)
        self.result.tags += taken.moved
        self.result.immutable += taken.immutable
        for link in taken.dangling:
            self.links.note(ProblemKind.DANGLING_TAG, link.tag, f"names {link.digest}")

    async def finish(self) -> None:
        """Count the repository as adopted."""
        await self.write(_finish)

    async def write(self, work: Write[R], items: int = 0, pace: Pace | None = None) -> R:
        """Run a transaction on the repository's row, and learn from how long it took."""

        async def whole(tx: Transaction) -> R:
            started = time.monotonic()
            repository = await _find_or_create(tx, self.links.name)
            await self.guard(tx, repository)
            result = await work(tx, repository)
            if pace is not None:
                pace.took(time.monotonic() - started, items)
            return result

        return await self.metadata.write(whole, name="adopt")

    async def _each(
        self,
        items: Iterator[T],
        pace: Pace,
        read: Callable[[Iterable[T]], R],
        take: Callable[[R], Awaitable[None]],
    ) -> None:
        """Read pieces in a thread, each while the one before it is being taken in."""

        def following() -> R | None:
            some = list(islice(items, pace.size))
            return read(some) if some else None

        reading = asyncio.ensure_future(asyncio.to_thread(following))
        try:
            while (piece := await reading) is not None:
                reading = asyncio.ensure_future(asyncio.to_thread(following))
                await take(piece)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _find_or_create(tx: Transaction, name: RepositoryName) -> RepositoryRecord:
    found = await repositories.find_exact(tx, name)
    if found is None:
        project = await projects.ensure(tx, name.project)
        await repositories.create(tx, name, project.id, adopted=False)
        found = await repositories.find_exact(tx, name)
    assert found is not None
    return found


async def _itself(_tx: Transaction, repository: RepositoryRecord) -> RepositoryRecord:
    return repository


async def _finish(tx: Transaction, repository: RepositoryRecord) -> None:
    await repositories.set_adopted(tx, repository.id)
