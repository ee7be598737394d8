"""Sealing and opening."""

from __future__ import annotations

import asyncio

from entrepot.metadata import data_keys
from entrepot.metadata.data_keys import DataKeyRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.sealed import MARK
from entrepot.vault.cipher import decrypt, encrypt, new_key
from entrepot.vault.errors import SecretUnreadable
from entrepot.vault.master import KeySource, MasterKey, MasterKeys

#: Version of the form `sealed:1:KEY:TEXT`.
_VERSION = "1"
_PARTS = 4


class Vault:
    """Seals texts for the database and opens them again; one per process.

    Seal before a write transaction, not within: both look into the database.
    """

    def __init__(self, database: Database, source: KeySource) -> None:
        self._database = database
        self._source = source
        self._masters: MasterKeys | None = None
        self._keys: dict[int, bytes] = {}

    async def seal(self, text: str, about: str) -> str:
        """Seal a text with the newest data key, which is made if there is none.

        Args:
            text: The secret.
            about: Where it will stand, from `metadata.sealed.about`; `open` must be told the same.

        Raises:
            VaultError: The operator's key cannot be used.
        """
        record = await data_keys.newest(self._database) or await self._first()
        bound = f"{MARK}{_VERSION}:{record.id}:"
        return bound + encrypt(await self._unwrapped(record), text.encode(), bound + about)

    async def open(self, sealed: str, about: str) -> str:
        """Return the text that was sealed.

        Raises:
            SecretUnreadable: It was sealed with a key that is gone, for another place, or was changed.
            SecretKeyUnusable: The operator's key cannot be used.
        """
        key_id = key_of(sealed)
        key = self._keys.get(key_id)
        if key is None:
            record = await data_keys.find(self._database, key_id)
            if record is None:
                raise SecretUnreadable(f"the secret of {about} was sealed with a data key that is gone")
            key = await self._unwrapped(record)
        bound, _, encrypted = sealed.rpartition(":")
        return decrypt(key, encrypted, f"{bound}:{about}").decode()

    async def require_key(self) -> None:
        """Make sure that the operator's key is the one of this database; the first to ask makes it so.

        Raises:
            VaultError: It is another, or cannot be used.
        """
        await self._unwrapped(await data_keys.newest(self._database) or await self._first())

    async def _unwrapped(self, record: DataKeyRecord) -> bytes:
        if record.id not in self._keys:
            self._keys[record.id] = unwrap(record, await self._knowing(record.wrapped_by))
        return self._keys[record.id]

    async def _knowing(self, master_id: str) -> MasterKeys:
        """Return the operator's keys; read again when one was asked for that is not among them."""
        if self._masters is None or master_id not in self._masters.known:
            self._masters = await asyncio.to_thread(self._source.load)
        return self._masters

    async def _first(self) -> DataKeyRecord:
        """Make the first data key, unless another process is quicker."""
        masters = await asyncio.to_thread(self._source.load)
        wrapped = wrap(new_key(), masters.current)

        async def ensure(tx: Transaction) -> DataKeyRecord:
            return await data_keys.newest(tx) or await data_keys.add(tx, wrapped, masters.current.id)

        return await self._database.write(ensure, name="first data key")


def key_of(sealed: str) -> int:
    """Return the id of the data key that a text is sealed with.

    Raises:
        SecretUnreadable: The text was not sealed by us.
    """
    parts = sealed.split(":")
    if len(parts) != _PARTS or parts[0] + ":" != MARK or parts[1] != _VERSION or not parts[2].isdecimal():
        raise SecretUnreadable("a secret in the database is not sealed in a form that this version knows")
    return int(parts[2])


def wrap(key: bytes, master: MasterKey) -> str:
    """Encrypt a data key with the operator's."""
    return encrypt(master.secret, key, _wrapping(master.id))


def unwrap(record: DataKeyRecord, masters: MasterKeys) -> bytes:
    """Decrypt a data key.

    Raises:
        SecretUnreadable: It was wrapped with a key that the operator no longer gives us.
    """
    master = masters.known.get(record.wrapped_by)
    if master is None:
        raise SecretUnreadable(
            f"the secrets in the database were sealed with the secret key {record.wrapped_by}, and the one in use is "
            f"{masters.current.id}; give this process the former, as all others, or put the old key behind the new "
            "one, and run: entrepot secrets rotate"
        )
    return decrypt(master.secret, record.wrapped, _wrapping(master.id))


def _wrapping(master_id: str) -> str:
    return f"data key wrapped by {master_id}"
