"""What a tag pointed at and when, who moved it, and how to put it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from entrepot.access.faults import NotFound
from entrepot.lifecycle.trash.manifests import Wanted
from entrepot.lifecycle.trash.model import Restored
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.metadata import trash_namespaces
from entrepot.metadata.contents import manifests, repositories, tag_history, tags
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.contents.tag_history import TagMove
from entrepot.metadata.database import Database
from entrepot.metadata.filtering import Listed, Selection
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor


class Whereabouts(StrEnum):
    """Where a manifest is that a tag once named."""

    HERE = "here"  #: in the repository
    TRASH = "trash"  #: in the repository's trash: putting the tag back takes it out
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ShownMove:
    """A move, and where its manifest is now."""

    move: TagMove
    whereabouts: Whereabouts


@dataclass(frozen=True, slots=True)
class TagHistory:
    """The use cases about the past of tags; whether the caller may, the caller's side has asked before."""

    metadata: Database
    restoring: Restoring

    async def page(self, repository: RepositoryRecord, tag: Tag, selection: Selection) -> Listed[ShownMove]:
        """Return a page of the moves of a tag, the latest first."""
        found = await tag_history.page(self.metadata, repository.id, tag, selection)
        return Listed(await self._shown(repository, found.items), found.total)

    async def at(self, repository: RepositoryRecord, tag: Tag, moment: int) -> str:
        """Return what a tag named at a moment (microseconds since the epoch).

        Raises:
            NotFound: It named nothing then, as far as is known.
        """
        move = await tag_history.latest(self.metadata, repository.id, tag, until=moment, but=tags.ASIDE)
        if move is None or move.action == tags.DELETED:
            raise NotFound(f"tag {tag} of {repository.name} named nothing then")
        return move.digest

    async def previous(self, repository: RepositoryRecord, tag: Tag) -> str:
        """Return what a tag named before what it names now, or last if it names nothing.

        Raises:
            NotFound: It never named anything else.
        """
        row = await manifests.by_tag(self.metadata, repository.name, tag)
        moves = await tag_history.page(self.metadata, repository.id, tag, Selection(limit=_LOOKED_BACK))
        for move in moves.items:
            if row is None or move.digest != row.digest:
                return move.digest
        raise NotFound(f"tag {tag} of {repository.name} never named anything else")

    async def lies_in_trash(self, repository: RepositoryRecord, digest: str) -> bool:
        """Tell whether a manifest would have to come out of the trash.

        Raises:
            NotFound: It is gone for good.
        """
        (found,) = await self._whereabouts(repository, [digest])
        if found is Whereabouts.GONE:
            raise NotFound(f"manifest {digest} of {repository.name} is gone for good, or never was there")
        return found is Whereabouts.TRASH

    async def put_back(self, repository: RepositoryRecord, tag: Tag, digest: str, *, by: Actor) -> Restored:
        """Point a tag at a manifest that it may have named before, taking that out of the trash if need be.

        Nothing comes out of the trash with a manifest that is there.

        Raises:
            NotFound: The manifest is gone for good.
            TagImmutable: A rule keeps the tag where it is.
            Unsupported: The registry is read-only.
        """
        self.restoring.settings.require_writable()
        lies = await self.lies_in_trash(repository, digest)
        place_id, deletion = await self.restoring.place_of(repository.id, digest) if lies else (None, "")
        wanted = Wanted(
            repository=RepositoryName(repository.name),
            project_id=repository.project_id,
            digest=digest,
            tags=(tag,),
            replace=True,
            insist=True,
            place_id=place_id,
            deletion=deletion,
        )
        return await self.restoring.manifests.restore(wanted, by=by)

    async def _shown(self, repository: RepositoryRecord, moves: Sequence[TagMove]) -> list[ShownMove]:
        where = await self._whereabouts(repository, [move.digest for move in moves])
        return [ShownMove(move, found) for move, found in zip(moves, where, strict=True)]

    async def _whereabouts(self, repository: RepositoryRecord, digests: list[str]) -> list[Whereabouts]:
        here = await tag_history.held(self.metadata, repository.id, digests)
        shadow = await repositories.find_exact(self.metadata, trash_namespaces.of_manifests(repository.id))
        lying = set() if shadow is None else await tag_history.held(self.metadata, shadow.id, digests)
        return [
            Whereabouts.HERE if one in here else Whereabouts.TRASH if one in lying else Whereabouts.GONE
            for one in digests
        ]


#: Moves that are looked through for the one before.
_LOOKED_BACK = 1_000
