"""What is broken in a folder, as far as adopting it shows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from entrepot.registry.layout import OWN

FILE_NAME = "adoption-report.jsonl"


class ProblemKind(StrEnum):
    """The kinds of damage."""

    INVALID_NAME = "invalid-name"  #: a folder whose name no repository or tag can have
    INVALID_LINK = "invalid-link"  #: a link file that holds no digest
    DANGLING_TAG = "dangling-tag"  #: a tag that names a manifest the repository does not have
    MISSING_MANIFEST = "missing-manifest"  #: a revision whose bytes are gone
    DAMAGED_MANIFEST = "damaged-manifest"  #: bytes that do not have their digest, or cannot be served
    MISSING_BLOB = "missing-blob"  #: a manifest needs a blob whose bytes are gone
    DANGLING_LAYER = "dangling-layer"  #: a blob that nothing needs is gone: registry:2's collection leaves its links
    WRONG_SIZE = "wrong-size"  #: a blob is longer or shorter than its manifest says
    UNREADABLE = "unreadable"  #: the file system refused to read
    UNWRITABLE = "unwritable"  #: the file system refused to write; only where the files are written


_HIDING = frozenset(
    {ProblemKind.INVALID_NAME, ProblemKind.INVALID_LINK, ProblemKind.DAMAGED_MANIFEST, ProblemKind.UNREADABLE}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken thing; `subject` is the digest, tag or path it is about."""

    kind: ProblemKind
    repository: str
    subject: str
    detail: str = ""

    @property
    def matters(self) -> bool:
        """Tell whether anybody could miss something."""
        return self.kind is not ProblemKind.DANGLING_LAYER

    @property
    def hides(self) -> bool:
        """Tell whether something may be there that nobody could read: what it needs is not known."""
        return self.kind in _HIDING


class Report(Protocol):
    """The problems that were found, noted by whichever process finds one."""

    @property
    def place(self) -> str:
        """Say for people where they can be read."""

    def append(self, problems: Iterable[Problem]) -> None:
        """Add problems; blocks for a moment where there are any."""

    def problems(self) -> Iterator[Problem]:
        """Read back every problem, each once."""

    def hidden(self) -> int:
        """Count what nobody could read: what that needs is not known. Blocks."""


def as_lines(problems: Iterable[Problem]) -> str:
    """Write problems, one JSON object a line."""
    return "".join(json.dumps(asdict(problem)) + "\n" for problem in problems)


def from_lines(lines: Iterable[str]) -> Iterator[Problem]:
    """Read back what `as_lines` wrote, each problem once."""
    for line in dict.fromkeys(lines):
        values = json.loads(line)
        yield Problem(**{**values, "kind": ProblemKind(values["kind"])})


class ReportFile:
    """The problems found in a folder, one JSON object a line, appended to by whichever process finds one."""

    def __init__(self, root: Path) -> None:
        self.path = root / OWN / FILE_NAME
        self._hidden: tuple[tuple[int, int], int] = ((0, 0), 0)

    @property
    def place(self) -> str:
        """Say for people where they can be read."""
        return str(self.path)

    def append(self, problems: Iterable[Problem]) -> None:
        """Add problems; each call is one write, so that lines of several processes do not mix."""
        text = as_lines(problems)
        if not text:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def problems(self) -> Iterator[Problem]:
        """Read back every problem, each once."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as lines:
            yield from from_lines(lines)

    def hidden(self) -> int:
        """Count what nobody could read; the file is read again when it has grown."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0
        version = (status.st_size, status.st_mtime_ns)
        if version != self._hidden[0]:
            self._hidden = version, sum(problem.hides for problem in self.problems())
        return self._hidden[1]
