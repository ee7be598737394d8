"""Programs of released versions, which run in the tests beside the present one (`tools/keep_program.py` keeps them)."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

_KEPT = Path(__file__).resolve().parents[1] / "migrations" / "programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A released program, not unpacked yet."""

    schema: int
    archive: Path

    def unpack(self, folder: Path) -> Path:
        """Unpack it; gives what belongs into PYTHONPATH, before this version's package."""
        with tarfile.open(self.archive) as files:
            files.extractall(folder, filter="data")
        return folder / "src"


def kept_programs() -> list[Program]:
    """List the released programs, the oldest first."""
    found = (Program(schema=int(path.name.split(".")[0].rpartition("-")[2]), archive=path) for path in _KEPT.iterdir())
    return sorted(found, key=lambda program: program.schema)
