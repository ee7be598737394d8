"""Robots: accounts of machines, of the registry as a whole or of one project.

A robot is a row of `principals` and one of `robots`; its rights are grants like everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Select, bindparam, cast, delete, func, select, update

from entrepot.metadata import clock, trash_namespaces
from entrepot.metadata.columns import TEXT
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import principals, projects, robots
from entrepot.metadata.trash_namespaces import listed


@dataclass(frozen=True, slots=True)
class RobotRecord:
    """One robot; `project_id` is empty for one of the registry as a whole."""

    id: int
    name: str
    secret: str | None = field(repr=False)
    epoch: int
    disabled: bool
    expires_at: int | None
    created_at: int
    updated_at: int
    project_id: int | None
    project: str | None
    description: str
    duration: int  #: days, -1 for ever
    creator: str  #: label of who made it: `user:alice`
    trust: str | None  #: JSON: which outside tokens speak for it


def _select() -> Select[Any]:
    return select(
        principals.c.id,
        principals.c.name,
        principals.c.secret,
        principals.c.epoch,
        principals.c.disabled,
        principals.c.expires_at,
        principals.c.created_at,
        principals.c.updated_at,
        robots.c.project_id,
        projects.c.name,
        robots.c.description,
        robots.c.duration,
        robots.c.creator,
        robots.c.trust,
    ).select_from(
        robots.join(principals, principals.c.id == robots.c.principal_id).outerjoin(
            projects, projects.c.id == robots.c.project_id
        )
    )


#: What lists of robots can be filtered and sorted by.
FIELDS: Final = {
    "id": Field(column=principals.c.id, kind=Kind.NUMBER),
    "name": Field(column=principals.c.name),
    "description": Field(column=robots.c.description),
    "disable": Field(column=principals.c.disabled, kind=Kind.FLAG),
    "duration": Field(column=robots.c.duration, kind=Kind.NUMBER),
    "creation_time": Field(column=principals.c.created_at, kind=Kind.TIME),
    "update_time": Field(column=principals.c.updated_at, kind=Kind.TIME),
}
_ORDER: Final = (Order("creation_time", descending=True),)
OF_PROJECT: Final = Listing(
    "robots.of_project",
    _select().where(robots.c.project_id == bindparam("project_id")),
    FIELDS,
    order=_ORDER,
    key=principals.c.id,
)
OF_REGISTRY: Final = Listing(
    "robots.of_registry", _select().where(robots.c.project_id.is_(None)), FIELDS, order=_ORDER, key=principals.c.id
)
#: Added to `disabled` while the project is in the trash: then nobody can sign in as one of its robots.
_HIDDEN: Final = 2
_FIND = Query(_select().where(robots.c.principal_id == bindparam("id"), listed(principals.c.name)), "robots.find")
_FIND_NAMED = Query(
    _select().where(principals.c.kind == "robot", principals.c.name == bindparam("name"), listed(principals.c.name)),
    "robots.find_named",
)
_TRUSTING = Query(
    _select()
    .where(robots.c.trust.is_not(None), robots.c.principal_id > bindparam("after"))
    .order_by(robots.c.principal_id)
    .limit(bindparam("limit")),
    "robots.trusting",
)
_ADD = Query(
    lambda d: d.insert(robots).values(
        principal_id=bindparam("principal_id"),
        project_id=bindparam("project_id"),
        description=bindparam("description"),
        duration=bindparam("duration"),
        creator=bindparam("creator"),
        trust=bindparam("trust"),
    ),
    "robots.add",
)
_CHANGE = Query(
    update(robots)
    .where(robots.c.principal_id == bindparam("robot"))
    .values(description=bindparam("new_description"), duration=bindparam("new_duration"), trust=bindparam("new_trust")),
    "robots.change",
)
_COUNT = Query(
    select(func.count()).select_from(robots).where(robots.c.project_id == bindparam("project_id")), "robots.count"
)
_OF = select(robots.c.principal_id).where(robots.c.project_id == bindparam("project_id"))
_HIDE = Query(
    update(principals)
    .where(principals.c.id.in_(_OF), listed(principals.c.name))
    .values(
        name=cast(bindparam("prefix"), TEXT).concat(principals.c.name),
        disabled=principals.c.disabled + _HIDDEN,
        epoch=principals.c.epoch + 1,
        updated_at=bindparam("now"),
    ),
    "robots.hide",
)
_SHOW = Query(
    update(principals)
    .where(principals.c.id.in_(_OF), ~listed(principals.c.name))
    .values(
        name=func.replace(principals.c.name, cast(bindparam("prefix"), TEXT), ""),
        disabled=principals.c.disabled - _HIDDEN,
        updated_at=bindparam("now"),
    ),
    "robots.show",
)
_REMOVE_OF_PROJECT = Query(
    delete(principals).where(
        principals.c.id.in_(select(robots.c.principal_id).where(robots.c.project_id == bindparam("project_id")))
    ),
    "robots.remove_of_project",
)


def _record(row: Row) -> RobotRecord:
    return RobotRecord(*(*row[:4], bool(row[4]), *row[5:]))


async def find(reader: Reader, robot_id: int) -> RobotRecord | None:
    """Return the robot of this id, if there is one."""
    row = await reader.one(_FIND, id=robot_id)
    return None if row is None else _record(row)


async def find_named(reader: Reader, name: str) -> RobotRecord | None:
    """Return the robot of this whole name, if there is one."""
    row = await reader.one(_FIND_NAMED, name=name)
    return None if row is None else _record(row)


async def trusting(reader: Reader, *, after: int, limit: int) -> list[RobotRecord]:
    """Return robots for which outside tokens speak, by id from the one after `after`, up to `limit`."""
    return [_record(row) for row in await reader.all(_TRUSTING, after=after, limit=limit)]


async def page(reader: Reader, project_id: int | None, selection: Selection) -> Listed[RobotRecord]:
    """Return a page of the robots of one project, or (None) of the registry as a whole; the newest first.

    Raises:
        FieldUnknown: The selection names none of `FIELDS`.
    """
    if project_id is None:
        found = await OF_REGISTRY.read(reader, selection)
    else:
        found = await OF_PROJECT.read(reader, selection, project_id=project_id)
    return found.map(_record)


async def count(reader: Reader, project_id: int) -> int:
    """Count the robots of a project."""
    row = await reader.one(_COUNT, project_id=project_id)
    return 0 if row is None else int(row[0])


async def add(
    tx: Transaction,
    principal_id: int,
    *,
    project_id: int | None,
    description: str,
    duration: int,
    creator: str,
    trust: str | None = None,
) -> None:
    """Make an account of kind robot one of a project, or of the registry."""
    await tx.execute(
        _ADD,
        principal_id=principal_id,
        project_id=project_id,
        description=description,
        duration=duration,
        creator=creator,
        trust=trust,
    )


async def change(tx: Transaction, robot_id: int, *, description: str, duration: int, trust: str | None) -> bool:
    """Change what is known of a robot; False when there is none of this id."""
    changed = await tx.execute(
        _CHANGE, robot=robot_id, new_description=description, new_duration=duration, new_trust=trust
    )
    return changed == 1


async def remove_of_project(tx: Transaction, project_id: int) -> None:
    """Remove a project's robots, before the project goes: its row alone would leave their accounts behind."""
    await tx.execute(_REMOVE_OF_PROJECT, project_id=project_id)


async def hide_of_project(tx: Transaction, project_id: int) -> None:
    """Take a project's robots out of use, with all that they opened; they keep their secrets and rights."""
    await tx.execute(_HIDE, project_id=project_id, prefix=_hidden(project_id), now=clock.now())


async def show_of_project(tx: Transaction, project_id: int) -> None:
    """Take back `hide_of_project`.

    Raises:
        ConstraintViolated: There is a robot of one of their names.
    """
    await tx.execute(_SHOW, project_id=project_id, prefix=_hidden(project_id), now=clock.now())


def _hidden(project_id: int) -> str:
    return f"{trash_namespaces.of_whole(project_id)}/"


def end_of(created_at: int, duration: int) -> int | None:
    """Return when a robot of so many days ends (microseconds since the epoch); None for one without an end."""
    return None if duration < 0 else created_at + duration * 24 * 3600 * clock.MICROSECONDS
