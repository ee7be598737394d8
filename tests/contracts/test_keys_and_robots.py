"""API keys and robots behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from entrepot.metadata import clock
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.filtering import Condition, FieldUnknown, Match, Order, Selection
from entrepot.metadata.people import api_keys, grants, principals, refresh_tokens, robots
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all

DAY = 24 * 3600 * clock.MICROSECONDS


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, metadata)
    return database


async def account(database: Database, name: str, kind: str = principals.USER) -> int:
    """Make an account and return its id."""
    await database.write(lambda tx: principals.create(tx, kind, name, secret=None))
    found = await principals.find(database, kind, name)
    assert found is not None
    return found.id


async def key(database: Database, owner: int, name: str, expires_at: int | None = None) -> int:
    """Add a key and return its id; its hash is made of its name."""
    return await database.write(
        lambda tx: api_keys.add(tx, owner, name=name, hashed=f"hash of {name}", hint="reg_ab", expires_at=expires_at)
    )


async def robot(database: Database, name: str, project_id: int | None = None) -> int:
    """Add a robot and return its id."""

    async def write(tx: Transaction) -> int:
        made = await principals.create(tx, principals.ROBOT, name, secret=None)
        assert made is not None
        await robots.add(tx, made.id, project_id=project_id, description=f"{name}!", duration=90, creator="user:alice")
        return made.id

    return await database.write(write)


async def test_a_key_is_found_with_its_account(rows: Database) -> None:
    """The hash leads to the key and to whose it is, closed accounts included; another hash leads nowhere."""
    alice = await account(rows, "alice")
    end = clock.after(60)
    number = await key(rows, alice, "laptop", end)
    found = await api_keys.find_with_account(rows, "hash of laptop")
    assert found is not None
    assert (found[0].id, found[0].name, found[0].expires_at, found[0].limits) == (number, "laptop", end, None)
    assert (found[1].id, found[1].kind, found[1].name, found[1].disabled) == (alice, "user", "alice", False)
    await rows.write(lambda tx: principals.set_disabled(tx, alice, disabled=True))
    closed = await api_keys.find_with_account(rows, "hash of laptop")
    assert closed is not None
    assert (closed[1].disabled, closed[1].epoch) == (True, 1)
    assert await api_keys.find_with_account(rows, "hash of another") is None


async def test_a_name_is_taken_once_per_account(rows: Database) -> None:
    """Two keys of one account cannot share a name, neither made nor renamed to it; two accounts' keys can."""
    alice, bob = await account(rows, "alice"), await account(rows, "bob")
    await key(rows, alice, "one")
    two = await key(rows, alice, "two")
    with pytest.raises(ConstraintViolated):
        await key(rows, alice, "one")
    with pytest.raises(ConstraintViolated):
        await rows.write(lambda tx: api_keys.rename(tx, alice, two, "one"))
    assert not await rows.write(lambda tx: api_keys.rename(tx, bob, two, "stolen"))
    assert await rows.write(lambda tx: api_keys.rename(tx, alice, two, "deux"))
    assert [k.name for k in await api_keys.of_principal(rows, alice)] == ["one", "deux"]


async def test_keys_end_and_go(rows: Database) -> None:
    """A retired key has an end and leaves its name; ended ones go by their end, others by their owner alone."""
    alice, bob = await account(rows, "alice"), await account(rows, "bob")
    old = await key(rows, alice, "ci")
    ended = await key(rows, alice, "ended", clock.after(-60))
    await rows.write(lambda tx: api_keys.retire(tx, old, name="ci (replaced)", expires_at=clock.after(60)))
    new = await key(rows, alice, "ci 2")
    await rows.write(lambda tx: api_keys.remove_ended(tx, bob, clock.now()))
    assert await api_keys.find_by_id(rows, ended) is not None
    await rows.write(lambda tx: api_keys.remove_ended(tx, alice, clock.now()))
    assert [k.id for k in await api_keys.of_principal(rows, alice)] == [old, new]
    assert not await rows.write(lambda tx: api_keys.remove(tx, bob, new))
    assert await rows.write(lambda tx: api_keys.remove(tx, alice, new))
    await rows.write(lambda tx: principals.remove(tx, alice))
    assert await api_keys.find_by_id(rows, old) is None


async def test_a_use_is_noted(rows: Database) -> None:
    """When a key was last used is kept."""
    number = await key(rows, await account(rows, "alice"), "ci")
    await rows.write(lambda tx: api_keys.note_use(tx, number, 1234))
    found = await api_keys.find_by_id(rows, number)
    assert found is not None
    assert found.last_used_at == 1234


async def test_a_refresh_token_knows_its_key(rows: Database) -> None:
    """A refresh token says which key it was made with, if it was one."""
    alice = await account(rows, "alice")
    for name, number in (("by key", 7), ("by password", None)):
        await rows.write(
            lambda tx, name=name, number=number: refresh_tokens.add(
                tx,
                name,
                principal_id=alice,
                subject="alice",
                service="s",
                expires_at=clock.after(60),
                keep=9,
                key_id=number,
            )
        )
        found = await refresh_tokens.find(rows, name)
        assert found is not None
        assert found.key_id == number


async def test_a_robot_is_an_account_and_more(rows: Database) -> None:
    """A robot is found by id and by its whole name, with its project; a user of that name is none."""
    demo = await rows.write(lambda tx: projects.ensure(tx, "demo"))
    await account(rows, "robot$demo+ci")
    number = await robot(rows, "robot$demo+ci", demo.id)
    found = await robots.find_named(rows, "robot$demo+ci")
    assert found == await robots.find(rows, number)
    assert found is not None
    assert (found.id, found.project_id, found.project, found.description) == (number, demo.id, "demo", "robot$demo+ci!")
    assert (found.duration, found.creator, found.disabled, found.trust) == (90, "user:alice", False, None)
    assert await robots.find_named(rows, "robot$demo") is None
    await rows.write(lambda tx: robots.change(tx, number, description="new", duration=-1, trust="[]"))
    changed = await robots.find(rows, number)
    assert changed is not None
    assert (changed.description, changed.duration, changed.trust) == ("new", -1, "[]")
    assert not await rows.write(lambda tx: robots.change(tx, 10**6, description="", duration=1, trust=None))


async def test_lists_are_of_one_project_or_of_the_registry(rows: Database) -> None:
    """A page has the robots of its place alone, the newest first unless another order is asked for, and the total."""
    demo = await rows.write(lambda tx: projects.ensure(tx, "demo"))
    for name in ("b", "a", "c_"):
        await robot(rows, f"robot$demo+{name}", demo.id)
    await robot(rows, "robot$all")
    page = await robots.page(rows, demo.id, Selection(limit=2, order=(Order("name"),)))
    assert ([r.name for r in page.items], page.total) == (["robot$demo+a", "robot$demo+b"], 3)
    assert [r.name for r in (await robots.page(rows, None, Selection())).items] == ["robot$all"]
    like = Condition(field="name", match=Match.CONTAINS, values=("C_",))
    assert [r.name for r in (await robots.page(rows, demo.id, Selection(conditions=(like,)))).items] == [
        "robot$demo+c_"
    ]
    assert await robots.count(rows, demo.id) == 3
    secret = Condition(field="secret", match=Match.EQUAL, values=("x",))
    with pytest.raises(FieldUnknown):
        await robots.page(rows, demo.id, Selection(conditions=(secret,)))


async def test_a_projects_robots_go_with_it(rows: Database) -> None:
    """Removing a project's robots removes their accounts, keys and grants, and nobody else's."""
    demo = await rows.write(lambda tx: projects.ensure(tx, "demo"))
    gone, kept = await robot(rows, "robot$demo+ci", demo.id), await robot(rows, "robot$all")
    number = await key(rows, gone, "secret")
    await rows.write(lambda tx: grants.add(tx, origin="robot", principal_id=gone, permissions=["repository:pull"]))
    await rows.write(lambda tx: robots.remove_of_project(tx, demo.id))
    assert await robots.find(rows, gone) is None
    assert await principals.find_by_id(rows, gone) is None
    assert await api_keys.find_by_id(rows, number) is None
    assert await grants.of_principal(rows, gone) == []
    assert await robots.find(rows, kept) is not None


def test_days_count_from_when_it_was_made() -> None:
    """A robot of so many days ends that long after it was made; one of -1 days never."""
    assert robots.end_of(1_000, 2) == 1_000 + 2 * DAY
    assert robots.end_of(1_000, -1) is None
