"""Deciding whether a folder has to be adopted."""

from __future__ import annotations

from pathlib import Path

from entrepot.adoption import state
from entrepot.adoption.state import AdoptionState
from entrepot.adoption.tree import Tree
from entrepot.metadata import settings
from entrepot.metadata.database import T, Work
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.opening import open_embedded
from entrepot.registry import layout


async def test_a_start_that_was_slower_does_not_begin_adoption_anew(tmp_path: Path) -> None:
    """Between its look and its write another process has decided and adopted: that stays."""
    (tmp_path / layout.REPOSITORIES).mkdir(parents=True)
    stores = await open_embedded(tmp_path / "entrepot")

    class Slow(SqliteDatabase):
        async def write(self, work: Work[T], *, name: str = "") -> T:
            done = AdoptionState.COMPLETE.value
            await stores.metadata.write(lambda tx: settings.put(tx, "adoption", done))
            return await super().write(work, name=name)

    slow = Slow(tmp_path / "entrepot" / "metadata.db")
    assert await state.prepare(slow, Tree(tmp_path)) is AdoptionState.COMPLETE
    assert await state.find(stores.metadata) is AdoptionState.COMPLETE
    await slow.close()
    await stores.close()
