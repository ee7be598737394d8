"""What is broken in a folder, as far as adopting it shows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

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


class ReportFile:
    """The problems found in a folder, one JSON object a line, appended to by whichever process finds one."""

    def __init__(self, root: Path) -> None:
        self.path = root / OWN / FILE_NAME

    def append(self, problems: Iterable[Problem]) -> None:
        """Add problems; each call is one write, so that lines of several processes do not mix."""
        text = "".join(json.dumps(asdict(problem)) + "\n" for problem in problems)
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
            for line in dict.fromkeys(lines):
                values = json.loads(line)
                yield Problem(**{**values, "kind": ProblemKind(values["kind"])})
