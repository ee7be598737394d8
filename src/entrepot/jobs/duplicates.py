"""Looks into layers and estimates how much alike they are (`insight.duplicates`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from entrepot.insight.duplicates.layer_scan import Looking, least_bytes
from entrepot.insight.duplicates.similarity import Likeness
from entrepot.integrity.blob_read import Pace
from entrepot.jobs.run import JobRun
from entrepot.metadata.database import Database
from entrepot.registry.ports import BlobStore
from entrepot.system.jobs.traits import JobTraits

_RATE: Final = 20 * 1024 * 1024


def _check(parameters: Mapping[str, Any]) -> None:
    if parameters["rate"] < 0:
        raise ValueError("rate is the bytes read in a second at most, or 0 for as fast as it goes")


DUPLICATES: Final = JobTraits(
    name="duplicates",
    title="Look into layers and estimate how much alike they are",
    parameters={"rate": _RATE},
    check=_check,
)


@dataclass(frozen=True, slots=True)
class FindingDuplicates:
    """The job."""

    metadata: Database
    store: BlobStore

    async def run(self, run: JobRun) -> dict[str, int]:
        """Look into what is new, then compare all."""
        least = await least_bytes(self.metadata)
        pace = Pace(run.parameters["rate"])
        looking = Looking(metadata=self.metadata, store=self.store, progress=run, took=pace.took)
        looked_at = await looking.run(least)
        await run.say(f"looked into {looked_at:,} layers; comparing")
        found = await Likeness(self.metadata, run).run(least)
        return {"looked_at": looked_at, "layers": found.layers, "duplicate_bytes": found.duplicate_bytes}
