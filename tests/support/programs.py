"""Programs of released versions, which run in the tests beside the present one (`tools/keep_program.py` keeps them)."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tools.keep_program import PROGRAMS, archive_in

_NAME = re.compile(r"schema-(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A released program, not unpacked yet."""

    schema: int
    file: Path

    def unpack(self, folder: Path) -> Path:
        """Unpack it; gives what belongs into PYTHONPATH, before this version's package."""
        with tarfile.open(fileobj=io.BytesIO(archive_in(self.file))) as files:
            files.extractall(folder, filter="data")
        return folder / "src"


def kept_programs() -> list[Program]:
    """List the released programs, the oldest first."""
    names = ((_NAME.match(path.name), path) for path in PROGRAMS.iterdir())
    found = (Program(schema=int(name[1]), file=path) for name, path in names if name)
    return sorted(found, key=lambda program: program.schema)
