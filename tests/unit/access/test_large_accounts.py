"""Somebody with 500 groups and 2,000 grants: what their decisions cost."""

import time
from itertools import count

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Principal, PrincipalKind, Target
from entrepot.access.permissions import PULL, PUSH, Permission
from entrepot.access.policy import Policy
from entrepot.access.roles import DEVELOPER
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import grants, groups, memberships, users
from entrepot.oci.reference import RepositoryName
from tests.unit.access.conftest import Clock

GROUPS = 500
GRANTS = 2_000
APP = Target.of(RepositoryName.parse("p7/app"))
ELSEWHERE = Target.of(RepositoryName.parse("nowhere/app"))


@pytest.fixture
async def alice(database: Database) -> Principal:
    """Make somebody who has four roles through each of 500 groups, each role on another of 1,000 projects."""

    async def write(tx: Transaction) -> int:
        made = await users.add(tx, "alice", secret="x")
        assert made is not None
        ids = [(await projects.ensure(tx, f"p{number}")).id for number in range(1_000)]
        numbers = count()
        for number in range(GROUPS):
            group = await groups.add(tx, f"g{number}")
            assert group is not None
            await memberships.add(tx, made.id, group.id)
            for _ in range(GRANTS // GROUPS):
                await grants.add(
                    tx,
                    principal_id=group.id,
                    role_id=DEVELOPER,
                    project_id=ids[next(numbers) % len(ids)],
                    origin="test",
                )
        return made.id

    return Principal(kind=PrincipalKind.USER, name="alice", id=await database.write(write))


@pytest.mark.parametrize("permission", [PULL, PUSH], ids=["remembered", "read anew"])
@pytest.mark.parametrize("target", [APP, ELSEWHERE], ids=["allowed", "refused"])
async def test_a_decision_takes_less_than_a_millisecond(
    authorizer: Authorizer, alice: Principal, permission: Permission, target: Target
) -> None:
    """A pull on what is remembered, a push on what is committed now, and a no, which is always read anew: on the
    average of a hundred, of this thread's time.
    """
    allowed = (await authorizer.allows(alice, permission, target)).allowed
    assert allowed == (target is APP)
    started = time.thread_time()
    for _ in range(100):
        assert (await authorizer.allows(alice, permission, target)).allowed == allowed
    assert (time.thread_time() - started) / 100 < 0.001


async def test_grants_are_read_once_in_a_while(database: Database, alice: Principal, clock: Clock) -> None:
    """All grants come with one statement, however many groups they come through; pulls ask for none."""
    authorizer = Authorizer(Policy(database, max_age=5, clock=clock))
    await authorizer.allows(alice, PULL, APP)
    before = database.statistics.statements
    for _ in range(100):
        await authorizer.allows(alice, PULL, APP)
    assert database.statistics.statements == before
    clock.now += 6
    await authorizer.allows(alice, PULL, APP)
    # The account, its grants, and the project.
    assert database.statistics.statements == before + 3


async def test_a_push_reads_what_is_true_now(database: Database, alice: Principal, clock: Clock) -> None:
    """Three statements each, whatever was read before."""
    authorizer = Authorizer(Policy(database, max_age=5, clock=clock))
    for _ in range(3):
        before = database.statistics.statements
        assert (await authorizer.allows(alice, PUSH, APP)).allowed
        assert database.statistics.statements == before + 3
