"""Is a history of reads and writes of one register linearizable?

Every write writes another value, so the test of Gibbons and Korach ("Testing Shared Memories", 1997) decides it without
a search. All operations on one value form a cluster: the value must have been there from the first end of one of them
to the last beginning of one of them.

- If that is a stretch of time (`held`), no other value can have been there within it: two such stretches must not
  overlap.
- Otherwise the value needs one moment between the last beginning and the first end (`moment`): it must not lie entirely
  within a stretch that belongs to another value.
- No read may end before the write of its value begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A write of a value, or a read that saw it, from before its request to after its answer."""

    value: str
    start: float
    end: float
    is_write: bool = False


@dataclass(frozen=True, slots=True)
class _Zone:
    value: str
    low: float
    high: float


def violations(history: Iterable[Operation]) -> list[str]:
    """Say what makes a history impossible for one register; nothing when it is linearizable."""
    clusters: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        clusters[operation.value].append(operation)
    found = [text for value, cluster in clusters.items() for text in _within(value, cluster)]
    held, moments = _zones(clusters)
    found += [f"{a.value} and {b.value} were both there from {b.low}" for a, b in _overlaps(held)]
    found += [
        f"{b.value} was there while {a.value} was" for b in moments for a in held if a.low < b.low and b.high < a.high
    ]
    return found


def _within(value: str, cluster: Sequence[Operation]) -> list[str]:
    writes = [operation for operation in cluster if operation.is_write]
    if len(writes) != 1:
        return [f"{value} was written {len(writes)} times"]
    return [f"{value} was read before it was written" for read in cluster if read.end < writes[0].start]


def _zones(clusters: dict[str, list[Operation]]) -> tuple[list[_Zone], list[_Zone]]:
    held, moments = [], []
    for value, cluster in clusters.items():
        first_end = min(operation.end for operation in cluster)
        last_start = max(operation.start for operation in cluster)
        if first_end < last_start:
            held.append(_Zone(value, first_end, last_start))
        else:
            moments.append(_Zone(value, last_start, first_end))
    return sorted(held, key=lambda zone: zone.low), moments


def _overlaps(held: list[_Zone]) -> list[tuple[_Zone, _Zone]]:
    return [(a, b) for a, b in pairwise(held) if b.low < a.high]
