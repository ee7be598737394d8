"""Why something is still stored: who needs it, and until when it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from entrepot.metadata import trash_namespaces
from entrepot.metadata.contents import blobs, manifests, repository_blobs
from entrepot.metadata.contents.blobs import BlobRow
from entrepot.metadata.database import Database
from entrepot.metadata.lifecycle import blob_references
from entrepot.metadata.lifecycle.blob_references import Place
from entrepot.oci.digest import Digest

#: Reasons that an answer has at most, of each kind.
MOST: Final = 100

MANIFEST: Final = "manifest"  #: a manifest needs it
TAG: Final = "tag"  #: it is a manifest with a tag
ROOT: Final = "root"  #: it is a manifest that was pushed for itself, and nobody deleted it
INDEX: Final = "index"  #: it is a manifest that an index lists
SUBJECT: Final = "subject"  #: it is a manifest that refers to one that is there
TRASH: Final = "trash"  #: what needs it, or it, can be restored until then
GRACE: Final = "grace"  #: nothing needs it, and it stays until then
DELETING: Final = "deleting"  #: it is being taken away


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason; `until` is in microseconds since the epoch."""

    reason: str
    repository: str | None = None
    digest: str | None = None
    role: str | None = None  #: config or layer
    tags: Sequence[str] = ()
    until: int | None = None


@dataclass(slots=True, kw_only=True)
class Holding:
    """What is known of a digest."""

    digest: str
    size: int | None = None
    state: str | None = None  #: of the blob; None where it is no blob
    repositories: list[str] = field(default_factory=list)  #: that the blob belongs to
    reasons: list[Reason] = field(default_factory=list)
    more: bool = False  #: there are reasons beyond those listed


@dataclass(frozen=True, slots=True)
class Why:
    """Answers the question."""

    metadata: Database

    async def about(self, digest: Digest) -> Holding | None:
        """Say why something is kept; None when nothing of this digest is stored."""
        holding = Holding(digest=str(digest))
        blob = await blobs.find(self.metadata, str(digest))
        content = await manifests.content(self.metadata, str(digest))
        if blob is None and content is None:
            return None
        if blob is not None:
            await self._blob(blob, holding)
        if content is not None:
            holding.size = len(content)
            await self._manifest(holding)
        return holding

    async def _blob(self, blob: BlobRow, holding: Holding) -> None:
        holding.size, holding.state = blob.size, blob.state
        holding.repositories = sorted(await repository_blobs.of_repositories(self.metadata, blob.id, MOST))
        places = await blob_references.of_blob(self.metadata, blob.id, limit=MOST + 1)
        holding.more |= len(places) > MOST
        tags = await blob_references.tags_of(self.metadata, [place.id for place in places], limit=10 * MOST)
        for place in places[:MOST]:
            holding.reasons.append(await self._needs(place, tags.get(place.id, [])))
        if blob.state == blobs.DELETING:
            holding.reasons.append(Reason(reason=DELETING))
        elif not places:
            holding.reasons.append(Reason(reason=GRACE, until=blob.review_after))

    async def _needs(self, place: Place, tags: Sequence[str]) -> Reason:
        if trash_namespaces.is_shadow(place.repository):
            return await self._trash(place)
        return Reason(reason=MANIFEST, repository=place.repository, digest=place.digest, role=place.role, tags=tags)

    async def _trash(self, place: Place) -> Reason:
        """A repository that was deleted as a whole has no entry for each of its manifests."""
        kept = await blob_references.in_trash(self.metadata, place.repository_id, place.digest)
        repository, until = (None, None) if kept is None else kept
        return Reason(reason=TRASH, repository=repository, digest=place.digest, role=place.role, until=until)

    async def _manifest(self, holding: Holding) -> None:
        places = await blob_references.of_digest(self.metadata, holding.digest, limit=MOST + 1)
        holding.more |= len(places) > MOST
        ids = [place.id for place in places]
        tags = await blob_references.tags_of(self.metadata, ids, limit=10 * MOST)
        indexes = await blob_references.listed_by(self.metadata, ids, limit=10 * MOST)
        for place in places[:MOST]:
            holding.reasons += await self._stands(place, tags.get(place.id, []), indexes.get(place.id, []))

    async def _stands(self, place: Place, tags: Sequence[str], indexes: Sequence[str]) -> list[Reason]:
        """Say what keeps a manifest where it is."""
        if trash_namespaces.is_shadow(place.repository):
            return [await self._trash(place)]
        found = [Reason(reason=INDEX, repository=place.repository, digest=digest) for digest in indexes]
        if tags:
            found.append(Reason(reason=TAG, repository=place.repository, tags=tags))
        subject = [] if place.subject is None else [place.subject]
        if await manifests.known_in(self.metadata, place.repository_id, subject):
            found.append(Reason(reason=SUBJECT, repository=place.repository, digest=place.subject))
        if place.review_after is not None and not found:
            found.append(Reason(reason=GRACE, repository=place.repository, until=place.review_after))
        return found or [Reason(reason=ROOT, repository=place.repository)]
