"""Rules that keep tags where they are, as rows; what the selectors mean, `lifecycle` knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, func, select, update

from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import immutable_rules


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """One rule; the selectors are JSON lists."""

    id: int
    project_id: int
    priority: int
    disabled: bool
    tag_selectors: str
    repository_selectors: str


_R = immutable_rules.c
_COLUMNS = (_R.id, _R.project_id, _R.priority, _R.disabled, _R.tag_selectors, _R.repository_selectors)
_IN = _R.project_id == bindparam("project")
FIELDS: Final = {
    "id": Field(_R.id, Kind.NUMBER),
    "priority": Field(_R.priority, Kind.NUMBER),
    "disabled": Field(_R.disabled, Kind.FLAG),
}
OF_PROJECT: Final = Listing(
    "immutable_rules.of_project", select(*_COLUMNS).where(_IN), FIELDS, order=(Order("id"),), key=_R.id
)
_IN_FORCE: Final = Query(
    select(_R.id, _R.tag_selectors, _R.repository_selectors).where(_IN, _R.disabled == 0).order_by(_R.id),
    "immutable_rules.in_force",
)
_FIND: Final = Query(select(*_COLUMNS).where(_R.id == bindparam("id"), _IN), "immutable_rules.find")
_LIKE: Final = Query(
    select(_R.id).where(
        _IN,
        _R.tag_selectors == bindparam("tag_texts"),
        _R.repository_selectors == bindparam("repository_texts"),
    ),
    "immutable_rules.like",
)
_COUNT: Final = Query(select(func.count()).select_from(immutable_rules).where(_IN), "immutable_rules.count")
_ADD: Final = Query(
    lambda d: (
        d.insert(immutable_rules)
        .values(
            project_id=bindparam("project_id"),
            priority=bindparam("priority"),
            disabled=bindparam("disabled"),
            tag_selectors=bindparam("tag_selectors"),
            repository_selectors=bindparam("repository_selectors"),
        )
        .returning(_R.id)
    ),
    "immutable_rules.add",
)
_CHANGE: Final = Query(
    update(immutable_rules)
    .where(_R.id == bindparam("rule"))
    .values(
        priority=bindparam("new_priority"),
        disabled=bindparam("new_disabled"),
        tag_selectors=bindparam("new_tag_selectors"),
        repository_selectors=bindparam("new_repository_selectors"),
    ),
    "immutable_rules.change",
)
_REMOVE: Final = Query(delete(immutable_rules).where(_R.id == bindparam("rule")), "immutable_rules.remove")


def _record(row: Row) -> RuleRecord:
    return RuleRecord(*(*row[:3], bool(row[3]), *row[4:]))


async def page(reader: Reader, project_id: int, selection: Selection) -> Listed[RuleRecord]:
    """Return a page of a project's rules."""
    return (await OF_PROJECT.read(reader, selection, project=project_id)).map(_record)


async def in_force(reader: Reader, project_id: int) -> list[tuple[int, str, str]]:
    """Return id, tag selectors and repository selectors of those that count, oldest first."""
    return [(row[0], row[1], row[2]) for row in await reader.all(_IN_FORCE, project=project_id)]


async def find(reader: Reader, project_id: int, rule_id: int) -> RuleRecord | None:
    """Return a rule of a project."""
    row = await reader.one(_FIND, id=rule_id, project=project_id)
    return None if row is None else _record(row)


async def like(reader: Reader, project_id: int, *, tag_selectors: str, repository_selectors: str) -> int | None:
    """Return the id of a rule that says the same."""
    row = await reader.one(_LIKE, project=project_id, tag_texts=tag_selectors, repository_texts=repository_selectors)
    return None if row is None else int(row[0])


async def count(reader: Reader, project_id: int) -> int:
    """Count the rules of a project."""
    row = await reader.one(_COUNT, project=project_id)
    return 0 if row is None else int(row[0])


async def add(
    tx: Transaction, project_id: int, *, priority: int, disabled: bool, tag_selectors: str, repository_selectors: str
) -> int:
    """Add a rule; return its id."""
    row = await tx.one(
        _ADD,
        project_id=project_id,
        priority=priority,
        disabled=int(disabled),
        tag_selectors=tag_selectors,
        repository_selectors=repository_selectors,
    )
    assert row is not None
    return int(row[0])


async def change(
    tx: Transaction, rule_id: int, *, priority: int, disabled: bool, tag_selectors: str, repository_selectors: str
) -> bool:
    """Change a rule; False when there is none of this id."""
    changed = await tx.execute(
        _CHANGE,
        rule=rule_id,
        new_priority=priority,
        new_disabled=int(disabled),
        new_tag_selectors=tag_selectors,
        new_repository_selectors=repository_selectors,
    )
    return changed == 1


async def remove(tx: Transaction, rule_id: int) -> bool:
    """Remove a rule; False when there is none of this id."""
    return await tx.execute(_REMOVE, rule=rule_id) == 1
