"""Sessions of browsers behave alike on SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from entrepot.metadata.database import Database
from entrepot.metadata.people import web_sessions
from entrepot.metadata.people.web_sessions import WebSessionRecord
from entrepot.metadata.work_tables import work_metadata
from tests.support.databases import create_all

SESSION = WebSessionRecord("h1", 1, 3, "token", "oidc:corp", "sid-1", "192.0.2.1", "Browser", 1000, 1000)


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, work_metadata)
    return database


async def add(rows: Database, session: WebSessionRecord, *, keep: int = 10, idle_since: int = 0) -> None:
    """Add a session."""
    await rows.write(lambda tx: web_sessions.add(tx, session, keep=keep, idle_since=idle_since))


async def hashes(rows: Database, principal_id: int = 1, *, seen_after: int = 0, created_after: int = 0) -> list[str]:
    """Return the hashes of an account's sessions."""
    found = await web_sessions.of_principal(rows, principal_id, seen_after=seen_after, created_after=created_after)
    return [record.hash for record in found]


async def test_a_session_is_found_as_it_was_added(rows: Database) -> None:
    """Every column comes back, an empty provider's session too, and a use moves one time only forwards."""
    await add(rows, SESSION)
    await add(rows, replace(SESSION, hash="h2", provider_session=None))
    assert await web_sessions.find(rows, "h1") == SESSION
    assert await web_sessions.find(rows, "h2") == replace(SESSION, hash="h2", provider_session=None)
    assert await web_sessions.find(rows, "h3") is None
    for at in (2000, 1500):
        await rows.write(lambda tx, at=at: web_sessions.touch(tx, "h1", at))
    assert await web_sessions.find(rows, "h1") == replace(SESSION, seen_at=2000)
    assert SESSION.hash not in repr(SESSION)
    assert SESSION.csrf not in repr(SESSION)


async def test_lists_are_of_one_account_and_of_what_counts(rows: Database) -> None:
    """Newest first, without idle ones and without those that are too old."""
    for number in range(4):
        await add(rows, replace(SESSION, hash=f"h{number}", created_at=1000 + number, seen_at=5000 - number))
    await add(rows, replace(SESSION, hash="other", principal_id=2))
    assert await hashes(rows) == ["h3", "h2", "h1", "h0"]
    assert await hashes(rows, seen_after=4998) == ["h1", "h0"]
    assert await hashes(rows, created_after=1001) == ["h3", "h2"]
    assert await hashes(rows, 2) == ["other"]


async def test_adding_removes_idle_ones_and_those_beyond_the_limit(rows: Database) -> None:
    """Idle sessions of everybody go, and of the account's own the longest unused."""
    await add(rows, replace(SESSION, hash="idle", principal_id=2, seen_at=10))
    for number in range(5):
        await add(rows, replace(SESSION, hash=f"h{number}", seen_at=1000 + number), keep=3, idle_since=10)
    assert sorted(await hashes(rows)) == ["h2", "h3", "h4"]
    assert await hashes(rows, 2) == []


async def test_sessions_end_one_by_one_and_together(rows: Database) -> None:
    """One by its hash, and all but one of an account."""
    for number in range(5):
        await add(rows, replace(SESSION, hash=f"h{number}"))
    assert await rows.write(lambda tx: web_sessions.remove(tx, "h0"))
    assert not await rows.write(lambda tx: web_sessions.remove(tx, "h0"))
    assert await rows.write(lambda tx: web_sessions.remove_others(tx, 1, "h3")) == 3
    assert await hashes(rows) == ["h3"]
