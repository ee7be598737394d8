"""API keys: random secrets that sign an account in, kept as hashes: whoever reads the database cannot use one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import api_keys, principals


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """One key; `limits` is JSON, all that it may be used for."""

    id: int
    principal_id: int
    name: str
    hint: str  #: the first characters, so that people can tell keys apart
    limits: str | None
    created_at: int
    expires_at: int | None
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class KeyAccountRecord:
    """The account that a key speaks for, as far as signing in needs it."""

    id: int
    kind: str
    name: str
    epoch: int
    disabled: bool
    expires_at: int | None


_COLUMNS = (
    api_keys.c.id,
    api_keys.c.principal_id,
    api_keys.c.name,
    api_keys.c.hint,
    api_keys.c.limits,
    api_keys.c.created_at,
    api_keys.c.expires_at,
    api_keys.c.last_used_at,
)
_WITH_ACCOUNT = Query(
    select(
        *_COLUMNS,
        principals.c.id,
        principals.c.kind,
        principals.c.name,
        principals.c.epoch,
        principals.c.disabled,
        principals.c.expires_at,
    )
    .join_from(api_keys, principals, principals.c.id == api_keys.c.principal_id)
    .where(api_keys.c.hash == bindparam("hash")),
    "api_keys.with_account",
)
_FIND_BY_ID = Query(select(*_COLUMNS).where(api_keys.c.id == bindparam("id")), "api_keys.find_by_id")
_OF = Query(
    select(*_COLUMNS).where(api_keys.c.principal_id == bindparam("principal_id")).order_by(api_keys.c.id),
    "api_keys.of_principal",
)
_ADD = Query(
    lambda d: (
        d.insert(api_keys)
        .values(
            principal_id=bindparam("principal_id"),
            name=bindparam("name"),
            hash=bindparam("hash"),
            hint=bindparam("hint"),
            limits=bindparam("limits"),
            created_at=bindparam("created_at"),
            expires_at=bindparam("expires_at"),
        )
        .returning(api_keys.c.id)
    ),
    "api_keys.add",
)
_USED = Query(
    update(api_keys).where(api_keys.c.id == bindparam("key")).values(last_used_at=bindparam("at")), "api_keys.used"
)
_RENAME = Query(
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"), api_keys.c.principal_id == bindparam("owner"))
    .values(name=bindparam("new_name")),
    "api_keys.rename",
)
_RETIRE = Query(
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"))
    .values(name=bindparam("new_name"), expires_at=bindparam("end")),
    "api_keys.retire",
)
_REMOVE_ENDED = Query(
    delete(api_keys).where(
        api_keys.c.principal_id == bindparam("principal_id"), api_keys.c.expires_at <= bindparam("ended")
    ),
    "api_keys.remove_ended",
)
_REMOVE = Query(
    delete(api_keys).where(api_keys.c.id == bindparam("id"), api_keys.c.principal_id == bindparam("principal_id")),
    "api_keys.remove",
)


def _record(row: Row) -> ApiKeyRecord:
    return ApiKeyRecord(*row)


async def find_with_account(reader: Reader, hashed: str) -> tuple[ApiKeyRecord, KeyAccountRecord] | None:
    """Return the key with this hash and whose it is, if there is one."""
    row = await reader.one(_WITH_ACCOUNT, hash=hashed)
    if row is None:
        return None
    count = len(_COLUMNS)
    account = row[count:]
    return _record(row[:count]), KeyAccountRecord(*(*account[:4], bool(account[4]), account[5]))


async def find_by_id(reader: Reader, key_id: int) -> ApiKeyRecord | None:
    """Return the key of this id, if there is one."""
    row = await reader.one(_FIND_BY_ID, id=key_id)
    return None if row is None else _record(row)


async def of_principal(reader: Reader, principal_id: int) -> list[ApiKeyRecord]:
    """Return the keys of one account, oldest first."""
    return [_record(row) for row in await reader.all(_OF, principal_id=principal_id)]


async def add(
    tx: Transaction,
    principal_id: int,
    *,
    name: str,
    hashed: str,
    hint: str,
    limits: str | None = None,
    expires_at: int | None = None,
) -> int:
    """Add a key to an account and return its id.

    Raises:
        ConstraintViolated: The account has a key of this name.
    """
    row = await tx.one(
        _ADD,
        principal_id=principal_id,
        name=name,
        hash=hashed,
        hint=hint,
        limits=limits,
        created_at=clock.now(),
        expires_at=expires_at,
    )
    assert row is not None
    return int(row[0])


async def note_use(tx: Transaction, key_id: int, at: int) -> None:
    """Note when a key was last used."""
    await tx.execute(_USED, key=key_id, at=at)


async def rename(tx: Transaction, principal_id: int, key_id: int, name: str) -> bool:
    """Give one key of an account another name; False when the account has none of this id.

    Raises:
        ConstraintViolated: The account has a key of this name.
    """
    return await tx.execute(_RENAME, key=key_id, owner=principal_id, new_name=name) == 1


async def retire(tx: Transaction, key_id: int, *, name: str, expires_at: int) -> None:
    """Let a key end soon and make its name free, for the one that takes its place."""
    await tx.execute(_RETIRE, key=key_id, new_name=name, end=expires_at)


async def remove_ended(tx: Transaction, principal_id: int, before: int) -> None:
    """Remove the keys of an account that ended before a moment."""
    await tx.execute(_REMOVE_ENDED, principal_id=principal_id, ended=before)


async def remove(tx: Transaction, principal_id: int, key_id: int) -> bool:
    """Remove one key of an account; False when the account has none of this id."""
    return await tx.execute(_REMOVE, id=key_id, principal_id=principal_id) == 1
