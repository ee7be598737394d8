"""Pages of the catalog for somebody with very many projects, on SQLite and PostgreSQL."""

from __future__ import annotations

import random

from sqlalchemy import bindparam

from entrepot.metadata import tables
from entrepot.metadata.contents import catalog, projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.query import Query
from entrepot.oci.reference import DEFAULT_PROJECT, sort_key
from tests.support.databases import create_all

_ADD = Query(
    lambda d: d.insert(tables.repositories).values(
        project_id=bindparam("project_id"),
        name=bindparam("name"),
        sort_key=bindparam("sort_key"),
        adopted=0,
        created_at=0,
    ),
    "test.add_to_catalog",
)


def made_up(chance: random.Random) -> dict[str, list[str]]:
    """Make up repositories of projects, many of which have none; those of the default project stand everywhere."""
    names = {"".join(chance.choices("abc-z", k=chance.randrange(2, 8))).strip("-") for _ in range(700)} - {""}
    found = {name: [f"{name}/{part}" for part in "xyz"[: chance.choice((0, 0, 1, 3))]] for name in names}
    found[DEFAULT_PROJECT] = [*chance.sample(sorted(names), 20), f"{DEFAULT_PROJECT}/x", "zzzzzzz"]
    return found


async def test_pages_of_very_many_projects_follow_each_other(database: Database) -> None:
    """Whatever the size of the page, all of the wanted projects' names come once, in their order, and no other."""
    chance = random.Random(5)
    repositories = made_up(chance)

    async def fill(tx: Transaction) -> None:
        for name, own in repositories.items():
            project = await projects.ensure(tx, name)
            await tx.many(_ADD, [{"project_id": project.id, "name": n, "sort_key": sort_key(n)} for n in own])

    await create_all(database, tables.metadata)
    await database.write(fill)
    for wanted in (list(repositories), chance.sample(sorted(repositories), 300), ["absent"]):
        expected = sorted((name for project in wanted for name in repositories.get(project, ())), key=sort_key)
        for limit in (7, 1000):
            found: list[str] = []
            while page := await catalog.names(database, limit=limit, last=found[-1] if found else "", projects=wanted):
                found += page
            assert found == expected
