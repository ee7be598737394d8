"""Writes the authorisation matrix as it is, for people to look at before they commit it.

python -m tests.http.matrix.approve
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.http.matrix.asking import ask_all
from tests.http.matrix.cells import EXPECTED


def main() -> None:
    """Ask every cell, and write what came back."""
    with tempfile.TemporaryDirectory() as folder:
        table = asyncio.run(ask_all(Path(folder)))
    EXPECTED.write_text(table.text(), encoding="utf-8")
    print(f"{len(table.cells)} cells; look at the difference before you commit it")


if __name__ == "__main__":
    main()
