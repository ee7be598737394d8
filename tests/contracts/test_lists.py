"""Lists that people filter, sort and page through behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import bindparam, exists, select

from entrepot.metadata.contents import (
    kept_sums,
    labels,
    project_lists,
    project_metadata,
    projects,
    repositories,
    statistics,
)
from entrepot.metadata.contents.statistics import Figures
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.filtering import (
    Condition,
    Field,
    FieldUnknown,
    Kind,
    Listing,
    Match,
    Order,
    Selection,
    Value,
)
from entrepot.metadata.query import Query
from entrepot.metadata.tables import metadata
from entrepot.metadata.tables import projects as project_table
from entrepot.metadata.tables import repositories as repository_table
from tests.support.databases import create_all

_NAMES = ("Alpha", "a_b", "a%b", "beta", "axb", "gamma")
_LISTING = Listing(
    "test.projects",
    select(project_table.c.id, project_table.c.name).where(project_table.c.public == bindparam("shown")),
    {
        "id": Field(project_table.c.id, Kind.NUMBER),
        "name": Field(project_table.c.name),
        "repository": Field(
            repository_table.c.name,
            within=lambda found: exists(select(1).where(repository_table.c.project_id == project_table.c.id, found)),
        ),
    },
    order=(Order("name"),),
    key=project_table.c.id,
)


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give a database with a few projects, two of them with repositories."""
    await create_all(database, metadata)

    async def fill(tx: Transaction) -> None:
        for name in _NAMES:
            await projects.ensure(tx, name)
        beta, gamma = await projects.ensure(tx, "beta"), await projects.ensure(tx, "gamma")
        for name, project in (("beta/x", beta), ("beta/y", beta), ("gamma/x", gamma)):
            await repositories.create(tx, name, project.id)

    await database.write(fill)
    return database


def asked(match: Match, *values: Value, field: str = "name") -> Selection:
    """Ask for one condition."""
    return Selection(conditions=(Condition(field=field, match=match, values=values),))


async def names(database: Database, selection: Selection) -> list[str]:
    """Return the names of a page."""
    return [row[1] for row in (await _LISTING.read(database, selection, shown=0)).items]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(), ["Alpha", "a%b", "a_b", "axb", "beta", "gamma"]),
        (asked(Match.EQUAL, "beta"), ["beta"]),
        (asked(Match.EQUAL, "BETA"), []),
        (asked(Match.CONTAINS, "ALPH"), ["Alpha"]),
        (asked(Match.CONTAINS, "_"), ["a_b"]),
        (asked(Match.CONTAINS, "%"), ["a%b"]),
        (asked(Match.CONTAINS, "\\"), []),
        (asked(Match.RANGE, "a", "b"), ["a%b", "a_b", "axb"]),
        (asked(Match.RANGE, "b", None), ["beta", "gamma"]),
        (asked(Match.RANGE, None, "a"), ["Alpha"]),
        (asked(Match.ANY, "beta", "gamma", "none"), ["beta", "gamma"]),
        (asked(Match.ALL, "beta"), ["beta"]),
        (asked(Match.ALL, "beta", "gamma"), []),
        (asked(Match.RANGE, 2, 3, field="id"), ["a%b", "a_b"]),
        (asked(Match.ANY, 1, 4, field="id"), ["Alpha", "beta"]),
        (asked(Match.EQUAL, "gamma/x", field="repository"), ["gamma"]),
        (asked(Match.ANY, "beta/x", "gamma/x", field="repository"), ["beta", "gamma"]),
        (asked(Match.ALL, "beta/x", "beta/y", field="repository"), ["beta"]),
        (asked(Match.CONTAINS, "/X", field="repository"), ["beta", "gamma"]),
        (Selection(order=(Order("id", descending=True),), limit=2), ["gamma", "axb"]),
        (Selection(limit=2, offset=4), ["beta", "gamma"]),
        (Selection(limit=2, offset=40), []),
    ],
)
async def test_each_kind_of_condition(rows: Database, selection: Selection, found: list[str]) -> None:
    """Equal, contains, range, any and all, on a column and on those of another table."""
    assert await names(rows, selection) == found


async def test_a_page_knows_how_many_there_are(rows: Database) -> None:
    """The total is that of all pages, also on pages behind the end."""
    totals = [
        (await _LISTING.read(rows, Selection(limit=limit, offset=offset), shown=0)).total
        for limit, offset in ((10, 0), (6, 0), (2, 0), (2, 4), (2, 40))
    ]
    assert totals == [6, 6, 6, 6, 6]
    assert (await _LISTING.read(rows, Selection(limit=1), shown=1)).total == 0
    # Who does not want to know is told of what was read.
    assert (await _LISTING.read(rows, Selection(limit=2, counted=False), shown=0)).total == 2


@pytest.mark.parametrize(
    "selection",
    [
        asked(Match.EQUAL, "x", field="secret"),
        Selection(order=(Order("secret"),)),
        Selection(order=(Order("repository"),)),
    ],
)
async def test_only_its_own_fields(rows: Database, selection: Selection) -> None:
    """A field that the list does not offer is refused."""
    with pytest.raises(FieldUnknown):
        await _LISTING.read(rows, selection, shown=0)


def test_statements_are_built_once_for_a_shape() -> None:
    """Other values use the same statement; shapes that nobody asks for any more are forgotten."""
    first = _LISTING.queries(asked(Match.CONTAINS, "a"))
    assert _LISTING.queries(asked(Match.CONTAINS, "b")) is first
    assert _LISTING.queries(asked(Match.ANY, "b")) is not first
    for length in range(2, 300):
        _LISTING.queries(asked(Match.ALL, *("x" for _ in range(length))))
    assert len(_LISTING._queries) < 300
    assert _LISTING.queries(asked(Match.CONTAINS, "c")) is not first


async def test_projects_are_listed_for_who_may_see_them(rows: Database) -> None:
    """Named ones, public ones, internal ones: each only where it is asked for."""
    await rows.write(lambda tx: projects.set_visibility(tx, "beta", public=True, internal=False))
    await rows.write(lambda tx: projects.set_visibility(tx, "gamma", public=False, internal=True))

    async def seen(*named: str, public: bool, internal: bool) -> list[str]:
        found = await project_lists.visible(rows, Selection(), names=named, public=public, internal=internal)
        assert found.total == len(found.items)
        return [entry.project.name for entry in found.items]

    assert await seen("axb", public=False, internal=False) == ["axb"]
    assert await seen("axb", "beta", public=True, internal=False) == ["axb", "beta"]
    assert await seen(public=True, internal=True) == ["beta", "gamma"]
    assert await seen(public=False, internal=False) == []
    assert (await project_lists.every(rows, Selection(limit=1))).total == 6
    assert await project_lists.repository_counts(rows, [4, 6, 99]) == {4: 2, 6: 1, 99: 0}
    assert await project_lists.first_repository(rows, 4) == "beta/x"
    assert await project_lists.find(rows, 99) is None


async def test_settings_of_projects(rows: Database) -> None:
    """They are put, replaced and removed, each project's for itself."""
    await rows.write(lambda tx: project_metadata.put(tx, 1, {"a": "1", "b": "2"}))
    await rows.write(lambda tx: project_metadata.put(tx, 1, {"a": "3"}))
    await rows.write(lambda tx: project_metadata.put(tx, 2, {"a": "4"}))
    assert await rows.write(lambda tx: project_metadata.remove(tx, 1, "b"))
    assert not await rows.write(lambda tx: project_metadata.remove(tx, 1, "b"))
    assert await project_metadata.of_projects(rows, [1, 2, 3]) == {1: {"a": "3"}, 2: {"a": "4"}, 3: {}}


async def test_labels_of_a_project_and_of_all(rows: Database) -> None:
    """They are kept apart, also where names are the same; they go with their project."""
    made = await rows.write(lambda tx: labels.add(tx, 1, name="x", description="d", color="#fff"))
    for_all = await rows.write(lambda tx: labels.add(tx, None, name="x", description="", color=""))
    assert [label.id for label in (await labels.page(rows, 1, Selection())).items] == [made]
    assert [label.id for label in (await labels.page(rows, None, Selection())).items] == [for_all]
    found = await labels.named(rows, 1, "x")
    assert found is not None
    assert (found.id, found.description, found.color) == (made, "d", "#fff")
    assert await labels.named(rows, 2, "x") is None
    assert await rows.write(lambda tx: labels.change(tx, made, name="y", description="", color=""))
    assert await labels.named(rows, 1, "x") is None
    assert await rows.write(lambda tx: projects.remove(tx, 1))
    assert await labels.find(rows, made) is None
    assert await rows.write(lambda tx: labels.remove(tx, for_all))
    assert not await rows.write(lambda tx: labels.remove(tx, for_all))


async def test_figures(rows: Database) -> None:
    """Projects and repositories are counted, all of them or some."""
    await rows.write(lambda tx: projects.set_visibility(tx, "beta", public=True, internal=False))
    assert await statistics.total(rows) == Figures(6, 3)
    assert await statistics.public(rows) == Figures(1, 2)
    assert await statistics.named(rows, ["beta", "gamma", "none"]) == Figures(1, 1)
    assert await kept_sums.stored_bytes(rows) == 0


_MANY = 100_000
_ADD = Query(lambda d: d.insert(project_table).values(name=bindparam("name"), created_at=0), "test.add_project")


async def test_ones_own_projects_are_found_among_very_many(rows: Database) -> None:
    """A page of one's own few costs as much as they are, not as all projects are."""
    many = [{"name": f"p{number:06}"} for number in range(_MANY)]
    await rows.write(lambda tx: tx.many(_ADD, many))
    times = []
    for _ in range(3):
        started = time.perf_counter()
        found = await project_lists.visible(
            rows, Selection(limit=2), names=["p000007", "p099999", "beta"], public=True, internal=True
        )
        times.append(time.perf_counter() - started)
        assert [entry.project.name for entry in found.items] == ["beta", "p000007"]
        assert found.total == 3
    assert min(times) < 0.02
