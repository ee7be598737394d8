"""Accounts, grants and refresh tokens behave alike on SQLite and PostgreSQL."""

import asyncio

import pytest

from entrepot.access.admin_account import NAME, ensure_admin
from entrepot.access.compatibility import ensure_compatibility
from entrepot.access.model import Audience
from entrepot.access.roles import ensure_roles
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import grants, principals, refresh_tokens
from entrepot.metadata.people.principals import PrincipalRecord
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all
from tests.support.rows import all_grants


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, metadata)
    await ensure_roles(database)
    return database


async def make(database: Database, name: str = "alice") -> PrincipalRecord:
    """Make an account."""
    record = await database.write(lambda tx: principals.create(tx, principals.USER, name, secret="hash"))
    assert record is not None
    return record


async def test_an_account_is_made_once(rows: Database) -> None:
    """The second of two with one kind and name changes nothing; another kind is another account."""
    alice = await make(rows)
    assert not await rows.write(lambda tx: principals.create(tx, principals.USER, "alice", secret="other"))
    assert await principals.find(rows, principals.USER, "alice") == alice
    assert (alice.secret, alice.epoch, alice.disabled) == ("hash", 0, False)
    assert await rows.write(lambda tx: principals.create(tx, "robot", "alice", secret=None))
    assert await principals.find_by_id(rows, alice.id) == alice


async def test_workers_that_start_at_once_make_roles_and_grants_once(database: Database) -> None:
    """On an empty database each finds nothing, and none is refused by what another writes at that moment."""
    await create_all(database, metadata)
    await asyncio.gather(*(ensure_roles(database) for _ in range(8)))
    await asyncio.gather(*(ensure_compatibility(database, Audience.ANYONE) for _ in range(8)))
    assert len([grant for grant in await all_grants(database) if grant.audience]) == 1


async def test_names_compare_bytewise(rows: Database) -> None:
    """`Alice` is not `alice`."""
    await make(rows)
    assert await principals.find(rows, principals.USER, "Alice") is None
    assert await principals.find(rows, principals.USER, "alice ") is None


async def test_every_change_grows_the_epoch(rows: Database) -> None:
    """A new secret, closing and reopening each end what was verified before."""
    alice = await make(rows)
    await rows.write(lambda tx: principals.set_secret(tx, alice.id, "new"))
    await rows.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=True))
    now = await principals.find_by_id(rows, alice.id)
    assert now is not None
    assert (now.secret, now.epoch, now.disabled) == ("new", 2, True)
    await rows.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=False))
    now = await principals.find_by_id(rows, alice.id)
    assert now is not None
    assert (now.epoch, now.disabled) == (3, False)


async def test_grants_of_one_account_and_of_audiences(rows: Database) -> None:
    """An account sees its own grants and those to audiences, nobody's else; the anonymous the latter only."""
    alice, bob = await make(rows), await make(rows, "bob")
    for fields in ({"principal_id": alice.id}, {"principal_id": bob.id}, {"audience": "anyone"}):
        await rows.write(
            lambda tx, fields=fields: grants.add(tx, permissions=["repository:pull"], origin="test", **fields)
        )
    seen = [(g.principal_id, g.audience) for g in await grants.list_for(rows, alice.id)]
    assert seen == [(alice.id, None), (None, "anyone")]
    assert [g.audience for g in await grants.list_for(rows, None)] == ["anyone"]
    everything = await all_grants(rows)
    assert len(everything) == 3
    assert await rows.write(lambda tx: grants.remove(tx, everything[0].id))
    assert not await rows.write(lambda tx: grants.remove(tx, everything[0].id))
    await rows.write(lambda tx: grants.remove_from(tx, "test"))
    assert await all_grants(rows) == []


async def test_refresh_tokens(rows: Database) -> None:
    """Tokens are found until they expire; an account keeps its newest, and others lose none."""
    alice, bob = await make(rows), await make(rows, "bob")

    async def add(name: str, owner: PrincipalRecord, seconds: float = 60) -> None:
        await rows.write(
            lambda tx: refresh_tokens.add(
                tx,
                name,
                principal_id=owner.id,
                subject=owner.name,
                service="s",
                expires_at=clock.after(seconds),
                keep=3,
            )
        )

    await add("bobs", bob)
    await add("gone", alice, -1)
    assert await refresh_tokens.find(rows, "gone") is None
    for number in range(5):
        await add(f"token{number}", alice)
    found = [number for number in range(5) if await refresh_tokens.find(rows, f"token{number}")]
    assert found == [2, 3, 4]
    record = await refresh_tokens.find(rows, "bobs")
    assert record is not None
    assert (record.principal_id, record.subject, record.service) == (bob.id, "bob", "s")
    await rows.write(lambda tx: principals.set_secret(tx, alice.id, "new"))
    assert await refresh_tokens.find(rows, "token4") is None
    assert await refresh_tokens.find(rows, "bobs") is not None


async def test_the_first_account_and_the_compatibility_grant(
    rows: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a start makes, it makes once on either database."""
    folder = tmp_path_factory.mktemp("state")
    assert await ensure_admin(rows, folder, str.upper) is not None
    assert await ensure_admin(rows, folder, str.upper) is None
    for audience in (Audience.ANYONE, Audience.AUTHENTICATED, Audience.AUTHENTICATED):
        await ensure_compatibility(rows, audience)
    admin = await principals.find(rows, principals.USER, NAME)
    assert admin is not None
    assert [(g.principal_id, g.audience, g.origin) for g in await all_grants(rows)] == [
        (admin.id, None, "first-start"),
        (None, "authenticated", "registry2-compat"),
    ]
