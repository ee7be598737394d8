"""Referrers: the manifests whose subject is a given manifest.

Entries of an index that a client kept under the fallback tag (distribution specification, "Referrers Tag Schema") are
folded into the first page, so that nothing attached before this registry had the list is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from entrepot.metadata.contents import manifests
from entrepot.metadata.contents import referrers as rows
from entrepot.metadata.database import Database
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.descriptor import Descriptor
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.reference import RepositoryName
from entrepot.oci.referrers import fallback_tag
from entrepot.registry.lookup import Lookup

#: Bytes of the manifests that one page describes: as much as one manifest may have, which every client must take.
_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Referrers:
    """The referrers of manifests, whether or not those exist."""

    metadata: Database
    lookup: Lookup

    async def list(
        self,
        name: RepositoryName,
        digest: Digest,
        *,
        artifact_type: str | None = None,
        limit: int,
        last: str = "",
    ) -> tuple[Sequence[Descriptor], str | None]:
        """Return up to `limit` referrers after `last`, and what to continue after when more follow.

        A page is shorter where the manifests are large, since it repeats their annotations.
        """
        question = partial(self._page, digest=digest, artifact_type=artifact_type, limit=limit, last=last)
        found, more = await self.lookup.find(name, question) or ([], False)
        following = str(found[-1].digest) if more else None
        folded = [] if last else await self._fallback(name, digest, artifact_type)
        return [*found, *folded], following

    async def _page(
        self, stored_name: str, *, digest: Digest, artifact_type: str | None, limit: int, last: str
    ) -> tuple[Sequence[Descriptor], bool] | None:
        """Return None rather than nothing, so that the other spelling of the name is asked."""
        found, more = await rows.page(
            self.metadata,
            stored_name,
            str(digest),
            artifact_type=artifact_type,
            limit=limit,
            last=last,
            most_bytes=_PAGE_BYTES,
        )
        return ([_descriptor(row) for row in found], more) if found else None

    async def _fallback(self, name: RepositoryName, digest: Digest, artifact_type: str | None) -> Sequence[Descriptor]:
        """Return the entries of the fallback tag's index that the list of referrers does not find by subject."""
        tag = fallback_tag(digest)
        row = await self.lookup.find(name, partial(manifests.by_tag, self.metadata, tag=tag))
        content = None if row is None else await manifests.content(self.metadata, row.digest)
        if row is None or content is None:
            return []
        try:
            index = oci_manifest.parse(content, row.media_type)
        except ManifestInvalid:
            return []
        unlisted = await self._unlisted(row.repository_id, digest, index.manifests)
        stored = await self._described(row.repository_id, unlisted)
        entries = [stored.get(entry.digest, entry) for entry in unlisted]
        return [entry for entry in entries if artifact_type in (None, entry.artifact_type)]

    async def _unlisted(
        self, repository_id: int, subject: Digest, entries: Sequence[Descriptor]
    ) -> Sequence[Descriptor]:
        """Leave out what some page of the list has: the subject says so, whichever page it is."""
        digests = [str(entry.digest) for entry in entries]
        listed = await rows.referring(self.metadata, repository_id, str(subject), digests)
        once = {entry.digest: entry for entry in entries if str(entry.digest) not in listed}
        return list(once.values())

    async def _described(self, repository_id: int, entries: Sequence[Descriptor]) -> dict[Digest, Descriptor]:
        """Clients wrote less into the index than the manifests themselves say, so those are asked, within a bound."""
        digests = [str(entry.digest) for entry in entries]
        found = await rows.described(self.metadata, repository_id, digests, most_bytes=_PAGE_BYTES)
        return {descriptor.digest: descriptor for descriptor in map(_descriptor, found)}


def _descriptor(row: rows.ReferrerRow) -> Descriptor:
    return Descriptor(
        media_type=row.media_type,
        digest=Digest.parse(row.digest),
        size=row.size,
        annotations=row.annotations,
        artifact_type=row.artifact_type,
    )
