"""What follows from the reading of a blob: its row says that it is whole, or that it is out of sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from entrepot.integrity.blob_read import Read, Verdict
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.integrity import verification
from entrepot.metadata.integrity.verification import Verified
from entrepot.oci.digest import Digest
from entrepot.registry.quarantine import Quarantine, heal


@dataclass(frozen=True, slots=True)
class BlobVerdicts:
    """Writes verdicts down; `by` says whose they are."""

    metadata: Database
    quarantine: Quarantine
    by: str

    async def whole(self, found: Sequence[tuple[StoredRow, Read]]) -> int:
        """Note blobs whose bytes are right; return how many of them were out of sight until now."""
        if not found:
            return 0
        return await self.metadata.write(partial(self._write, found), name="verified")

    async def wrong(self, row: StoredRow, read: Read) -> bool:
        """Take a damaged or missing blob out of sight; False when it is another by now."""
        digest = Digest.parse(row.digest)
        if read.verdict is Verdict.MISSING:
            return await self.quarantine.missing(digest, read.detail, by=self.by)
        assert read.file is not None
        return await self.quarantine.damaged(digest, read.file, read.detail, by=self.by)

    async def _write(self, found: Sequence[tuple[StoredRow, Read]], tx: Transaction) -> int:
        now, healed = clock.now(), 0
        marks = [_mark(row, read, now) for row, read in found]
        await verification.mark(tx, marks)
        for row, read in found:
            assert read.file is not None
            generation = row.generation
            if row.state in blobs.LOST and await blobs.set_state(tx, row, blobs.LIVE):
                await heal(tx, row.id, row.digest, by=self.by)
                generation += 1
                healed += 1
            if read.file.size != row.size:
                await verification.resize(tx, row.id, generation, was=row.size, size=read.file.size)
        return healed


def _mark(row: StoredRow, read: Read, now: int) -> Verified:
    assert read.file is not None
    return Verified(row.id, row.verified_at, read.file.inode, read.file.mtime_ns, now, read.file.etag)
