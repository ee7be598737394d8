"""People: what is known of each account of kind `user` beside its name and secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Select, bindparam, cast, exists, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.people import principals
from entrepot.metadata.query import Query
from entrepot.metadata.tables import grants, users
from entrepot.metadata.tables import principals as accounts
from entrepot.metadata.transaction_turns import in_turn

#: The provider of people whose password we keep.
LOCAL = "local"
#: Id of the role that may everything; see `access.roles`.
_SYSTEM_ADMIN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """One person."""

    id: int
    name: str
    email: str | None
    realname: str
    comment: str
    provider: str  #: `local`, `ldap` or `oidc:NAME`
    subject: str | None  #: the provider's name for them
    must_change: bool  #: the password is one that somebody else made
    password_at: int | None  #: when it was set
    checked_at: int | None  #: when the provider was last asked about them
    epoch: int
    disabled: bool
    expires_at: int | None
    sysadmin: bool  #: has the role systemAdmin on everything, without an end
    provider_says_admin: bool  #: by a group of their directory or sign-in provider
    made_admin: bool  #: by somebody here
    created_at: int
    updated_at: int

    def state(self, now: int) -> str:
        """Return `active`, `disabled` by an administrator here, or `closed` because its provider vouches no more."""
        if self.disabled:
            return "disabled"
        return "closed" if self.expires_at is not None and self.expires_at <= now else "active"


def _sysadmin(*conditions: ColumnElement[bool]) -> Any:
    return cast(
        exists().where(
            *conditions,
            grants.c.principal_id == accounts.c.id,
            grants.c.role_id == _SYSTEM_ADMIN,
            grants.c.project_id.is_(None),
            grants.c.repositories.is_(None),
            grants.c.tags.is_(None),
            grants.c.expires_at.is_(None),
        ),
        Integer,
    )


def _select() -> Select[Any]:
    return (
        select(
            accounts.c.id,
            accounts.c.name,
            users.c.email,
            users.c.realname,
            users.c.comment,
            users.c.provider,
            users.c.subject,
            users.c.must_change,
            users.c.password_at,
            users.c.checked_at,
            accounts.c.epoch,
            accounts.c.disabled,
            accounts.c.expires_at,
            _sysadmin().label("sysadmin"),
            _sysadmin(grants.c.origin == users.c.provider).label("provider_says_admin"),
            _sysadmin(grants.c.origin != users.c.provider).label("made_admin"),
            accounts.c.created_at,
            accounts.c.updated_at,
        )
        .join_from(users, accounts, accounts.c.id == users.c.principal_id)
        .where(accounts.c.kind == principals.USER)
    )


_FIND = Query(_select().where(accounts.c.name == bindparam("name")), "users.find")
_FIND_BY_ID = Query(_select().where(accounts.c.id == bindparam("id")), "users.find_by_id")
_FIND_BY_SUBJECT = Query(
    _select().where(users.c.provider == bindparam("provider"), users.c.subject == bindparam("subject")),
    "users.find_by_subject",
)
_ADD = Query(
    lambda d: d.insert(users).values(
        principal_id=bindparam("principal_id"),
        email=bindparam("email"),
        realname=bindparam("realname"),
        comment=bindparam("comment"),
        provider=bindparam("provider"),
        subject=bindparam("subject"),
        must_change=0,
        password_at=bindparam("password_at"),
        checked_at=bindparam("checked_at"),
    ),
    "users.add",
)
_SET_PROFILE = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"))
    .values(email=bindparam("new_email"), realname=bindparam("new_realname"), comment=bindparam("new_comment")),
    "users.set_profile",
)
_SET_PASSWORD = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"))
    .values(must_change=bindparam("must"), password_at=bindparam("at")),
    "users.set_password",
)
_SET_PROVIDER = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"))
    .values(provider=bindparam("new_provider"), subject=bindparam("new_subject")),
    "users.set_provider",
)
_SET_CHECKED = Query(
    update(users).where(users.c.principal_id == bindparam("principal")).values(checked_at=bindparam("at")),
    "users.set_checked",
)
_OTHER_ADMIN = Query(
    select(accounts.c.id)
    .join_from(grants, accounts, accounts.c.id == grants.c.principal_id)
    .where(
        grants.c.role_id == _SYSTEM_ADMIN,
        grants.c.project_id.is_(None),
        grants.c.repositories.is_(None),
        grants.c.tags.is_(None),
        grants.c.expires_at.is_(None),
        accounts.c.kind == principals.USER,
        accounts.c.disabled == 0,
        accounts.c.expires_at.is_(None),
        accounts.c.secret.is_not(None),
        accounts.c.id != bindparam("than"),
    )
    .limit(1),
    "users.other_admin",
)

LISTING = Listing(
    "users",
    _select(),
    {
        "user_id": Field(column=accounts.c.id, kind=Kind.NUMBER),
        "username": Field(column=accounts.c.name),
        "email": Field(column=users.c.email),
        "realname": Field(column=users.c.realname),
        "provider": Field(column=users.c.provider),
        "disabled": Field(column=accounts.c.disabled, kind=Kind.FLAG),
        "creation_time": Field(column=accounts.c.created_at, kind=Kind.TIME),
        "update_time": Field(column=accounts.c.updated_at, kind=Kind.TIME),
    },
    order=(Order("username"),),
    key=accounts.c.id,
)


def _record(row: Row) -> UserRecord:
    return UserRecord(
        id=row[0],
        name=row[1],
        email=row[2],
        realname=row[3],
        comment=row[4],
        provider=row[5],
        subject=row[6],
        must_change=bool(row[7]),
        password_at=row[8],
        checked_at=row[9],
        epoch=row[10],
        disabled=bool(row[11]),
        expires_at=row[12],
        sysadmin=bool(row[13]),
        provider_says_admin=bool(row[14]),
        made_admin=bool(row[15]),
        created_at=row[16],
        updated_at=row[17],
    )


async def find(reader: Reader, name: str) -> UserRecord | None:
    """Return the person of this account name, if there is one."""
    row = await reader.one(_FIND, name=name)
    return None if row is None else _record(row)


async def find_by_id(reader: Reader, user_id: int) -> UserRecord | None:
    """Return the person of this id, if there is one."""
    row = await reader.one(_FIND_BY_ID, id=user_id)
    return None if row is None else _record(row)


async def find_by_subject(reader: Reader, provider: str, subject: str) -> UserRecord | None:
    """Return the person whom a provider knows under `subject`, if there is one."""
    row = await reader.one(_FIND_BY_SUBJECT, provider=provider, subject=subject)
    return None if row is None else _record(row)


async def page(reader: Reader, selection: Selection) -> Listed[UserRecord]:
    """Return a page of all people; `LISTING.fields` says by what they are filtered and sorted.

    Raises:
        FieldUnknown: The selection names another field.
    """
    return (await LISTING.read(reader, selection)).map(_record)


async def add(
    tx: Transaction,
    name: str,
    *,
    secret: str | None = None,
    provider: str = LOCAL,
    subject: str | None = None,
    email: str | None = None,
    realname: str = "",
    comment: str = "",
) -> UserRecord | None:
    """Add a person; None when there is an account of this name.

    Raises:
        ConstraintViolated: The provider's subject is somebody else already.
    """
    account = await principals.create(tx, principals.USER, name, secret=secret)
    if account is None:
        return None
    await tx.execute(
        _ADD,
        principal_id=account.id,
        email=email,
        realname=realname,
        comment=comment,
        provider=provider,
        subject=subject,
        password_at=None if secret is None else account.created_at,
        checked_at=None if provider == LOCAL else account.created_at,
    )
    return await find_by_id(tx, account.id)


async def set_profile(tx: Transaction, user_id: int, *, email: str | None, realname: str, comment: str) -> None:
    """Change what people see of a person."""
    await tx.execute(_SET_PROFILE, principal=user_id, new_email=email, new_realname=realname, new_comment=comment)
    await principals.touch(tx, user_id)


async def set_password(tx: Transaction, user_id: int, secret: str, *, must_change: bool = False) -> None:
    """Give a person a new password, and end everything that the old one opened."""
    await principals.set_secret(tx, user_id, secret)
    await tx.execute(_SET_PASSWORD, principal=user_id, must=int(must_change), at=clock.now())


async def set_provider(tx: Transaction, user_id: int, provider: str, subject: str | None) -> None:
    """Note who knows a person, and under which name.

    Raises:
        ConstraintViolated: The provider's subject is somebody else already.
    """
    await tx.execute(_SET_PROVIDER, principal=user_id, new_provider=provider, new_subject=subject)


async def set_checked(tx: Transaction, user_id: int, at: int) -> None:
    """Note when the provider was last asked about a person."""
    await tx.execute(_SET_CHECKED, principal=user_id, at=at)


async def has_other_admin(tx: Transaction, than: int) -> bool:
    """Tell whether an enabled account with a password of its own beside `than` may do everything.

    Others who are about to take the same from somebody else wait.
    """
    await in_turn(tx, "administrators")
    return await tx.one(_OTHER_ADMIN, than=than) is not None
