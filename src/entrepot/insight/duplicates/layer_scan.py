"""Looks into the largest layers, those only that were not looked into before, at a gentle rate."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from entrepot.insight.duplicates.chunks import Chunks
from entrepot.insight.duplicates.expansion import Expansion
from entrepot.insight.duplicates.sketch import Sketching
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.usage import layer_sketches
from entrepot.metadata.usage.layer_sketches import Layer, Sketch
from entrepot.oci.errors import RegistryError
from entrepot.registry.ports import BlobStore
from entrepot.telemetry.progress import Progress

#: Of how chunks are cut and sketched: sketches of another version are made anew.
VERSION: Final = 1
#: Layers that are looked into, the largest; smaller ones than this are not worth it.
MOST_LAYERS: Final = 20_000
LEAST_BYTES: Final = 64 * 1024
_SIZES: Final = 5_000
_LAYERS: Final = 200
#: Seconds of work that is done again when the process dies, but for the layer at hand.
_NOTE_SECONDS: Final = 5.0


async def least_bytes(metadata: Database, most: int = MOST_LAYERS) -> int:
    """Return how many bytes a layer has at least to be among the largest."""
    reader, last = patient(metadata), 0
    largest: list[int] = []
    while found := await layer_sketches.sizes_after(reader, last, limit=_SIZES):
        largest = heapq.nlargest(most, [*largest, *(size for _, size in found if size >= LEAST_BYTES)])
        last = found[-1][0]
    return largest[-1] if len(largest) == most else LEAST_BYTES


@dataclass(slots=True, kw_only=True)
class Looking:
    """One run."""

    metadata: Database
    store: BlobStore
    progress: Progress
    took: Callable[[int], Awaitable[None]]  #: told of the bytes of every piece; waits where that is too fast
    looked_at: int = 0
    _done: list[Sketch] = field(default_factory=list)
    _noted: float = field(default_factory=time.monotonic)

    async def run(self, least: int) -> int:
        """Look into every layer of at least so many bytes; return how many were looked into now.

        Raises:
            Stopped: Somebody asked for an end.
        """
        reader, last = patient(self.metadata), 0
        while found := await layer_sketches.waiting(reader, last=last, least=least, version=VERSION, limit=_LAYERS):
            for layer in found:
                await self._layer(layer)
                if time.monotonic() - self._noted > _NOTE_SECONDS:
                    await self._note()
            last = found[-1].id
        await self._note()
        return self.looked_at

    async def _layer(self, layer: Layer) -> None:
        inside = _Inside()
        try:
            async with aclosing(self.store.stream(layer.key)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(inside.feed, piece)
                    await self.took(len(piece))
                    await self.progress.step(self.looked_at)
                    if inside.expansion.is_over:
                        break
        except RegistryError as error:
            await self.progress.say(f"{layer.digest} cannot be read: {error.message}")
            return
        self.looked_at += 1
        self._done.append(await asyncio.to_thread(inside.finish, layer.id))

    async def _note(self) -> None:
        done, self._done = self._done, []
        if done:
            await self.metadata.write(partial(_put, done), name="note sketches")
        self._noted = time.monotonic()


async def _put(done: Sequence[Sketch], tx: Transaction) -> None:
    await layer_sketches.put(tx, VERSION, done)


@dataclass(slots=True)
class _Inside:
    """What is seen of one layer."""

    expansion: Expansion = field(default_factory=Expansion)
    _chunks: Chunks = field(default_factory=Chunks)
    _sketching: Sketching = field(default_factory=Sketching)
    _count: int = 0

    def feed(self, piece: bytes) -> None:
        for plain in self.expansion.expand(piece):
            for chunk in self._chunks.cut(plain):
                self._add(chunk)

    def finish(self, blob_id: int) -> Sketch:
        for chunk in self._chunks.last():
            self._add(chunk)
        return Sketch(
            blob_id=blob_id,
            outcome=self.expansion.outcome.value,
            expanded_bytes=self.expansion.expanded,
            chunks=self._count,
            sketch=self._sketching.finish(),
        )

    def _add(self, chunk: bytes) -> None:
        self._count += 1
        self._sketching.add(chunk)
