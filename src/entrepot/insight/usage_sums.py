"""What an analysis adds up of projects and repositories between two times that it writes it down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from entrepot.insight.analysed_repositories import Place
from entrepot.insight.write_batches import Piece, in_pieces
from entrepot.metadata.usage import analyses
from entrepot.metadata.usage.analyses import PROJECT, REPOSITORY, SUMS

_Key = tuple[str, int, int]  #: kind, number, and the number of the project


def _nothing() -> dict[str, int]:
    return dict.fromkeys(SUMS, 0)


@dataclass(slots=True)
class Sums:
    """Sums of bytes and manifests, by project and repository, and over all."""

    parts: defaultdict[_Key, dict[str, int]] = field(default_factory=lambda: defaultdict(_nothing))
    totals: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, size: int, uses: Sequence[tuple[Place, int]]) -> None:
        """Count something that is stored once: in which repositories, and how often in each."""
        if len(uses) == 1 and not uses[0][0].in_trash:
            self._add_alone(size, *uses[0])
        else:
            self._add_shared(size, uses)

    def _add_alone(self, size: int, place: Place, count: int) -> None:
        """Count what one repository has, as most of what is stored: it takes a third of the time."""
        for kind, subject in ((REPOSITORY, place.id), (PROJECT, place.project_id)):
            part = self._use(kind, subject, place.project_id, size, count, alone=True)
            part["own_bytes"] += size
        self.totals["stored_bytes"] += size
        self.totals["logical_bytes"] += size * count

    def _add_shared(self, size: int, uses: Sequence[tuple[Place, int]]) -> None:
        live = [(place, count) for place, count in uses if not place.in_trash]
        projects = Counter(place.project_id for place, _ in live)
        for place, count in live:
            part = self._use(REPOSITORY, place.id, place.project_id, size, count, alone=len(live) == 1)
            part["own_bytes"] += size if projects[place.project_id] == 1 else 0
        for project, count in _counts(live).items():
            part = self._use(PROJECT, project, project, size, count, alone=len(projects) == 1)
            part["own_bytes"] += size
        for project in {place.project_id for place, _ in uses} - projects.keys() - {0}:
            self.parts[PROJECT, project, project]["trash_bytes"] += size
        kind = "stored_bytes" if live else "trash_bytes" if uses else "waiting_bytes"
        self.totals[kind] += size
        self.totals["logical_bytes"] += sum(size * count for _, count in live)

    def _use(self, kind: str, subject: int, project: int, size: int, count: int, *, alone: bool) -> dict[str, int]:
        part = self.parts[kind, subject, project]
        part["logical_bytes"] += size * count
        part["stored_bytes"] += size
        part["unique_bytes"] += size if alone else 0
        return part

    def count_manifest(self, place: Place) -> None:
        """Count a manifest that is in no trash."""
        for kind, subject in ((REPOSITORY, place.id), (PROJECT, place.project_id)):
            self.parts[kind, subject, place.project_id]["manifests"] += 1
        self.totals["manifests"] += 1

    def pieces(self, analysis: int, limit: int) -> Iterator[Piece]:
        """Yield what adds it to what was written down, up to so many rows each."""
        rows = [
            {"kind": kind, "subject": subject, "project": project, **sums}
            for (kind, subject, project), sums in self.parts.items()
        ]
        return in_pieces(rows, limit, partial(analyses.add_parts, analysis=analysis))


def _counts(uses: Iterable[tuple[Place, int]]) -> Counter[int]:
    """Return how often something is used in each project."""
    counts: Counter[int] = Counter()
    for place, count in uses:
        counts[place.project_id] += count
    return counts


def projects_of(uses: Collection[tuple[Place, int]]) -> set[int]:
    """Return the projects in which something is used, not counting their trash."""
    return {place.project_id for place, _ in uses if not place.in_trash}
