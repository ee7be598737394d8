"""Groups of people: made by an administrator, or known from a directory or provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, select

from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.people import principals
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import groups
from entrepot.metadata.tables import principals as accounts

#: The provider of groups whose members we keep.
LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """One group."""

    id: int
    name: str
    provider: str  #: `local`, `ldap` or `oidc:NAME`
    subject: str | None  #: the provider's name for it: a DN, a claim's value
    created_at: int
    updated_at: int


def _select() -> Select[Any]:
    return (
        select(
            accounts.c.id,
            accounts.c.name,
            groups.c.provider,
            groups.c.subject,
            accounts.c.created_at,
            accounts.c.updated_at,
        )
        .join_from(groups, accounts, accounts.c.id == groups.c.principal_id)
        .where(accounts.c.kind == principals.GROUP)
    )


_FIND = Query(_select().where(accounts.c.name == bindparam("name")), "groups.find")
_FIND_BY_ID = Query(_select().where(accounts.c.id == bindparam("id")), "groups.find_by_id")
_BY_SUBJECTS = Query(
    _select().where(groups.c.provider == bindparam("provider"), in_list(groups.c.subject, "subjects")),
    "groups.by_subjects",
)
_ADD = Query(
    lambda d: d.insert(groups).values(
        principal_id=bindparam("principal_id"), provider=bindparam("provider"), subject=bindparam("subject")
    ),
    "groups.add",
)

LISTING = Listing(
    "groups",
    _select(),
    {
        "id": Field(column=accounts.c.id, kind=Kind.NUMBER),
        "group_name": Field(column=accounts.c.name),
        "provider": Field(column=groups.c.provider),
        "ldap_group_dn": Field(column=groups.c.subject),
        "creation_time": Field(column=accounts.c.created_at, kind=Kind.TIME),
    },
    order=(Order("group_name"),),
    key=accounts.c.id,
)


def _record(row: Row) -> GroupRecord:
    return GroupRecord(id=row[0], name=row[1], provider=row[2], subject=row[3], created_at=row[4], updated_at=row[5])


async def find(reader: Reader, name: str) -> GroupRecord | None:
    """Return the group of this name, if there is one."""
    row = await reader.one(_FIND, name=name)
    return None if row is None else _record(row)


async def find_by_id(reader: Reader, group_id: int) -> GroupRecord | None:
    """Return the group of this id, if there is one."""
    row = await reader.one(_FIND_BY_ID, id=group_id)
    return None if row is None else _record(row)


async def by_subjects(reader: Reader, provider: str, subjects: list[str]) -> list[GroupRecord]:
    """Return those groups of a provider that we know, of the names it gave."""
    return [_record(row) for row in await reader.all(_BY_SUBJECTS, provider=provider, subjects=subjects)]


async def page(reader: Reader, selection: Selection) -> Listed[GroupRecord]:
    """Return a page of all groups; `LISTING.fields` says by what they are filtered and sorted.

    Raises:
        FieldUnknown: The selection names another field.
    """
    return (await LISTING.read(reader, selection)).map(_record)


async def add(tx: Transaction, name: str, *, provider: str = LOCAL, subject: str | None = None) -> GroupRecord | None:
    """Add a group; None when there is one of this name.

    Raises:
        ConstraintViolated: The provider's subject is another group already.
    """
    account = await principals.create(tx, principals.GROUP, name, secret=None)
    if account is None:
        return None
    await tx.execute(_ADD, principal_id=account.id, provider=provider, subject=subject)
    return await find_by_id(tx, account.id)
