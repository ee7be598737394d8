"""The tags of one repository, and its manifests without any, as retention looks at them: some hundreds at a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from entrepot.lifecycle.retention.evaluation import Candidate
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.lifecycle import retention_candidates as rows
from entrepot.oci import media_type as media_types

#: Rows that are read at a time.
_AT_ONCE: Final = 1_000
#: Tags that name a digest: signatures and other things that are kept beside what they are about.
_BESIDE: Final = re.compile(r"(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})(?:\.[A-Za-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Reads the candidates of one repository, each time from the beginning."""

    metadata: Reader
    repository_id: int

    async def tagged(self) -> AsyncIterator[list[Candidate]]:
        """Give the tags."""
        last = ""
        while found := await rows.tags_after(self.metadata, self.repository_id, last, limit=_AT_ONCE):
            last = found[-1][0]
            yield await self._tagged(found)

    async def pages(self) -> AsyncIterator[list[Candidate]]:
        """Give all of them, tags first: what has none belongs to nothing."""
        async for page in self.tagged():
            yield page
        after: int | None = 0
        while after is not None:
            found, after = await rows.untagged_after(self.metadata, self.repository_id, after, limit=_AT_ONCE)
            if found:
                yield await self._untagged(found)

    async def subjects_of(self, ids: Collection[int]) -> set[int]:
        """Return the row ids of what manifests refer to, of that which is there."""
        ordered, found = sorted(ids), set[int]()
        for start in range(0, len(ordered), _AT_ONCE):
            found |= await rows.subjects_of(self.metadata, ordered[start : start + _AT_ONCE])
        return found

    async def _tagged(self, found: Sequence[Row]) -> list[Candidate]:
        pulled = await self._pulled_below([(row[2], row[4]) for row in found])
        page = [
            Candidate(
                tag=row[0],
                digest=row[3],
                manifest_id=row[2],
                pushed_at=row[1],
                pulled_at=pulled.get(row[2]) or row[5] or 0,
                is_listed=bool(row[6]),
                belongs_to=row[7],
            )
            for row in found
        ]
        return await self._beside(page)

    async def _beside(self, page: list[Candidate]) -> list[Candidate]:
        """Find what tags belong to that name its digest."""
        digests = [digest for one in page if one.tag and (digest := named_by(one.tag))]
        there = await rows.named(self.metadata, self.repository_id, digests)
        return [_beside(one, there) for one in page] if there else page

    async def _untagged(self, found: Sequence[Row]) -> list[Candidate]:
        pulled = await self._pulled_below([(row[0], row[3]) for row in found])
        return [
            Candidate(
                tag=None,
                digest=row[2],
                manifest_id=row[0],
                pushed_at=row[1],
                pulled_at=pulled.get(row[0]) or row[4] or 0,
            )
            for row in found
        ]

    async def _pulled_below(self, manifests: Sequence[tuple[int, str]]) -> dict[int, int]:
        """Return when indexes were last pulled, themselves or by what they list."""
        ids = {row_id for row_id, media_type in manifests if media_types.is_index(media_type)}
        return await rows.pulled_below(self.metadata, sorted(ids))


def _beside(candidate: Candidate, there: Mapping[str, int]) -> Candidate:
    """Return a candidate that belongs to what its tag names, if that is there."""
    leader = there.get(named_by(candidate.tag or "") or "")
    return candidate if leader is None else replace(candidate, belongs_to=leader, names_digest=True)


def named_by(tag: str) -> str | None:
    """Return the digest that a tag names, if it is one of those that are kept beside something."""
    match = _BESIDE.fullmatch(tag)
    return None if match is None else f"{match[1]}:{match[2]}"
