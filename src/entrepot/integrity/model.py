"""What a check-up finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

#: Problems that a report lists.
MOST = 10_000


class Outcome(StrEnum):
    """What became of a problem."""

    FOUND = "found"  #: it is as it was
    REPAIRED = "repaired"
    OUT_OF_SIGHT = "out of sight"  #: nobody gets the bytes any more; the next push heals what needs them


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    check: str  #: the part of the check-up that found it: `database`, `manifests`, `blobs`, `files`, `rows`, `layout`
    what: str  #: the kind of problem: `blob damaged`, `count wrong`, ...
    subject: str  #: a digest, or a name
    detail: str = ""
    outcome: Outcome = Outcome.FOUND


@dataclass(slots=True)
class Report:
    """What a check-up saw; of very many problems only the first are listed, all are counted."""

    manifests: int = 0
    blobs: int = 0  #: rows that were looked at
    blobs_read: int = 0
    bytes_read: int = 0
    files: int = 0
    queued: int = 0  #: files of which nothing speaks any more, and that a collection takes by itself
    stray: int = 0  #: objects of pushes of which neither a blob nor an open upload speaks; the purging takes them
    strays: list[str] = field(default_factory=list)  #: the first of these
    found: dict[str, int] = field(default_factory=dict)  #: by kind of problem
    open: int = 0  #: problems that are not repaired
    problems: list[Problem] = field(default_factory=list)
    seconds: float = 0.0

    def set_aside(self, keys: Sequence[str]) -> None:
        """Take in strays."""
        self.stray += len(keys)
        self.strays += keys[: max(0, MOST - len(self.strays))]

    def add(self, problem: Problem) -> None:
        """Take in a problem."""
        self.found[problem.what] = self.found.get(problem.what, 0) + 1
        if problem.outcome is not Outcome.REPAIRED:
            self.open += 1
        if len(self.problems) < MOST:
            self.problems.append(problem)
