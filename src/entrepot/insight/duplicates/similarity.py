"""Finds layers that are nearly the same, by their sketches, and says about how many bytes that is.

Each layer is compared with those before it that have one of its smallest hashes: nearly the same ones do, and of others
few. The one most like it counts, so that of three copies two are duplicates. Whole layers that are the same are one
blob already and are not counted here.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from entrepot.insight.duplicates.expansion import Outcome
from entrepot.insight.duplicates.layer_scan import VERSION
from entrepot.insight.duplicates.sketch import hashes_of, in_both
from entrepot.metadata import clock, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.usage import layer_sketches
from entrepot.metadata.usage.layer_sketches import SketchedLayer
from entrepot.telemetry.progress import Progress

#: The setting that holds the last estimate.
ESTIMATE: Final = "insight.duplicates"
#: From which share on layers are alike, and how many pairs are named.
ALIKE: Final = 0.2
_NAMED: Final = 20
#: Hashes by which others are found, and others found by each.
_KEYS: Final = 16
_OTHERS: Final = 8
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A layer, the one before it that is most like it, and what of it is in that."""

    digest: str
    like: str
    bytes: int  #: of the layer as it is stored
    share: float  #: from 0 to 1
    duplicate_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What was found, and when."""

    finished_at: int
    layers: int  #: that could be looked into
    layer_bytes: int  #: of these, as they are stored
    duplicate_bytes: int
    not_looked_into: Mapping[str, int]  #: layers by the reason
    least_bytes: int  #: smaller layers were left out
    pairs: Sequence[Pair]  #: those with the most duplicate bytes


@dataclass(slots=True)
class Likeness:
    """Compares all sketches there are."""

    metadata: Database
    progress: Progress
    _known: list[tuple[str, array[int]]] = field(default_factory=list)
    _by_hash: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _pairs: list[Pair] = field(default_factory=list)
    _reasons: Counter[str] = field(default_factory=Counter)
    _duplicate_bytes: int = 0
    _layer_bytes: int = 0

    async def run(self, least: int) -> Estimate:
        """Compare those of layers of at least so many bytes, and keep what was found.

        Raises:
            Stopped: Somebody asked for an end.
        """
        reader, last = patient(self.metadata), 0
        while found := await layer_sketches.page(reader, last=last, least=least, version=VERSION, limit=_PAGE):
            for layer in found:
                self._layer(layer)
                await self.progress.step(len(self._known))
            last = found[-1].id
        estimate = self._estimate(least)
        text = json.dumps(asdict(estimate))

        async def keep(tx: Transaction) -> None:
            await settings.put(tx, ESTIMATE, text)

        await self.metadata.write(keep, name="note duplicates")
        return estimate

    def _layer(self, layer: SketchedLayer) -> None:
        if layer.outcome not in (Outcome.WHOLE, Outcome.CUT):
            self._reasons[layer.outcome] += 1
            return
        self._reasons[layer.outcome] += layer.outcome == Outcome.CUT
        hashes = hashes_of(layer.sketch)
        self._layer_bytes += layer.size
        self._compare(layer, hashes)
        number = len(self._known)
        self._known.append((layer.digest, array("Q", hashes)))
        for key in hashes[:_KEYS]:
            if len(self._by_hash[key]) < _OTHERS:
                self._by_hash[key].append(number)

    def _compare(self, layer: SketchedLayer, hashes: list[int]) -> None:
        others = {number for key in hashes[:_KEYS] for number in self._by_hash.get(key, ())}
        shares = [(in_both(hashes, self._known[number][1]), number) for number in others]
        share, number = max(shares, default=(0.0, 0))
        if share < ALIKE:
            return
        bytes_ = round(share * layer.size)
        self._duplicate_bytes += bytes_
        like = self._known[number][0]
        pair = Pair(digest=layer.digest, like=like, bytes=layer.size, share=round(share, 2), duplicate_bytes=bytes_)
        self._pairs.append(pair)
        if len(self._pairs) > 2 * _NAMED:
            self._pairs = self._largest()

    def _largest(self) -> list[Pair]:
        return sorted(self._pairs, key=lambda pair: -pair.duplicate_bytes)[:_NAMED]

    def _estimate(self, least: int) -> Estimate:
        return Estimate(
            finished_at=clock.now(),
            layers=len(self._known),
            layer_bytes=self._layer_bytes,
            duplicate_bytes=self._duplicate_bytes,
            not_looked_into={reason: count for reason, count in self._reasons.items() if count},
            least_bytes=least,
            pairs=self._largest(),
        )


async def last_estimate(metadata: Database) -> Estimate | None:
    """Return what was found last."""
    text = await settings.find(metadata, ESTIMATE)
    if text is None:
        return None
    known: dict[str, Any] = json.loads(text)
    return Estimate(**{**known, "pairs": [Pair(**pair) for pair in known["pairs"]]})
