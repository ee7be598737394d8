"""How far the adoption of a folder is, kept in the metadata so that every process knows."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from functools import partial

from entrepot.adoption.ports import RegistryTree
from entrepot.metadata import settings
from entrepot.metadata.database import Database, Reader, Transaction

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


async def advance(database: Database, before: AdoptionState, after: AdoptionState) -> None:
    """Move from one state to the next; nothing happens when another process has."""

    async def work(tx: Transaction) -> None:
        if await find(tx) is before:
            await settings.put(tx, _KEY, after.value)

    await database.write(work, name="adoption state")


async def prepare(database: Database, tree: RegistryTree) -> AdoptionState:
    """Decide at the first start on a folder whether there is something to adopt; later starts find the answer."""
    state = await find(database)
    if state is not None:
        return state
    wanted = AdoptionState.LISTING if await asyncio.to_thread(tree.exists) else AdoptionState.COMPLETE
    return await database.write(partial(_decide, wanted), name="adoption state")


async def _decide(wanted: AdoptionState, tx: Transaction) -> AdoptionState:
    """Keep what another process has decided, and perhaps done, since we looked."""
    decided = await find(tx)
    if decided is None:
        await settings.put(tx, _KEY, wanted.value)
    return decided or wanted
