"""Who is in which group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select

from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.people.groups import GroupRecord
from entrepot.metadata.query import Query
from entrepot.metadata.tables import groups, memberships, principals


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """Somebody who is in a group."""

    id: int
    name: str
    disabled: bool


_ADD = Query(
    lambda d: (
        d.insert(memberships)
        .values(principal_id=bindparam("principal_id"), group_id=bindparam("group_id"))
        .on_conflict_do_nothing()
    ),
    "memberships.add",
)
_REMOVE = Query(
    delete(memberships).where(
        memberships.c.principal_id == bindparam("principal_id"), memberships.c.group_id == bindparam("group_id")
    ),
    "memberships.remove",
)
_GROUPS_OF = Query(
    select(
        principals.c.id,
        principals.c.name,
        groups.c.provider,
        groups.c.subject,
        principals.c.created_at,
        principals.c.updated_at,
    )
    .select_from(
        memberships.join(principals, principals.c.id == memberships.c.group_id).join(
            groups, groups.c.principal_id == memberships.c.group_id
        )
    )
    .where(memberships.c.principal_id == bindparam("principal_id"))
    .order_by(principals.c.name),
    "memberships.groups_of",
)
_IDS = Query(
    select(memberships.c.principal_id)
    .where(memberships.c.group_id == bindparam("group_id"))
    .order_by(memberships.c.principal_id),
    "memberships.ids",
)
_MEMBERS = Listing(
    "memberships",
    select(principals.c.id, principals.c.name, principals.c.disabled)
    .join_from(memberships, principals, principals.c.id == memberships.c.principal_id)
    .where(memberships.c.group_id == bindparam("group_id")),
    {"user_id": Field(column=principals.c.id, kind=Kind.NUMBER), "username": Field(column=principals.c.name)},
    order=(Order("username"),),
    key=principals.c.id,
)
MEMBER_FIELDS = _MEMBERS.fields


def _group(row: Row) -> GroupRecord:
    return GroupRecord(id=row[0], name=row[1], provider=row[2], subject=row[3], created_at=row[4], updated_at=row[5])


async def add(tx: Transaction, principal_id: int, group_id: int) -> bool:
    """Put somebody into a group; False when they are in it."""
    return await tx.execute(_ADD, principal_id=principal_id, group_id=group_id) == 1


async def remove(tx: Transaction, principal_id: int, group_id: int) -> bool:
    """Take somebody out of a group; False when they are not in it."""
    return await tx.execute(_REMOVE, principal_id=principal_id, group_id=group_id) == 1


async def groups_of(reader: Reader, principal_id: int) -> list[GroupRecord]:
    """Return the groups that somebody is in, by name."""
    return [_group(row) for row in await reader.all(_GROUPS_OF, principal_id=principal_id)]


async def ids_of_members(reader: Reader, group_id: int) -> list[int]:
    """Return the accounts that are in a group."""
    return [row[0] for row in await reader.all(_IDS, group_id=group_id)]


async def members(reader: Reader, group_id: int, selection: Selection) -> Listed[GroupMember]:
    """Return a page of a group's members; `MEMBER_FIELDS` says by what they are filtered and sorted.

    Raises:
        FieldUnknown: The selection names another field.
    """
    found = await _MEMBERS.read(reader, selection, group_id=group_id)
    return found.map(lambda row: GroupMember(id=row[0], name=row[1], disabled=bool(row[2])))


async def replace(
    tx: Transaction, principal_id: int, provider: str, group_ids: Iterable[int]
) -> tuple[set[int], set[int]]:
    """Put somebody into exactly these groups of a provider; those of others stay as they are.

    Returns:
        The groups they were put into, and those they were taken out of.
    """
    wanted = set(group_ids)
    have = {group.id for group in await groups_of(tx, principal_id) if group.provider == provider}
    for group_id in wanted - have:
        await add(tx, principal_id, group_id)
    for group_id in have - wanted:
        await remove(tx, principal_id, group_id)
    return wanted - have, have - wanted
