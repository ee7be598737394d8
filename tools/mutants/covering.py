"""Which tests reach a line: the tests of an area, run once with coverage."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.mutants.areas import ROOT, Area

#: SQLite stands for both databases: the tests are the same, and PostgreSQL's take three times as long.
SELECTION: Final = ("-q", "-n0", "-p", "no:cacheprovider", "-k", "not postgres", "-m", "not full")
_SETTINGS: Final = """
[run]
source = src/entrepot
concurrency = thread
"""


class Covering:
    """The tests of an area by the lines that they reach."""

    def __init__(self, lines: dict[str, dict[int, list[str]]]) -> None:
        self._lines = lines

    def tests(self, path: Path, line: int) -> list[str] | None:
        """Return the tests that reach a line; None for a line that is reached by importing it."""
        found = self._lines.get(str(path), {}).get(line, [])
        return None if "" in found else found


def learn(area: Area) -> Covering:
    """Run the tests of an area once.

    Raises:
        SystemExit: They fail as they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings, data = Path(folder) / "coveragerc", Path(folder) / "data"
        settings.write_text(_SETTINGS, encoding="utf-8")
        command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", f"--data-file={data}"]
        done = subprocess.run(
            [*command, "-m", "pytest", "-p", "tools.mutants.contexts", *SELECTION, *area.tests],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"the tests of {area.name} fail as they are:\n{done.stdout[-3000:]}")
        return Covering(_read(data, area.code))


def _read(data: Path, code: Sequence[Path]) -> dict[str, dict[int, list[str]]]:
    from coverage import CoverageData  # noqa: PLC0415 - for whoever measures

    known = CoverageData(basename=os.fspath(data))
    known.read()
    return {str(path): known.contexts_by_lineno(str(ROOT / path)) for path in code}
