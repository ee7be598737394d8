"""Values that lists are narrowed by stay values on both databases, whatever they say."""

from __future__ import annotations

import pytest

from entrepot.metadata.contents import labels, project_lists, projects, repository_lists
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.filtering import Condition, FieldUnknown, Kind, Listing, Match, Order, Selection
from entrepot.metadata.people import groups, members, robots, users
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all
from tests.support.injections import PAYLOADS, SECRET_FIELDS

LISTS: dict[str, Listing] = {
    "users": users.LISTING,
    "groups": groups.LISTING,
    "projects": project_lists.ALL,
    "repositories": repository_lists.ALL,
    "labels": labels.OF_ALL,
    "grants": members.GRANTS,
    "robots": robots.OF_REGISTRY,
}


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give a database with an account and a project."""
    await create_all(database, metadata)

    async def fill(tx: Transaction) -> None:
        await users.add(tx, "alice", secret="$argon2id$canary")
        await projects.ensure(tx, "demo")

    await database.write(fill)
    return database


@pytest.mark.parametrize("name", LISTS)
async def test_cve_2019_19026_values_stay_values(rows: Database, name: str) -> None:
    """No payload matches a row, fails or shows what the list does not; the rows are all there afterwards."""
    listing = LISTS[name]
    everything = await listing.read(rows, Selection())
    for field in [key for key, known in listing.fields.items() if known.kind is Kind.TEXT]:
        for payload in PAYLOADS:
            for match, values in (
                (Match.EQUAL, (payload,)),
                (Match.ANY, (payload, "x")),
                (Match.RANGE, (payload, None)),
            ):
                condition = Condition(field=field, match=match, values=values)
                found = await listing.read(rows, Selection(conditions=(condition,)))
                assert "canary" not in str(found), (field, payload)
                assert match is Match.RANGE or found.items == [], (field, match, payload)
    assert await listing.read(rows, Selection()) == everything


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("field", SECRET_FIELDS)
async def test_cve_2025_30086_a_list_has_the_fields_that_it_shows(rows: Database, name: str, field: str) -> None:
    """Whatever the edge lets through: a field that is not on the list is not known to it."""
    condition = Condition(field=field, match=Match.CONTAINS, values=("a",))
    for selection in (Selection(conditions=(condition,)), Selection(order=(Order(field),))):
        with pytest.raises(FieldUnknown):
            await LISTS[name].read(rows, selection)
