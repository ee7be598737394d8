"""Whether the bytes of every known blob are there.

registry:2's garbage collection, or a person, may have removed them while the folder was out of our hands. A client that
is told such a blob exists does not push it, and the next image lacks a layer: so it must be unknown until it is pushed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from entrepot.adoption.ports import RegistryTree, Seen
from entrepot.adoption.report import Problem, ProblemKind
from entrepot.metadata.contents import blobs, repository_blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database, Transaction
from entrepot.oci.digest import Digest
from entrepot.registry import layout
from entrepot.registry.quarantine import heal

_BLOBS_A_PIECE = 1000
#: Who heals a blob, in findings and events.
_ADOPTION = "adoption"


@dataclass(frozen=True, slots=True)
class Presence:
    """Looks at the file of every blob."""

    metadata: Database
    tree: RegistryTree

    async def check(self, on_piece: Callable[[], None] = lambda: None) -> Seen:
        """Make blobs without their bytes missing, and missing ones live whose bytes are back."""
        seen = Seen()
        last = 0
        while rows := await blobs.stored(self.metadata, after=last, limit=_BLOBS_A_PIECE):
            last = rows[-1].id
            await self.look(rows, seen)
            on_piece()
        return seen

    async def look(self, rows: Sequence[StoredRow], seen: Seen) -> None:
        """Look at the files of some blobs; what became of them is added to `seen`.

        Objects of ours, under names of their own, no other registry has touched.
        """
        rows = [row for row in rows if not layout.is_object(row.storage_key)]
        there = await asyncio.to_thread(self._there, rows)
        lost = [row for row, here in zip(rows, there, strict=True) if not here and row.state not in blobs.LOST]
        found = [row for row, here in zip(rows, there, strict=True) if here and row.state in blobs.LOST]
        seen.lost += await self._set(lost, blobs.MISSING)
        seen.found += await self._set(found, blobs.LIVE)
        seen.problems += [await self._problem(row) for row in lost]

    def _there(self, rows: Sequence[StoredRow]) -> list[bool]:
        return [self._is_there(row) for row in rows]

    def _is_there(self, row: StoredRow) -> bool:
        """Look at a blob's file; one that was found damaged must have other bytes by now."""
        digest = Digest.parse(row.storage_key)
        file = self.tree.find_blob(digest)
        if file is None or file.size != row.size:
            return False
        return row.state != blobs.DAMAGED or self.tree.holds(digest)

    async def _set(self, rows: Sequence[StoredRow], state: str) -> int:
        return await self.metadata.write(partial(_set, rows, state), name="blobs seen") if rows else 0

    async def _problem(self, row: StoredRow) -> Problem:
        holders = await repository_blobs.of_repositories(self.metadata, row.id, limit=1)
        return Problem(ProblemKind.MISSING_BLOB, "".join(holders), row.digest, "its file is gone or has another size")


async def _set(rows: Sequence[StoredRow], state: str, tx: Transaction) -> int:
    changed = [row for row in rows if await blobs.set_state(tx, row, state)]
    for row in changed if state == blobs.LIVE else ():
        await heal(tx, row.id, row.digest, by=_ADOPTION)
    return len(changed)
