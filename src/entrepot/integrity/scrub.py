"""The scrub: reads what was not verified for long, at a gentle rate, again and again.

A pass goes through all manifests by digest and all blobs by row, and where it stands is written down every few seconds:
a run that is stopped, or whose process dies, goes on there. Bytes that turn out damaged or missing go out of sight;
those that were, and are whole again, come back.

Missing files count only once something was found whole in the same run: a disk that is not mounted loses nothing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from entrepot.integrity.blob_read import Pace, Read, Verdict, read_blob
from entrepot.integrity.blob_verdicts import BlobVerdicts
from entrepot.metadata import clock, settings
from entrepot.metadata.contents import blobs, manifests
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.integrity import findings, verification
from entrepot.oci.digest import Digest
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine, heal
from entrepot.registry.suspect_blobs import DAY
from entrepot.telemetry.progress import Progress

_log = logging.getLogger(__name__)

#: Who finds and heals, in findings and events.
SCRUB = "scrub"
#: The setting that says how far the pass at hand is.
CURSOR = "integrity.scrub"
_ROWS = 500
#: Seconds of work that a killed scrub does again at most, but for the blob at hand.
_NOTE_SECONDS = 5.0


class StorageGone(Exception):
    """Not one blob could be read, and some are missing: the storage seems to be elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """How far a pass is, and what it saw."""

    started_at: int
    manifest: str = ""  #: digest of the last manifest that was looked at
    blob: int = 0  #: row id of the last blob that was looked at
    manifests_read: int = 0
    blobs_read: int = 0
    bytes_read: int = 0
    skipped: int = 0  #: verified lately enough
    found: int = 0  #: damaged or missing
    healed: int = 0
    unreadable: int = 0
    finished_at: int | None = None


@dataclass(slots=True)
class _Batch:
    """What was read since the pass was last written down."""

    whole: list[tuple[StoredRow, Read]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """Scrubs one registry."""

    metadata: Database
    store: BlobStore
    quarantine: Quarantine
    rate: float = 0.0  #: bytes a second; 0 for as fast as it goes
    age: float = 30 * DAY  #: seconds for which a verification is good enough
    on_read: Callable[[int], None] = lambda _size: None  #: told of the bytes of every piece

    async def run(self, progress: Progress) -> Pass:
        """Go on with the pass at hand, or begin one, and finish it; progress counts bytes.

        Raises:
            StorageGone: Not one blob is there.
            Stopped: Somebody asked it to end.
        """
        work = _Run(self, progress, await self._resume())
        await work.manifests()
        await work.blobs()
        return await work.finish()

    async def _resume(self) -> Pass:
        known = await find_pass(self.metadata)
        return known if known is not None and known.finished_at is None else Pass(started_at=clock.now())


async def find_pass(metadata: Database) -> Pass | None:
    """Return the pass at hand, or the last one if it is finished."""
    text = await settings.find(metadata, CURSOR)
    return None if text is None else Pass(**json.loads(text))


class _Run:
    """One run of a scrub."""

    def __init__(self, scrub: Scrub, progress: Progress, found: Pass) -> None:
        self._scrub = scrub
        self._progress = progress
        self._pass = found
        self._total = 0
        self._pace = Pace(scrub.rate)
        self._verdicts = BlobVerdicts(scrub.metadata, scrub.quarantine, SCRUB)
        self._batch = _Batch()
        self._missing: list[tuple[StoredRow, Read]] = []
        self._storage_is_there = False
        self._reading = 0

    async def manifests(self) -> None:
        """Read the bytes of all manifests that are still to be looked at in this pass."""
        metadata = self._scrub.metadata
        while digests := await verification.manifest_digests(metadata, after=self._pass.manifest, limit=_ROWS):
            known = await findings.among(metadata, digests)
            for digest in digests:
                await self._manifest(digest, is_known=digest in known)
                self._pass = replace(self._pass, manifest=digest)
            await self._note()
            await self._progress.step(self._pass.bytes_read, None)

    async def blobs(self) -> None:
        """Read all blobs that are still to be looked at in this pass."""
        _, self._total = await verification.totals(self._scrub.metadata)
        before = clock.after(-self._scrub.age)
        while rows := await blobs.stored(self._scrub.metadata, after=self._pass.blob, limit=_ROWS):
            for row in rows:
                if row.verified_at is not None and row.verified_at > before and row.state not in blobs.LOST:
                    self._add(skipped=1, bytes_read=row.size)
                else:
                    await self._blob(row)
                self._pass = replace(self._pass, blob=row.id)
                if time.monotonic() - self._batch.since > _NOTE_SECONDS:
                    await self._note()
            await self._note()

    async def finish(self) -> Pass:
        """Write down that the pass is complete."""
        if self._missing:
            raise StorageGone(
                f"{len(self._missing)} blobs are missing and not one could be read; is the disk with the blobs there?"
            )
        self._pass = replace(self._pass, finished_at=clock.now())
        await self._note()
        _log.info("scrubbed", extra=clock.told(asdict(self._pass)))
        return self._pass

    async def _manifest(self, digest: str, *, is_known: bool) -> None:
        content = await manifests.content(self._scrub.metadata, digest)
        if content is None:
            return
        self._add(manifests_read=1)
        self._scrub.on_read(len(content))
        await self._pace.took(len(content))
        wanted = Digest.parse(digest)
        if Digest.of(content, wanted.algorithm) != wanted:
            self._add(found=1)
            await self._progress.say(f"manifest {digest} is damaged")
            await self._scrub.quarantine.manifest(wanted, f"the {len(content)} bytes have another digest", by=SCRUB)
        elif is_known:
            await self._scrub.metadata.write(lambda tx: heal(tx, None, digest, by=SCRUB), name="manifest is whole")
            self._add(healed=1)

    async def _blob(self, row: StoredRow) -> None:
        done = self._pass.bytes_read
        self._reading = 0
        read = await read_blob(self._scrub.store, row, self._took)
        self._pass = replace(self._pass, bytes_read=done + row.size, blobs_read=self._pass.blobs_read + 1)
        if read.verdict is Verdict.WHOLE:
            self._batch.whole.append((row, read))
            await self._confirm_missing()
        elif read.verdict is Verdict.UNREADABLE:
            self._add(unreadable=1)
            await self._progress.say(f"blob {row.digest} cannot be read: {read.detail}")
        elif row.state in blobs.LOST:
            pass  # as it was
        elif read.verdict is Verdict.MISSING and not self._storage_is_there:
            self._missing.append((row, read))
        else:
            await self._wrong(row, read)

    async def _confirm_missing(self) -> None:
        """The storage is there, so what was missing is missing."""
        self._storage_is_there = True
        missing, self._missing = self._missing, []
        for row, read in missing:
            await self._wrong(row, read)

    async def _wrong(self, row: StoredRow, read: Read) -> None:
        if await self._verdicts.wrong(row, read):
            self._add(found=1)
            await self._progress.say(f"blob {row.digest} is {read.verdict}: {read.detail}")

    async def _took(self, size: int) -> None:
        self._scrub.on_read(size)
        self._reading += size
        await self._progress.step(self._pass.bytes_read + self._reading, self._total or None)
        await self._pace.took(size)

    def _add(self, **counts: int) -> None:
        self._pass = replace(self._pass, **{name: getattr(self._pass, name) + more for name, more in counts.items()})

    async def _note(self) -> None:
        """Write down what was read and how far the pass is; what is missing for all we know is looked at again."""
        if self._scrub.quarantine.read_only():
            self._batch = _Batch()
            return
        batch, self._batch = self._batch, _Batch()
        self._add(healed=await self._verdicts.whole(batch.whole))
        if not self._missing:
            await self._scrub.metadata.write(partial(_save, self._pass), name="scrub")


async def _save(found: Pass, tx: Transaction) -> None:
    await settings.put(tx, CURSOR, json.dumps(asdict(found)))
