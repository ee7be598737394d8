"""Writes the authorisation matrix as it is, for people to look at before they commit it.

python -m tests.http.matrix.approve
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.http.matrix.asking import ask_all
from tests.http.matrix.cells import EXPECTED


def main() -> None:
    """Ask every cell, and write what came back; a 5xx is nothing to be approved."""
    with tempfile.TemporaryDirectory() as folder:
        table = asyncio.run(ask_all(Path(folder)))
    if broken := table.broken:
        print(*(f"{table.cells[cell]}: {cell}" for cell in broken), sep="\n")
        sys.exit(f"{len(broken)} cells answer with a fault of ours; nothing was written. The log above says why.")
    EXPECTED.write_text(table.text(), encoding="utf-8")
    print(f"{len(table.cells)} cells; look at the difference before you commit it")


if __name__ == "__main__":
    main()
