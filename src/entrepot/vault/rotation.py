"""Sealing everything anew: `entrepot secrets rotate`.

It may run beside a serving registry, and may be broken off at any point and run again: until the end, everything that
was sealed before still opens. The data key that was in use stays for an hour more at least, for another process may be
about to write a secret that it has sealed a moment ago; a later rotation removes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

from entrepot.metadata import clock, data_keys, events, sealed
from entrepot.metadata.data_keys import DataKeyRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.vault.cipher import new_key
from entrepot.vault.errors import SecretUnreadable
from entrepot.vault.master import KeySource, MasterKeys
from entrepot.vault.vault import Vault, key_of, unwrap, wrap

_PAGE = 200
#: Seconds for which a data key is kept after the next one took its place.
_KEEP = 3600.0
#: Looks at all secrets; in each but the first there is nothing left, unless somebody writes at the same time.
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was done."""

    secrets: int  #: sealed anew
    unreadable: tuple[str, ...]  #: rows whose secrets do not open, as `PLACE:KEY`
    data_keys: int  #: that are left
    new_master: bool  #: whether the operator's key was replaced, too


async def rotate(database: Database, source: KeySource, by: Source) -> Rotated:
    """Make a new data key, wrap all with the current secret key, and seal every secret anew.

    Where the secret key is the one that we made ourselves, it is replaced as well.

    Raises:
        VaultError: The secret key cannot be used, does not open the data keys, or is being replaced already.
    """
    with source.alone():
        return await _rotate(database, source, by)


async def _rotate(database: Database, source: KeySource, by: Source) -> Rotated:
    masters = await asyncio.to_thread(source.load)
    records = await data_keys.list_all(database)
    for record in records:
        unwrap(record, masters)
    if source.is_ours:
        masters = await asyncio.to_thread(source.put_new_first)
    newest = await database.write(lambda tx: _wrap_all(tx, masters, by), name="rotate data keys")
    work = _Sealing(database, Vault(database, source), newest.id)
    await work.run()
    if not work.unreadable:
        await database.write(lambda tx: _remove_unused(tx, newest), name="remove old data keys")
    if source.is_ours:
        await asyncio.to_thread(source.drop_old, masters)
    left = len(await data_keys.list_all(database))
    return Rotated(work.count, tuple(sorted(work.unreadable)), left, source.is_ours)


async def _wrap_all(tx: Transaction, masters: MasterKeys, by: Source) -> DataKeyRecord:
    for record in await data_keys.list_all(tx):
        if record.wrapped_by != masters.current.id:
            wrapped = wrap(unwrap(record, masters), masters.current)
            await data_keys.rewrap(tx, record.id, wrapped, masters.current.id)
    await events.add(tx, events.UPDATE, by=by, subject="configuration", detail={"changed": "secret keys"})
    return await data_keys.add(tx, wrap(new_key(), masters.current), masters.current.id)


async def _remove_unused(tx: Transaction, newest: DataKeyRecord) -> None:
    """Remove the keys that were out of use for long enough: their successor is old enough."""
    records = await data_keys.list_all(tx)
    for record, successor in pairwise(records):
        if successor.id != newest.id and successor.created_at < clock.after(-_KEEP):
            await data_keys.remove(tx, record.id)


class _Sealing:
    """Seals what is not sealed with the newest key."""

    def __init__(self, database: Database, vault: Vault, newest: int) -> None:
        self._database = database
        self._vault = vault
        self._newest = newest
        self.count = 0
        self.unreadable: set[str] = set()

    async def run(self) -> None:
        for _ in range(_LOOKS):
            if not sum([await self._place(place) for place in sealed.PLACES]):
                return

    async def _place(self, place: str) -> int:
        """Go through one column; return how many of its secrets were sealed with an older key."""
        old = 0
        after = sealed.before_first(place)
        while page := await sealed.page(self._database, place, after=after, limit=_PAGE):
            for key, text in page:
                old += await self._row(place, key, text)
            after = page[-1][0]
        return old

    async def _row(self, place: str, key: sealed.Key, text: str) -> bool:
        about = sealed.about(place, key)
        if about in self.unreadable:
            return False
        try:
            if key_of(text) == self._newest:
                return False
            new = await self._vault.seal(await self._vault.open(text, about), about)
        except SecretUnreadable:
            self.unreadable.add(about)
            return False

        async def put(tx: Transaction) -> bool:
            return await sealed.replace(tx, place, key, old=text, new=new)

        self.count += await self._database.write(put, name="seal anew")
        return True
