"""The largest of many things, of each project and of all, without remembering the others."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from entrepot.insight.write_batches import Piece, in_pieces
from entrepot.metadata.usage import analyses
from entrepot.metadata.usage.analyses import EVERYWHERE

#: How many are kept of all, and of each project.
OF_ALL: Final = 100
OF_PROJECT: Final = 10

_Key = tuple[str, int]  #: kind and scope
_Entry = tuple[int, int]  #: bytes and row id


@dataclass(slots=True)
class Tops:
    """Keeps them, and what has changed since they were written down."""

    _largest: defaultdict[_Key, list[_Entry]] = field(default_factory=lambda: defaultdict(list))
    _added: dict[tuple[str, int, int], int] = field(default_factory=dict)
    _dropped: set[tuple[str, int, int]] = field(default_factory=set)

    @classmethod
    def of(cls, known: Iterable[tuple[str, int, int, int]]) -> Tops:
        """Go on with what was written down: kind, scope, row id and bytes."""
        tops = cls()
        for kind, scope, row_id, size in known:
            heapq.heappush(tops._largest[kind, scope], (size, row_id))
        return tops

    def offer(self, kind: str, row_id: int, size: int, projects: Collection[int]) -> None:
        """Keep something if it is among the largest."""
        self._offer(kind, EVERYWHERE, row_id, size, OF_ALL)
        for project in projects:
            self._offer(kind, project, row_id, size, OF_PROJECT)

    def _offer(self, kind: str, scope: int, row_id: int, size: int, most: int) -> None:
        heap, entry = self._largest[kind, scope], (size, row_id)
        if (len(heap) == most and entry < heap[0]) or entry in heap:
            return
        if len(heap) < most:
            heapq.heappush(heap, entry)
        else:
            _, gone = heapq.heapreplace(heap, entry)
            if self._added.pop((kind, scope, gone), None) is None:
                self._dropped.add((kind, scope, gone))
        self._added[kind, scope, row_id] = size

    def pieces(self, analysis: int, limit: int) -> Iterator[Piece]:
        """Yield what writes down what has changed, up to so many rows each."""
        drop = [{"kind": kind, "scope": scope, "subject": subject} for kind, scope, subject in self._dropped]
        add = [
            {"kind": kind, "scope": scope, "subject": subject, "bytes": size}
            for (kind, scope, subject), size in self._added.items()
        ]
        yield from in_pieces(drop, limit, partial(analyses.drop_tops, analysis=analysis))
        yield from in_pieces(add, limit, partial(analyses.add_tops, analysis=analysis))

    def written(self) -> None:
        """Forget what was written down."""
        self._added.clear()
        self._dropped.clear()
