"""Rows whose bytes are not there, or not all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from entrepot.lifecycle.collection.blobs import find_file
from entrepot.metadata.contents import blobs
from entrepot.metadata.lifecycle.collection import BlobUnderReview
from entrepot.oci.digest import Digest
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine

_log = logging.getLogger(__name__)

_BY: Final = "collection"
#: With so many files gone and none there, the disk is another one: the rest is not looked at.
_ENOUGH: Final = 10_000


@dataclass(slots=True)
class Absence:
    """Looks for the files of blobs, in one way through the rows.

    What is gone counts once any other file is there: a disk that is not mounted loses nothing.
    """

    store: BlobStore
    quarantine: Quarantine
    _gone: list[Digest] = field(default_factory=list)
    _is_there: bool = False

    @property
    def is_undecided(self) -> bool:
        """Tell whether files are gone of which nobody can say yet whether they are lost."""
        return bool(self._gone)

    @property
    def has_given_up(self) -> bool:
        """Tell whether so many files are gone, and none there, that no more are looked for."""
        return len(self._gone) >= _ENOUGH

    async def look(self, rows: Sequence[BlobUnderReview]) -> int:
        """Take those out of sight whose bytes are gone or cut; return how many that were."""
        if self.has_given_up:
            return 0
        return sum([await self._one(row) for row in rows if row.state in (blobs.LIVE, blobs.MARKED)])

    def end(self) -> None:
        """Say so if not one file is there."""
        if self._gone:
            _log.error("none of the files of %d blobs is there: is the disk with the blobs mounted?", len(self._gone))

    async def _one(self, row: BlobUnderReview) -> int:
        file = await find_file(self.store, row.storage_key)
        if file is None:
            self._gone.append(Digest.parse(row.digest))
        else:
            self._is_there = True
        count = await self._take_gone() if self._is_there else 0
        if file is not None and file.size != row.size:
            detail = f"its file has {file.size} bytes, not {row.size}"
            count += await self.quarantine.damaged(Digest.parse(row.digest), file, detail, by=_BY)
        return count

    async def _take_gone(self) -> int:
        gone, self._gone = self._gone, []
        return sum([await self.quarantine.missing(digest, "its file is gone", by=_BY) for digest in gone])
