"""Writes the authorisation matrix as it is, for people to look at before they commit it."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

import pytest

from tests.http.api.matrix import open_matrix, table_of


async def approve() -> None:
    """Ask every cell, and write what came back."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        async with open_matrix(Path(folder), patch) as matrix:
            table = await table_of(matrix)
    Path(__file__).with_name("matrix.txt").write_text(table.text())
    print(f"{len(table.cells)} cells")


if __name__ == "__main__":
    logging.disable()  # each write that is undone would be logged as a fault
    asyncio.run(approve())
