"""Security keys and passkeys: who has registered which, and how often each has signed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import security_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityKeyRecord:
    """One key; times are microseconds since the epoch."""

    id: int = 0
    principal_id: int
    name: str  #: the owner's
    credential: str  #: the key's own name for itself, in base64url
    public_key: str  #: what it signs with: COSE, in base64url
    host: str  #: the only one that it signs for
    sign_count: int  #: how often it says to have signed; 0 for ever where it does not count
    aaguid: str  #: the model, as a UUID; all zero where the key does not tell
    transports: str  #: how browsers reach it, with commas between
    backed_up: bool  #: a copy of it is kept elsewhere: a passkey of an account at some maker's
    created_at: int = 0
    last_used_at: int | None = None


_NEW = ("principal_id", "name", "credential", "public_key", "host", "sign_count", "aaguid", "transports", "backed_up")
_NAMES = ("id", *_NEW, "created_at", "last_used_at")
_OF = Query(
    select(*(security_keys.c[name] for name in _NAMES))
    .where(security_keys.c.principal_id == bindparam("principal_id"))
    .order_by(security_keys.c.id),
    "security_keys.of_principal",
)
_COUNT = Query(
    select(func.count()).select_from(security_keys).where(security_keys.c.principal_id == bindparam("principal_id")),
    "security_keys.count",
)
_ADD = Query(
    lambda d: (
        d.insert(security_keys)
        .values({name: bindparam(name) for name in (*_NEW, "created_at")})
        .returning(security_keys.c.id)
    ),
    "security_keys.add",
)
_RENAME = Query(
    update(security_keys)
    .where(security_keys.c.id == bindparam("key"), security_keys.c.principal_id == bindparam("owner"))
    .values(name=bindparam("new_name")),
    "security_keys.rename",
)
_USE = Query(
    update(security_keys)
    .where(security_keys.c.id == bindparam("key"), security_keys.c.sign_count == bindparam("old_count"))
    .values(sign_count=bindparam("new_count"), backed_up=bindparam("is_backed_up"), last_used_at=bindparam("at")),
    "security_keys.use",
)
_REMOVE = Query(
    delete(security_keys).where(
        security_keys.c.id == bindparam("key"), security_keys.c.principal_id == bindparam("owner")
    ),
    "security_keys.remove",
)
_REMOVE_OF = Query(
    delete(security_keys).where(security_keys.c.principal_id == bindparam("owner")), "security_keys.remove_of"
)


def _record(row: Row) -> SecurityKeyRecord:
    values = dict(zip(_NAMES, row, strict=True))
    return SecurityKeyRecord(**{**values, "backed_up": bool(values["backed_up"])})


async def of_principal(reader: Reader, principal_id: int) -> list[SecurityKeyRecord]:
    """Return the keys of an account, the oldest first; there are few."""
    return [_record(row) for row in await reader.all(_OF, principal_id=principal_id)]


async def count(reader: Reader, principal_id: int) -> int:
    """Count the keys of an account."""
    row = await reader.one(_COUNT, principal_id=principal_id)
    return 0 if row is None else int(row[0])


async def add(tx: Transaction, key: SecurityKeyRecord) -> int:
    """Add a key, and return its number.

    Raises:
        ConstraintViolated: It is registered already, here or to somebody else, or the account has one of this name.
    """
    values = {name: getattr(key, name) for name in _NEW}
    row = await tx.one(_ADD, **{**values, "backed_up": int(key.backed_up), "created_at": clock.now()})
    assert row is not None  # what an insert returns
    return int(row[0])


async def rename(tx: Transaction, principal_id: int, key_id: int, name: str) -> bool:
    """Give one of an account's keys another name; False when it has none of this number.

    Raises:
        ConstraintViolated: Another one has the name.
    """
    return await tx.execute(_RENAME, key=key_id, owner=principal_id, new_name=name) == 1


async def use(tx: Transaction, key: SecurityKeyRecord, *, sign_count: int, backed_up: bool) -> bool:
    """Note that a key has signed; False when it has done so elsewhere since it was read."""
    changed = await tx.execute(
        _USE,
        key=key.id,
        old_count=key.sign_count,
        new_count=sign_count,
        is_backed_up=int(backed_up),
        at=clock.now(),
    )
    return changed == 1


async def remove(tx: Transaction, principal_id: int, key_id: int) -> bool:
    """Remove one of an account's keys; False when it has none of this number."""
    return await tx.execute(_REMOVE, key=key_id, owner=principal_id) == 1


async def remove_of(tx: Transaction, principal_id: int) -> int:
    """Remove all keys of an account; return how many."""
    return await tx.execute(_REMOVE_OF, owner=principal_id)
