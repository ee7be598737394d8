"""How far the adoption of a folder is, kept in the metadata so that every process knows."""

from __future__ import annotations

from enum import StrEnum

from entrepot.adoption.tree import Tree
from entrepot.metadata import settings
from entrepot.metadata.database import Database, Reader

_KEY = "adoption"


class AdoptionState(StrEnum):
    """The steps, in order."""

    LISTING = "listing"  #: names of repositories are still being collected
    ADOPTING = "adopting"  #: all names are known, some repositories are still to be read
    COMPLETE = "complete"


async def find(reader: Reader) -> AdoptionState | None:
    """Return the state; None when nobody has looked at the folder yet."""
    value = await settings.find(reader, _KEY)
    return None if value is None else AdoptionState(value)


async def put(database: Database, state: AdoptionState) -> None:
    """Move to a state."""
    await database.write(lambda tx: settings.put(tx, _KEY, state.value), name="adoption state")


async def prepare(database: Database, tree: Tree) -> AdoptionState:
    """Decide at the first start on a folder whether there is something to adopt; later starts find the answer."""
    state = await find(database)
    if state is None:
        state = AdoptionState.LISTING if tree.exists() else AdoptionState.COMPLETE
        await put(database, state)
    return state
