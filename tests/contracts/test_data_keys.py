"""Data keys and sealed columns behave alike on SQLite and PostgreSQL."""

import pytest

from entrepot.metadata import data_keys, sealed, settings
from entrepot.metadata.database import Database
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, metadata)
    return database


async def test_the_newest_key_seals(rows: Database) -> None:
    """Keys are found by id, the last one is the newest, and a key may be wrapped anew."""
    assert await data_keys.newest(rows) is None
    first = await rows.write(lambda tx: data_keys.add(tx, "one", "m1"))
    second = await rows.write(lambda tx: data_keys.add(tx, "two", "m1"))
    assert await data_keys.newest(rows) == second
    await rows.write(lambda tx: data_keys.rewrap(tx, first.id, "anew", "m2"))
    found = await data_keys.find(rows, first.id)
    assert found is not None
    assert (found.wrapped, found.wrapped_by, found.created_at) == ("anew", "m2", first.created_at)
    await rows.write(lambda tx: data_keys.remove(tx, first.id))
    assert await data_keys.find(rows, first.id) is None
    assert await data_keys.list_all(rows) == [second]


async def test_sealed_settings_come_in_pages(rows: Database) -> None:
    """Only sealed texts are listed, in the order of their keys, and replaced only while they are what was read."""
    for key, value in (("b", "sealed:1"), ("a", "sealed:2"), ("c", "plain"), ("d", "sealed:3")):
        await rows.write(lambda tx, key=key, value=value: settings.put(tx, key, value))
    page = await sealed.page(rows, sealed.SETTING, after=sealed.before_first(sealed.SETTING), limit=2)
    assert page == [("a", "sealed:2"), ("b", "sealed:1")]
    assert await sealed.page(rows, sealed.SETTING, after="b", limit=2) == [("d", "sealed:3")]
    assert await rows.write(lambda tx: sealed.replace(tx, sealed.SETTING, "a", old="sealed:2", new="sealed:9"))
    assert not await rows.write(lambda tx: sealed.replace(tx, sealed.SETTING, "a", old="sealed:2", new="sealed:8"))
    assert await settings.find(rows, "a") == "sealed:9"


@pytest.mark.parametrize("place", sealed.PLACES)
async def test_every_place_can_be_read(rows: Database, place: str) -> None:
    """Each listed column takes the key it begins with."""
    assert await sealed.page(rows, place, after=sealed.before_first(place), limit=10) == []
