"""Where the space went, among 20,000 and among 100,000 images: the analysis, and what deleting one tag would free."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import peers, seed
from benchmarks.rounds import ROUNDS, Outcome, Sample
from entrepot.insight.analysis import Analyser
from entrepot.insight.deletion_choice import Chosen, Part
from entrepot.insight.freed_bytes import Freeing
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.metadata.contents import repositories
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.telemetry.progress import Unwatched

_SIZES = (200, 1_000)
_TAGS = 100
_QUESTIONS = 50

Work = Callable[[], Awaitable[object]]


def usage(folder: Path) -> list[Outcome]:
    """Ask both among few and among many images."""
    return [outcome for number in _SIZES for outcome in _among(folder / str(number), number)]


def _among(data: Path, number: int) -> list[Outcome]:
    images = number * _TAGS
    seed.write_registry2_tree(data, repositories=number, tags=_TAGS)
    program = str(Path(sys.executable).with_name("entrepot"))
    subprocess.run([program, "adopt", "--json", str(data)], check=True, capture_output=True)
    analysis = Outcome(scenario=f"analysis of {images:,} images", unit="s", more_is_better=False, target="")
    freeing = Outcome(
        scenario=f"what deleting a tag among {images:,} images would free", unit="ms", more_is_better=False, target=""
    )
    analysis.samples[peers.OURS], freeing.samples[peers.OURS] = asyncio.run(_measure(data))
    return [analysis, freeing]


async def _measure(data: Path) -> tuple[list[Sample], list[Sample]]:
    stores = await open_embedded(data / "entrepot")
    try:
        analyser = Analyser(metadata=stores.metadata)
        analyses = [await _timed(lambda: analyser.run(Unwatched())) for _ in range(ROUNDS)]
        return analyses, [await _questions(stores) for _ in range(ROUNDS)]
    finally:
        await stores.close()


async def _questions(stores: Stores) -> Sample:
    """Ask about tag after tag; gives the mean."""
    repository = await repositories.find_exact(stores.metadata, "team0/app0")
    if repository is None:
        raise LookupError("nothing was adopted")
    freeing = Freeing(stores.metadata, ImmutableTags())

    async def ask() -> None:
        for number in range(_QUESTIONS):
            chosen = Chosen(parts=[Part(repository=repository, tags=[f"v{number}"])])
            freed = await freeing.would_free(chosen, disk=True)
            if freed.manifests != 1:
                raise RuntimeError(f"would delete {freed}")

    whole = await _timed(ask)
    return Sample(value=whole.value / _QUESTIONS * 1000, cpu=whole.cpu / _QUESTIONS * 10_000)


async def _timed(work: Work) -> Sample:
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    return Sample(value=time.perf_counter() - began, cpu=time.process_time() - cpu)
