"""The uploads that registry:2 had open when it was stopped for good: nobody can end them any more.

Its own rules say when one is abandoned: by the time in its `startedat` file, and never without such a file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from entrepot.adoption.tree import Tree, read_file

#: A time as RFC 3339 writes it is much shorter.
_MAX_TIME_BYTES = 64


@dataclass(frozen=True, slots=True)
class Leftovers:
    """registry:2's open uploads in a folder. Everything here blocks on the disk."""

    tree: Tree

    def abandoned(self, age: float) -> list[Path]:
        """List the folders of uploads that were begun more than `age` seconds ago."""
        now = datetime.now(UTC)
        return [folder for folder, begun in self._begun() if (now - begun).total_seconds() > age]

    def _begun(self) -> Iterator[tuple[Path, datetime]]:
        for folder in self.tree.sessions():
            text = read_file(str(folder / "startedat"), _MAX_TIME_BYTES)
            if text is not None and (begun := _time(text)) is not None:
                yield folder, begun


def remove(folder: Path) -> None:
    """Remove an upload with all its bytes; one that somebody else has removed is gone already."""
    shutil.rmtree(folder, ignore_errors=True)


def _time(text: bytes) -> datetime | None:
    try:
        begun = datetime.fromisoformat(text.decode("ascii").strip())
    except ValueError:
        return None
    return begun if begun.tzinfo is not None else None
