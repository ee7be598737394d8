"""Taking damaged blobs out of sight, and noting when they are whole again.

A blob in quarantine keeps its row and its references, and its bytes stay where they are; to clients it does not exist,
so they push it again, and that heals everything that needs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from entrepot.metadata import events
from entrepot.metadata.contents import blobs, repository_blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.integrity import findings
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.registry.ports import BlobStore, StoredBlob

_log = logging.getLogger(__name__)

#: The state that goes with each kind of finding.
_STATES = {findings.BLOB_DAMAGED: blobs.DAMAGED, findings.BLOB_MISSING: blobs.MISSING}
#: Repositories that an event names.
_NAMED = 10


def _nobody(_kind: str, _by: str) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Whoever finds a blob damaged hands it in here."""

    metadata: Database
    store: BlobStore
    #: While it says so, nothing is written; what is damaged is refused all the same, each time it is found.
    read_only: Callable[[], bool]
    #: Told of every finding: its kind, and by whom.
    on_found: Callable[[str, str], None] = _nobody

    async def damaged(self, digest: Digest, file: StoredBlob, detail: str, *, by: str) -> bool:
        """Take a blob out of sight whose `file` was read and has another digest.

        Returns:
            False when it is another file by now, which nobody has read yet.
        """
        return await self._close(findings.BLOB_DAMAGED, digest, file, detail, by)

    async def missing(self, digest: Digest, detail: str, *, by: str) -> bool:
        """Take a blob out of sight whose bytes are not there.

        Returns:
            False when they are there by now, or when the blob is no more.
        """
        return await self._close(findings.BLOB_MISSING, digest, None, detail, by)

    async def manifest(self, digest: Digest, detail: str, *, by: str) -> None:
        """Note that the stored bytes of a manifest have another digest; whoever read them does not give them out."""
        self._tell(findings.MANIFEST_DAMAGED, digest, detail, by)
        if self.read_only():
            return
        try:
            await self.metadata.write(partial(_note_manifest, str(digest), detail, by), name="quarantine manifest")
        except DatabaseError as error:
            _log.warning("the finding about manifest %s is not written: %s", digest, error)

    def _tell(self, kind: str, digest: Digest, detail: str, by: str) -> None:
        _log.error("%s", kind, extra={"digest": str(digest), "detail": detail, "found_by": by})
        self.on_found(kind, by)

    async def _close(self, kind: str, digest: Digest, file: StoredBlob | None, detail: str, by: str) -> bool:
        # Read first, for its generation: whoever brings the bytes back after this raises it.
        row = await blobs.stored_as(self.metadata, str(digest))
        if row is None or not _is_same(await self._find(row.storage_key), file):
            return False
        self._tell(kind, digest, detail, by)
        if self.read_only():
            return True
        try:
            return await self.metadata.write(partial(_write, kind, row, detail, by), name="quarantine blob")
        except DatabaseError as error:
            _log.warning("the quarantine of %s is not written: %s", digest, error)
            return True

    async def _find(self, key: str) -> StoredBlob | None:
        try:
            return await self.store.stat(key)
        except BlobUnknown:
            return None


def _is_same(file: StoredBlob | None, other: StoredBlob | None) -> bool:
    if file is None or other is None:
        return file is other
    return _identity(file) == _identity(other)


def _identity(file: StoredBlob) -> tuple[object, ...]:
    return file.size, file.inode, file.mtime_ns, file.etag


async def _write(kind: str, row: StoredRow, detail: str, by: str, tx: Transaction) -> bool:
    if row.state != _STATES[kind] and not await blobs.set_state(tx, row, _STATES[kind]):
        return False
    if await findings.open_(tx, kind, row.digest, detail=detail, by=by):
        await _add_event(tx, events.QUARANTINE, row.id, row.digest, by, detail)
    return True


async def _note_manifest(digest: str, detail: str, by: str, tx: Transaction) -> None:
    if await findings.open_(tx, findings.MANIFEST_DAMAGED, digest, detail=detail, by=by):
        await _add_event(tx, events.QUARANTINE, None, digest, by, detail)


async def heal(tx: Transaction, blob_id: int | None, digest: str, *, by: str) -> None:
    """Note, in the transaction that makes them so, that bytes are whole again; a manifest has no `blob_id`."""
    if await findings.end(tx, digest, by=by):
        await _add_event(tx, events.HEAL, blob_id, digest, by, "")


async def _add_event(tx: Transaction, kind: str, blob_id: int | None, digest: str, by: str, detail: str) -> None:
    names = [] if blob_id is None else await repository_blobs.of_repositories(tx, blob_id, _NAMED)
    await events.add(
        tx,
        kind,
        by=events.Source(name="integrity", credential=by),
        repository=names[0] if names else None,
        digest=digest,
        detail={"detail": detail, "repositories": names},
    )
