"""In which projects somebody may do something: the same that a decision would say of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import ANONYMOUS, Grant, Principal, PrincipalKind, Target
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import Permission, expand
from entrepot.access.policy import Policy
from entrepot.access.reachable_projects import Reach, reach_of
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database
from entrepot.metadata.people import principals
from entrepot.oci.scope import parse_scopes
from tests.support.rights import give
from tests.unit.access.conftest import AccountMaker

READ = Permission("project:read")
UPDATE = Permission("project:update")


@pytest.fixture
async def visible(database: Database) -> None:
    """Make a public, an internal and two private projects."""
    for name in ("open", "inside", "one", "two"):
        await database.write(lambda tx, name=name: projects.ensure(tx, name))
    await database.write(lambda tx: projects.set_visibility(tx, "open", public=True, internal=False))
    await database.write(lambda tx: projects.set_visibility(tx, "inside", public=False, internal=True))


async def test_grants_on_projects_are_named(visible: None, policy: Policy, account: AccountMaker) -> None:
    """Beside them is what is open to whoever has signed in; changing is open to nobody."""
    alice = await account("alice", ("project:one", "project:read,project:update"), ("project:two", "pull"))
    assert await reach_of(policy, alice, READ) == Reach(names=("one",), public=True, internal=True)
    assert await reach_of(policy, alice, UPDATE) == Reach(names=("one",))


async def test_robots_reach_what_they_were_given(visible: None, policy: Policy, account: AccountMaker) -> None:
    """And what is public; what is open to people who signed in is not theirs to read or to list."""
    robot = replace(await account("robot"), kind=PrincipalKind.ROBOT)
    assert await reach_of(policy, robot, READ) == Reach(public=True)
    assert await policy.open_projects(robot) == ["open"]


async def test_grants_on_everything(visible: None, policy: Policy, account: AccountMaker) -> None:
    """A right without a project is one on all of them; a pattern over repositories is none on projects."""
    alice = await account("alice", ("*", "project:read"))
    assert await reach_of(policy, alice, READ) == Reach(everywhere=True)
    bob = await account("bob", ("repositories:one/*", "project:read,pull"))
    assert await reach_of(policy, bob, READ) == Reach(public=True, internal=True)


async def test_the_anonymous(visible: None, database: Database, policy: Policy) -> None:
    """They see what is public, and what was granted to anyone."""
    assert await reach_of(policy, ANONYMOUS, READ) == Reach(public=True)
    await give(database, "project:one", "project:read", audience="anyone")
    policy.forget()
    assert await reach_of(policy, ANONYMOUS, READ) == Reach(names=("one",), public=True)


async def test_tokens_reach_nothing(visible: None, policy: Policy, account: AccountMaker) -> None:
    """A token names repositories, never projects."""
    alice = await account("alice", ("*", "*"))
    assert await reach_of(policy, alice.with_scopes(parse_scopes("repository:one/app:pull")), READ) == Reach()


async def test_a_closed_account_reaches_nothing(
    visible: None, database: Database, policy: Policy, account: AccountMaker
) -> None:
    """From the moment it is closed."""
    alice = await account("alice", ("*", "*"))
    assert alice.id is not None
    closed = alice.id
    await database.write(lambda tx: principals.set_disabled(tx, closed, disabled=True))
    assert await reach_of(policy, alice, READ) == Reach()


def limited(principal: Principal, *limits: Grant) -> Principal:
    """Return the principal as one of its keys signs it in."""
    return replace(principal, limits=limits)


async def test_keys_reach_what_both_reach(visible: None, policy: Policy, account: AccountMaker) -> None:
    """A key narrows to its projects, and adds none."""
    alice = await account("alice", ("project:one", "project:read"))
    own, other, public = (Grant(permissions=expand(["project:read"]), project=p) for p in ("one", "two", "open"))
    assert await reach_of(policy, limited(alice, own, other), READ) == Reach(names=("one",))
    assert await reach_of(policy, limited(alice, public), READ) == Reach(names=("open",))
    assert await reach_of(policy, limited(alice), READ) == Reach()
    everything = Grant(permissions=expand(["*:*"]))
    assert await reach_of(policy, limited(alice, everything), READ) == Reach(names=("one",), public=True, internal=True)
    narrow = Grant(permissions=expand(["project:read"]), project="one", repositories=Pattern.parse("one/a"))
    assert await reach_of(policy, limited(alice, narrow), READ) == Reach()


@pytest.mark.parametrize("rights", [[], [("project:one", "*")], [("*", "*")], [("repositories:**", "*")]])
async def test_it_says_what_a_decision_says(
    visible: None, policy: Policy, authorizer: Authorizer, account: AccountMaker, rights: Sequence[tuple[str, str]]
) -> None:
    """For each project, being in the list and being allowed to read it are one."""
    alice = await account("alice", *rights)
    reach = await reach_of(policy, alice, READ)
    listed = {
        name: reach.everywhere
        or name in reach.names
        or (name == "open" and reach.public)
        or (name == "inside" and reach.internal)
        for name in ("open", "inside", "one", "two")
    }
    decided = {name: (await authorizer.allows(alice, READ, Target(name))).allowed for name in listed}
    assert listed == decided
