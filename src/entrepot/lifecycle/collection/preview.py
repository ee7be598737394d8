"""What a collection would take away now. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from entrepot.lifecycle.collection import blobs as blob_rules
from entrepot.lifecycle.collection import manifests as manifest_rules
from entrepot.lifecycle.collection.blobs import find_file, ripe_at, unclaimed
from entrepot.lifecycle.collection.model import Collecting, Tally
from entrepot.lifecycle.collection.sweep import keeps_bytes
from entrepot.metadata import clock
from entrepot.metadata.lifecycle import collection, review
from entrepot.metadata.lifecycle.review import ReviewEntry
from entrepot.telemetry.progress import Progress

_PIECE: Final = 500


@dataclass(slots=True)
class Preview:
    """Looks at what is due, each thing once."""

    work: Collecting
    progress: Progress
    tally: Tally = field(default_factory=Tally)
    _seen: set[tuple[str, int | str]] = field(default_factory=set)

    async def run(self) -> Tally:
        """Look at all of it, and say of each thing that it would go.

        Raises:
            Stopped: Somebody asked for an end.
        """
        last, until = review.BEGINNING, clock.now()
        while entries := await review.due(self.work.metadata, until=until, limit=_PIECE, after=last):
            await self.progress.step(self.tally.reviewed)
            await self._manifests(self._new(entries, review.MANIFEST))
            await self._blobs(self._new(entries, review.BLOB))
            await self._files(self._new(entries, review.FILE))
            self.tally.reviewed += len(entries)
            last = entries[-1]
        return self.tally

    def _new(self, entries: Sequence[ReviewEntry], kind: str) -> list[ReviewEntry]:
        found = {}
        for entry in entries:
            key = kind, entry.digest or entry.subject_id
            if entry.kind == kind and key not in self._seen:
                self._seen.add(key)
                found[key] = entry
        return list(found.values())

    async def _manifests(self, entries: Sequence[ReviewEntry]) -> None:
        found = await collection.manifests_of(self.work.metadata, [entry.subject_id for entry in entries])
        for manifest in manifest_rules.judge(found, clock.now()).leave:
            self.tally.manifests += 1
            await self.progress.say(f"manifest eligible for deletion: {manifest.repository.name}@{manifest.row.digest}")

    async def _blobs(self, entries: Sequence[ReviewEntry]) -> None:
        found = await collection.blobs_of(self.work.metadata, [entry.subject_id for entry in entries])
        verdicts = blob_rules.judge(found, clock.now())
        claims = blob_rules.claims_of([*verdicts.go, *verdicts.resume], {entry.subject_id: 0 for entry in entries})
        kept = await keeps_bytes(self.work, claims)
        for claim in claims:
            self.tally.blobs += 1
            self.tally.freed_bytes += 0 if claim.id in kept else claim.size
            await self.progress.say(f"blob eligible for deletion: {claim.digest}")

    async def _files(self, entries: Sequence[ReviewEntry]) -> None:
        unknown = await unclaimed(self.work.metadata, [str(entry.digest) for entry in entries])
        for digest in sorted(unknown):
            file = await find_file(self.work.store, digest)
            if file is not None and ripe_at(file, self.work.grace_seconds) <= clock.now():
                self.tally.files += 1
                self.tally.freed_bytes += file.size
                await self.progress.say(f"file eligible for deletion: {digest}")
