"""Who may do something to a folder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.registry.file_locks import COLLECTION, PROJECTION, turn


async def test_one_at_a_time(tmp_path: Path) -> None:
    """The second waits for the end of the first; another kind of turn is another's."""
    order: list[str] = []

    async def second() -> None:
        async with turn(tmp_path, COLLECTION):
            order.append("second")

    async with turn(tmp_path, COLLECTION), turn(tmp_path, PROJECTION):
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.1)
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def test_patience_ends(tmp_path: Path) -> None:
    """It says who may be in the way."""
    async with turn(tmp_path, COLLECTION):
        with pytest.raises(TimeoutError, match=r"another process has held collection\.lock"):
            async with turn(tmp_path, COLLECTION, patience=0.05):
                pass


async def test_the_dead_give_it_back(tmp_path: Path) -> None:
    """A process that was killed in its turn holds up nobody; one that only stands still does."""
    code = (
        "import asyncio, pathlib, sys\n"
        "from entrepot.registry.file_locks import turn, COLLECTION\n"
        "async def main():\n"
        "    async with turn(pathlib.Path(sys.argv[1]), COLLECTION):\n"
        "        print('mine', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        other.send_signal(19)  # SIGSTOP
        with pytest.raises(TimeoutError):
            async with turn(tmp_path, COLLECTION, patience=0.2):
                pass
        other.kill()
        async with turn(tmp_path, COLLECTION, patience=10):
            pass
