"""Nodes that share a PostgreSQL database notice when another has changed rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.policy import FOLLOWED_MAX_AGE, Policy
from entrepot.access.roles import ensure_roles
from entrepot.metadata import changes, settings
from entrepot.metadata.changes import Changes
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.metadata.jobs import job_claims, job_runs
from entrepot.metadata.jobs.job_runs import Wanted
from entrepot.metadata.people import api_keys, grants, principals, users
from entrepot.metadata.tables import metadata
from entrepot.registry import read_only
from entrepot.registry.read_only import ReadOnlySwitch
from tests.support.databases import create_all, postgres_database
from tests.support.postgres import PostgresServer
from tests.support.rights import give


@dataclass(frozen=True)
class House:
    """A database with a project, and somebody who may pull from it by a grant and with a key."""

    database: Database
    alice: int
    grant: int
    key: int

    @property
    def principal(self) -> Principal:
        """Alice."""
        return Principal(kind=PrincipalKind.USER, name="alice", id=self.alice, epoch=0)

    async def number(self) -> int:
        """Return how often rights were changed."""
        return (await changes.numbers(self.database))[changes.RIGHTS]


@pytest.fixture
async def house(postgres: PostgresServer) -> AsyncIterator[House]:
    """Give the database."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        await ensure_roles(database)
        alice = await database.write(lambda tx: users.add(tx, "alice", secret="hash"))
        assert alice is not None
        grant = await give(database, "project:demo", "pull", principal_id=alice.id)
        key = await database.write(
            lambda tx: api_keys.add(tx, alice.id, name="k", hashed="h", hint="k", limits=None, expires_at=None)
        )
        yield House(database, alice.id, grant, key)


Change = Callable[[House, Transaction], Awaitable[object]]

TAKING: dict[str, Change] = {
    "a grant goes": lambda house, tx: grants.remove(tx, house.grant),
    "an account is closed": lambda house, tx: principals.set_disabled(tx, house.alice, disabled=True),
    "an account ends": lambda house, tx: principals.set_expiry(tx, house.alice, 1),
    "a password is changed": lambda house, tx: users.set_password(tx, house.alice, "new"),
    "an account goes": lambda house, tx: principals.remove(tx, house.alice),
    "a key goes": lambda house, tx: api_keys.remove(tx, house.alice, house.key),
    "a project is opened": lambda _, tx: projects.set_visibility(tx, "demo", public=True, internal=False),
}
USING: dict[str, Change] = {
    "a key is used": lambda house, tx: api_keys.note_use(tx, house.key, 1),
    "a person is looked at": lambda house, tx: users.set_checked(tx, house.alice, 1),
    "a profile is changed": lambda house, tx: users.set_profile(tx, house.alice, email="a@b", realname="", comment=""),
    "a project is made": lambda _, tx: projects.ensure(tx, "another"),
}


@pytest.mark.parametrize("change", TAKING.values(), ids=TAKING)
async def test_what_gives_or_takes_rights_counts_once(house: House, change: Change) -> None:
    """However many rows a transaction changes, processes are told once, when it is committed."""
    before = await house.number()
    await house.database.write(lambda tx: change(house, tx))
    assert await house.number() == before + 1


@pytest.mark.parametrize("change", USING.values(), ids=USING)
async def test_what_changes_no_rights_does_not_count(house: House, change: Change) -> None:
    """Pulls and sign-ins on one node make no other node ask again."""
    before = await house.number()
    await house.database.write(lambda tx: change(house, tx))
    assert await house.number() == before


async def test_a_change_that_is_taken_back_does_not_count(house: House) -> None:
    """Only what is committed is seen."""
    before = await house.number()

    async def work(tx: Transaction) -> None:
        await grants.remove(tx, house.grant)
        raise LookupError

    with pytest.raises(LookupError):
        await house.database.write(work)
    assert await house.number() == before


async def test_a_right_that_was_taken_elsewhere_is_gone_within_two_seconds(house: House) -> None:
    """A process that remembers for half a minute notices what another one did, and asks nothing meanwhile."""
    policy = Policy(house.database, max_age=FOLLOWED_MAX_AGE)
    watch = Changes(house.database)
    watch.follow(changes.RIGHTS, policy.reread)
    following = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(0.1)
        assert (await policy.rights_on(house.principal, "demo")).by_project
        asked = house.database.statistics.statements
        assert (await policy.rights_on(house.principal, "demo")).by_project
        assert house.database.statistics.statements == asked
        await house.database.write(lambda tx: grants.remove(tx, house.grant))
        async with asyncio.timeout(2 * changes.SECONDS):
            while (await policy.rights_on(house.principal, "demo")).by_project:
                await asyncio.sleep(0.05)
    finally:
        following.cancel()


async def test_what_was_read_before_a_change_is_not_remembered_after_it(house: House) -> None:
    """A question that was on its way when the change was noticed gives an answer that is out of date."""
    policy = Policy(house.database, max_age=FOLLOWED_MAX_AGE)
    asking = asyncio.create_task(policy.rights_on(house.principal, "demo"))
    await asyncio.sleep(0)
    policy.forget()
    await asking
    await house.database.write(lambda tx: grants.remove(tx, house.grant))
    assert not (await policy.rights_on(house.principal, "demo")).by_project


async def test_read_only_is_known_to_every_process_within_two_seconds(house: House) -> None:
    """The same question tells of it; other settings do not count."""
    switch = ReadOnlySwitch(house.database, configured=False)
    await house.database.write(lambda tx: settings.put(tx, "another", "on"))
    assert (await changes.numbers(house.database))[changes.READ_ONLY] == 0
    watch = Changes(house.database)
    watch.follow(changes.READ_ONLY, switch.look)
    following = asyncio.create_task(watch.run())
    try:
        for on in (True, False):
            await read_only.switch(house.database, on=on)
            async with asyncio.timeout(2 * changes.SECONDS):
                while switch() is not on:
                    await asyncio.sleep(0.05)
    finally:
        following.cancel()


async def test_while_nobody_can_say_nothing_is_remembered() -> None:
    """A process whose database does not answer begins anew when it does, and until then at each look."""
    told: list[int] = []

    async def changed() -> None:
        told.append(1)

    class Away:
        async def all(self, *_: object, **__: object) -> list[object]:
            raise DatabaseUnavailable("away")

    watch = Changes(Away(), seconds=0.01)  # type: ignore[arg-type]  # it is asked for nothing else
    watch.follow(changes.RIGHTS, changed)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.run(), 0.2)
    assert len(told) > 2


async def test_a_run_that_is_asked_for_or_ends_counts(house: House) -> None:
    """Other nodes look for it within a second; that it goes on and has come so far is no news to them."""
    run = await house.database.write(lambda tx: job_runs.ask(tx, Wanted(kind="scrub")))
    assert (await changes.numbers(house.database))[changes.JOBS] == 1
    assert await house.database.write(lambda tx: job_claims.claim(tx, run=run, holder="me", seconds=10))
    assert (await changes.numbers(house.database))[changes.JOBS] == 2
    await house.database.write(lambda tx: job_runs.stop(tx, run))
    assert (await changes.numbers(house.database))[changes.JOBS] == 2
