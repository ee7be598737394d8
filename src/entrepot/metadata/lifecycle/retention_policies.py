"""Which tags projects keep, as rows; what the rules mean, `lifecycle.retention` knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import retention_policies


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One policy; `rules` is a JSON list, `trigger` Harbor's word for when it runs."""

    id: int
    project_id: int
    rules: str
    trigger: str
    created_at: int
    updated_at: int


_P = retention_policies.c
_COLUMNS = (_P.id, _P.project_id, _P.rules, _P.trigger, _P.created_at, _P.updated_at)
_FIND: Final = Query(select(*_COLUMNS).where(_P.id == bindparam("id")), "retention_policies.find")
_OF_PROJECT: Final = Query(
    select(*_COLUMNS).where(_P.project_id == bindparam("project")), "retention_policies.of_project"
)
_AFTER: Final = Query(
    select(*_COLUMNS).where(_P.id > bindparam("last")).order_by(_P.id).limit(bindparam("limit")),
    "retention_policies.after",
)
_ADD: Final = Query(
    lambda d: (
        d.insert(retention_policies)
        .values(
            project_id=bindparam("project_id"),
            rules=bindparam("rules"),
            trigger=bindparam("trigger"),
            created_at=bindparam("now"),
            updated_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
        .returning(_P.id)
    ),
    "retention_policies.add",
)
_CHANGE: Final = Query(
    update(retention_policies)
    .where(_P.id == bindparam("policy"))
    .values(rules=bindparam("new_rules"), trigger=bindparam("new_trigger"), updated_at=bindparam("now")),
    "retention_policies.change",
)
_REMOVE: Final = Query(delete(retention_policies).where(_P.id == bindparam("policy")), "retention_policies.remove")


def _record(row: Row) -> PolicyRecord:
    return PolicyRecord(*row)


async def find(reader: Reader, policy_id: int) -> PolicyRecord | None:
    """Return a policy."""
    row = await reader.one(_FIND, id=policy_id)
    return None if row is None else _record(row)


async def of_project(reader: Reader, project_id: int) -> PolicyRecord | None:
    """Return the policy of a project."""
    row = await reader.one(_OF_PROJECT, project=project_id)
    return None if row is None else _record(row)


async def after(reader: Reader, last: int, *, limit: int) -> list[PolicyRecord]:
    """Return policies in the order of their numbers, after one."""
    return [_record(row) for row in await reader.all(_AFTER, last=last, limit=limit)]


async def add(tx: Transaction, project_id: int, *, rules: str, trigger: str) -> int | None:
    """Add a policy and return its number; None when the project has one."""
    row = await tx.one(_ADD, project_id=project_id, rules=rules, trigger=trigger, now=clock.now())
    return None if row is None else int(row[0])


async def change(tx: Transaction, policy_id: int, *, rules: str, trigger: str) -> bool:
    """Change a policy; False when there is none of this number."""
    return await tx.execute(_CHANGE, policy=policy_id, new_rules=rules, new_trigger=trigger, now=clock.now()) == 1


async def remove(tx: Transaction, policy_id: int) -> bool:
    """Remove a policy; False when there is none of this number."""
    return await tx.execute(_REMOVE, policy=policy_id) == 1
