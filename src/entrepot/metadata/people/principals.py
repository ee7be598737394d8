"""Accounts: whom the registry knows by name, with the hash of their secret and the epoch of their credentials."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.people import refresh_tokens
from entrepot.metadata.query import Query
from entrepot.metadata.tables import principals, users

#: The kinds: a person, a machine, and a group of persons.
USER = "user"
ROBOT = "robot"
GROUP = "group"


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """One account. A credential that was verified at an earlier epoch no longer counts."""

    id: int
    kind: str
    name: str
    secret: str | None = field(repr=False)
    epoch: int
    disabled: bool
    expires_at: int | None = None  #: microseconds since the epoch
    created_at: int = 0
    updated_at: int = 0
    must_change: bool = False  #: the password is one that somebody else made, and is good for nothing but changing it


_COLUMNS = (
    principals.c.id,
    principals.c.kind,
    principals.c.name,
    principals.c.secret,
    principals.c.epoch,
    principals.c.disabled,
    principals.c.expires_at,
    principals.c.created_at,
    principals.c.updated_at,
    users.c.must_change,
)
_SELECT = select(*_COLUMNS).join_from(principals, users, users.c.principal_id == principals.c.id, isouter=True)
_FIND = Query(
    _SELECT.where(principals.c.kind == bindparam("kind"), principals.c.name == bindparam("name")),
    "principals.find",
    recalled=True,  # asked by every pull that signs in with a password
)
_FIND_BY_ID = Query(_SELECT.where(principals.c.id == bindparam("id")), "principals.find_by_id")
_CREATE = Query(
    lambda d: (
        d.insert(principals)
        .values(
            kind=bindparam("kind"),
            name=bindparam("name"),
            secret=bindparam("secret"),
            epoch=bindparam("epoch"),
            disabled=bindparam("disabled"),
            created_at=bindparam("created_at"),
            updated_at=bindparam("updated_at"),
        )
        .on_conflict_do_nothing()
    ),
    "principals.create",
)
_SET_SECRET = Query(
    update(principals)
    .where(principals.c.id == bindparam("principal"))
    .values(secret=bindparam("new_secret"), epoch=principals.c.epoch + 1, updated_at=bindparam("at")),
    "principals.set_secret",
)
#: The same password in another form ends nothing.
_RENEW_SECRET = Query(
    update(principals)
    .where(principals.c.id == bindparam("principal"), principals.c.secret == bindparam("old_secret"))
    .values(secret=bindparam("new_secret")),
    "principals.renew_secret",
)
_SET_EXPIRY = Query(
    update(principals)
    .where(principals.c.id == bindparam("principal"))
    .values(expires_at=bindparam("new_expiry"), updated_at=bindparam("at")),
    "principals.set_expiry",
)
_BUMP = Query(
    update(principals)
    .where(principals.c.id == bindparam("principal"))
    .values(epoch=principals.c.epoch + 1, updated_at=bindparam("at")),
    "principals.bump",
)
_TOUCH = Query(
    update(principals).where(principals.c.id == bindparam("principal")).values(updated_at=bindparam("at")),
    "principals.touch",
)
_RENAME = Query(
    update(principals)
    .where(principals.c.id == bindparam("principal"))
    .values(name=bindparam("new_name"), updated_at=bindparam("at")),
    "principals.rename",
)
_REMOVE = Query(delete(principals).where(principals.c.id == bindparam("id")), "principals.remove")
_SET_DISABLED = Query(
    update(principals)
    .where(principals.c.id == bindparam("principal"))
    .values(disabled=bindparam("is_disabled"), epoch=principals.c.epoch + 1, updated_at=bindparam("at")),
    "principals.set_disabled",
)


def _record(row: Row) -> PrincipalRecord:
    return PrincipalRecord(*(*row[:5], bool(row[5]), *row[6:9], bool(row[9])))


async def find(reader: Reader, kind: str, name: str) -> PrincipalRecord | None:
    """Return the account of this kind and name, if there is one."""
    row = await reader.one(_FIND, kind=kind, name=name)
    return None if row is None else _record(row)


async def find_by_id(reader: Reader, principal_id: int) -> PrincipalRecord | None:
    """Return the account with this id, if there is one."""
    row = await reader.one(_FIND_BY_ID, id=principal_id)
    return None if row is None else _record(row)


async def create(tx: Transaction, kind: str, name: str, *, secret: str | None) -> PrincipalRecord | None:
    """Add an account and return it; None when one of this kind and name exists, which is then left as it is."""
    at = clock.now()
    added = await tx.execute(
        _CREATE, kind=kind, name=name, secret=secret, epoch=0, disabled=0, created_at=at, updated_at=at
    )
    return await find(tx, kind, name) if added else None


async def set_secret(tx: Transaction, principal_id: int, secret: str | None) -> None:
    """Give an account a new secret, or none, and end everything that the old one opened."""
    await tx.execute(_SET_SECRET, principal=principal_id, new_secret=secret, at=clock.now())
    await refresh_tokens.remove_of(tx, principal_id)


async def renew_secret(tx: Transaction, principal_id: int, *, old: str, new: str) -> bool:
    """Keep an account's secret in another form, and end nothing; False when it was changed since."""
    return await tx.execute(_RENEW_SECRET, principal=principal_id, old_secret=old, new_secret=new) == 1


async def set_disabled(tx: Transaction, principal_id: int, *, disabled: bool) -> None:
    """Close or reopen an account, and end everything that was open."""
    await tx.execute(_SET_DISABLED, principal=principal_id, is_disabled=int(disabled), at=clock.now())
    await refresh_tokens.remove_of(tx, principal_id)


async def set_expiry(tx: Transaction, principal_id: int, expires_at: int | None) -> None:
    """Let an account end at a moment (microseconds since the epoch), or never."""
    await tx.execute(_SET_EXPIRY, principal=principal_id, new_expiry=expires_at, at=clock.now())


async def end_sign_ins(tx: Transaction, principal_id: int) -> None:
    """End everything that was opened with an account's credentials, which stay as they are."""
    await tx.execute(_BUMP, principal=principal_id, at=clock.now())
    await refresh_tokens.remove_of(tx, principal_id)


async def touch(tx: Transaction, principal_id: int) -> None:
    """Note that something about an account was changed."""
    await tx.execute(_TOUCH, principal=principal_id, at=clock.now())


async def rename(tx: Transaction, principal_id: int, name: str) -> None:
    """Give an account another name.

    Raises:
        ConstraintViolated: There is one of this kind and name.
    """
    await tx.execute(_RENAME, principal=principal_id, new_name=name, at=clock.now())


async def remove(tx: Transaction, principal_id: int) -> bool:
    """Remove an account with its grants, keys and memberships; False when there is none of this id."""
    return await tx.execute(_REMOVE, id=principal_id) == 1
