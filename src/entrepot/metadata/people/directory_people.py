"""People and groups of a directory, many at a time: what a synchronisation compares with what the directory says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, select, union

from entrepot.metadata.database import Reader, Row
from entrepot.metadata.people import principals
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import api_keys, grants, groups, memberships, users
from entrepot.metadata.tables import principals as accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPerson:
    """An account, as far as a directory has a say in it."""

    id: int
    name: str
    provider: str | None  #: None for accounts of whom nothing is known but the name
    subject: str | None
    email: str | None
    realname: str
    comment: str
    epoch: int
    disabled: bool
    expires_at: int | None
    created_at: int


def _select(*, all_accounts: bool = False) -> Select[Any]:
    return select(
        accounts.c.id,
        accounts.c.name,
        users.c.provider,
        users.c.subject,
        users.c.email,
        users.c.realname,
        users.c.comment,
        accounts.c.epoch,
        accounts.c.disabled,
        accounts.c.expires_at,
        accounts.c.created_at,
    ).select_from(accounts.join(users, users.c.principal_id == accounts.c.id, isouter=all_accounts))


_BY_SUBJECTS = Query(
    _select().where(users.c.provider == bindparam("provider"), in_list(users.c.subject, "subjects")),
    "directory_people.by_subjects",
)
_BY_NAMES = Query(
    _select(all_accounts=True).where(accounts.c.kind == principals.USER, in_list(accounts.c.name, "names")),
    "directory_people.by_names",
)
_AFTER = Query(
    _select()
    .where(users.c.provider == bindparam("provider"), users.c.subject > bindparam("after"))
    .order_by(users.c.subject)
    .limit(bindparam("most")),
    "directory_people.after",
)
_GROUPS = Query(
    select(memberships.c.principal_id, groups.c.subject)
    .join_from(memberships, groups, groups.c.principal_id == memberships.c.group_id)
    .where(in_list(memberships.c.principal_id, "people"), groups.c.provider == bindparam("provider")),
    "directory_people.groups",
)
_ADMINS = Query(
    select(grants.c.principal_id).where(
        in_list(grants.c.principal_id, "people"), grants.c.origin == bindparam("origin")
    ),
    "directory_people.admins",
)
#: Accounts that have something which the directory did not give: rights, other groups, keys.
_ROOTED = Query(
    union(
        select(grants.c.principal_id).where(
            in_list(grants.c.principal_id, "people"), grants.c.origin != bindparam("provider")
        ),
        select(memberships.c.principal_id)
        .join_from(memberships, groups, groups.c.principal_id == memberships.c.group_id)
        .where(in_list(memberships.c.principal_id, "people"), groups.c.provider != bindparam("provider")),
        select(api_keys.c.principal_id).where(in_list(api_keys.c.principal_id, "people")),
    ),
    "directory_people.rooted",
)


def _record(row: Row) -> KnownPerson:
    return KnownPerson(
        id=row[0],
        name=row[1],
        provider=row[2],
        subject=row[3],
        email=row[4],
        realname=row[5] or "",
        comment=row[6] or "",
        epoch=row[7],
        disabled=bool(row[8]),
        expires_at=row[9],
        created_at=row[10],
    )


async def by_subjects(reader: Reader, provider: str, subjects: Iterable[str]) -> list[KnownPerson]:
    """Return the people of a provider whom it knows by one of these names of its own."""
    rows = await reader.all(_BY_SUBJECTS, provider=provider, subjects=list(subjects))
    return [_record(row) for row in rows]


async def by_names(reader: Reader, names: Iterable[str]) -> list[KnownPerson]:
    """Return the people, of any provider, whose accounts have one of these names."""
    return [_record(row) for row in await reader.all(_BY_NAMES, names=list(names))]


async def after(reader: Reader, provider: str, subject: str, *, limit: int) -> list[KnownPerson]:
    """Return a page of a provider's people, in the order of its names for them."""
    return [_record(row) for row in await reader.all(_AFTER, provider=provider, after=subject, most=limit)]


async def groups_of(reader: Reader, provider: str, people: Iterable[int]) -> Mapping[int, frozenset[str]]:
    """Return for each account the groups of a provider that it is in, by the provider's names for them."""
    found: dict[int, set[str]] = {}
    for person, subject in await reader.all(_GROUPS, provider=provider, people=list(people)):
        found.setdefault(person, set()).add(subject)
    return {person: frozenset(subjects) for person, subjects in found.items()}


async def admins(reader: Reader, origin: str, people: Iterable[int]) -> frozenset[int]:
    """Return those accounts that have a grant of an origin."""
    return frozenset(row[0] for row in await reader.all(_ADMINS, origin=origin, people=list(people)))


async def rooted(reader: Reader, provider: str, people: Iterable[int]) -> frozenset[int]:
    """Return those accounts that have rights, groups or keys which the provider did not give."""
    wanted = list(people)
    if not wanted:
        return frozenset()
    return frozenset(row[0] for row in await reader.all(_ROOTED, provider=provider, people=wanted))
