"""The grant `registry2-compat`: once for each way to sign in, removable, and never a leftover."""

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.compatibility import ORIGIN, ensure_compatibility
from entrepot.access.model import ANONYMOUS, Action, Audience, Principal, PrincipalKind
from entrepot.metadata import grants
from entrepot.metadata.database import Database
from entrepot.oci.reference import RepositoryName

APP = RepositoryName.parse("team/app")
ALICE = Principal(kind=PrincipalKind.USER, name="alice")
GIVEN = (Action.PULL, Action.PUSH, Action.DELETE, Action.CATALOG, Action.CREATE_PROJECT)


async def audiences(database: Database) -> list[str | None]:
    return [row.audience for row in await grants.list_all(database) if row.origin == ORIGIN]


async def test_an_htpasswd_name_may_what_registry_2_lets_it(database: Database, authorizer: Authorizer) -> None:
    """Every name that signs in pulls, pushes, deletes, lists and makes projects, but does not administer."""
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    for action in Action:
        name = None if action in (Action.CATALOG, Action.ADMIN) else APP
        assert (await authorizer.allows(ALICE, action, name)).allowed is (action in GIVEN), action
        assert not (await authorizer.allows(ANONYMOUS, action, name)).allowed
    assert await authorizer.readable_projects(ALICE) is None


async def test_without_auth_everybody_may(database: Database, authorizer: Authorizer) -> None:
    """An open registry gives the anonymous the same, and still no administration."""
    await ensure_compatibility(database, Audience.ANYONE)
    for action in Action:
        name = None if action in (Action.CATALOG, Action.ADMIN) else APP
        assert (await authorizer.allows(ANONYMOUS, action, name)).allowed is (action in GIVEN), action
    await authorizer.require_sign_in(ANONYMOUS)
    assert await authorizer.readable_projects(ANONYMOUS) is None


async def test_a_removed_grant_stays_removed(database: Database) -> None:
    """The next start with the same configuration does not bring it back."""
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    (row,) = await grants.list_all(database)
    assert await database.write(lambda tx: grants.remove(tx, row.id))
    assert not await database.write(lambda tx: grants.remove(tx, row.id))
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    assert await grants.list_all(database) == []


@pytest.mark.parametrize("then", [Audience.AUTHENTICATED, None])
async def test_closing_an_open_registry_closes_it(
    then: Audience | None, database: Database, authorizer: Authorizer
) -> None:
    """A start with an `auth` section, or without a file, takes back what an open one gave to everybody."""
    await ensure_compatibility(database, Audience.ANYONE)
    await ensure_compatibility(database, then)
    assert await audiences(database) == ([] if then is None else [then.value])
    assert not (await authorizer.allows(ANONYMOUS, Action.PUSH, APP)).allowed


async def test_other_grants_are_left_alone(database: Database) -> None:
    """Only grants of this origin come and go."""
    await database.write(
        lambda tx: grants.add(tx, audience="anyone", resource="project:a", actions="pull", origin="me")
    )
    for audience in (Audience.ANYONE, None, Audience.AUTHENTICATED):
        await ensure_compatibility(database, audience)
        assert [row.origin for row in await grants.list_all(database) if row.origin != ORIGIN] == ["me"]
