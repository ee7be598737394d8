"""Whether an object is still the one that was verified: looked at every few hours, beside pulls and never within one.

An object store says of an object how large it is and which one it is (its ETag), for one request. Clients fetch the
bytes from there by themselves, so nobody else would notice that somebody replaced or removed it. Each process looks at
what was pulled through it, once in a while. Another object is verified before anybody gets it; a lost one is taken out
of sight, so that clients push it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.integrity import verification
from entrepot.oci.errors import BlobUnknown, RegistryError
from entrepot.registry.model import BlobRecord
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine

_log = logging.getLogger(__name__)

#: Who found it, in findings and events.
LOOK: Final = "look"
#: Blobs that wait to be looked at, at most, and looks of one process at once.
_MOST_WAITING: Final = 1000
_AT_ONCE: Final = 4
_REMEMBERED: Final = 50_000


class ObjectLooks:
    """The looks of one process."""

    def __init__(
        self,
        *,
        metadata: Database,
        store: BlobStore,
        quarantine: Quarantine,
        every: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at an object again after `every` seconds; 0 for never."""
        self._metadata = metadata
        self._store = store
        self._quarantine = quarantine
        self._every = every
        self._now = now
        self._looked: OrderedDict[int, float] = OrderedDict()
        self._waiting: asyncio.Queue[BlobRecord] = asyncio.Queue(_MOST_WAITING)

    def pulled(self, blob: BlobRecord) -> None:
        """Have a blob looked at that somebody gets, unless that was done, or it was verified, not long ago."""
        if not self._every or self._is_fresh(blob):
            return
        try:
            self._waiting.put_nowait(blob)
        except asyncio.QueueFull:
            return  # at its next pull
        self._looked[blob.id] = self._now()
        self._looked.move_to_end(blob.id)
        if len(self._looked) > _REMEMBERED:
            self._looked.popitem(last=False)

    def _is_fresh(self, blob: BlobRecord) -> bool:
        if (looked := self._looked.get(blob.id)) is not None and self._now() - looked < self._every:
            return True
        return blob.verified_at is not None and blob.verified_at > clock.after(-self._every)

    async def run(self) -> None:
        """Look at what is pulled, until cancelled."""
        await asyncio.gather(*(self._run() for _ in range(_AT_ONCE)))

    async def _run(self) -> None:
        while True:
            blob = await self._waiting.get()
            try:
                await self.look(blob)
            except (RegistryError, DatabaseError) as error:  # the store or the database is away; it is tried again
                _log.warning("blob %s could not be looked at: %s", blob.digest, error)
                self._looked.pop(blob.id, None)

    async def look(self, blob: BlobRecord) -> None:
        """Compare an object with what its row says.

        Raises:
            Unavailable: The store does not answer.
            DatabaseError: Nor does the database.
        """
        try:
            found = await self._store.stat(blob.key)
        except BlobUnknown:
            await self._quarantine.missing(blob.digest, "the object is not there", by=LOOK)
            return
        if found.size != blob.size:
            detail = f"the object has {found.size} bytes in place of {blob.size}"
            await self._quarantine.damaged(blob.digest, found, detail, by=LOOK)
        elif found.etag != blob.etag and blob.verified_at is not None and not self._quarantine.read_only():
            _log.warning("blob %s is another object than the one that was verified", blob.digest)
            doubt = partial(verification.doubt, blob_id=blob.id, seen=blob.verified_at, etag=found.etag)
            await self._metadata.write(doubt, name="doubt blob")
