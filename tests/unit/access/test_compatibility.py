"""The grant `registry2-compat`: once for each way to sign in, removable, and never a leftover."""

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.compatibility import ORIGIN, ensure_compatibility
from entrepot.access.model import ANONYMOUS, SYSTEM_TARGET, Audience, Principal, PrincipalKind, Target
from entrepot.access.permissions import CATALOG, CREATE_PROJECT, DELETE, PULL, PUSH, SYSTEM, Permission
from entrepot.metadata.database import Database
from entrepot.metadata.people import grants
from entrepot.oci.reference import RepositoryName
from tests.support.rights import give
from tests.support.rows import all_grants

APP = Target.of(RepositoryName.parse("team/app"))
ALICE = Principal(kind=PrincipalKind.USER, name="alice")
GIVEN = (PULL, PUSH, DELETE, CATALOG, CREATE_PROJECT)
#: Everything that is done to the registry as a whole, but for making and listing projects.
#: Whoever may delete may look at what was deleted and take it back; to remove it for good is no part of that.
UNDOING = ("trash:list", "trash:read", "trash:restore")
ADMINISTRATION = [
    Permission.of(resource, action)
    for resource, actions in SYSTEM.items()
    for action in actions
    if resource not in ("project", "catalog") and f"{resource}:{action}" not in UNDOING
]


async def audiences(database: Database) -> list[str | None]:
    return [row.audience for row in await all_grants(database) if row.origin == ORIGIN]


async def test_an_htpasswd_name_may_what_registry_2_lets_it(database: Database, authorizer: Authorizer) -> None:
    """Every name that signs in pulls, pushes, deletes, lists and makes projects, but does not administer."""
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    for permission in GIVEN:
        target = SYSTEM_TARGET if permission == CATALOG else APP
        assert (await authorizer.allows(ALICE, permission, target)).allowed, permission
        assert not (await authorizer.allows(ANONYMOUS, permission, target)).allowed, permission
    for permission in ADMINISTRATION:
        assert not (await authorizer.allows(ALICE, permission, SYSTEM_TARGET)).allowed, permission
    assert (await authorizer.readable(ALICE)).projects is None


async def test_without_auth_everybody_may(database: Database, authorizer: Authorizer) -> None:
    """An open registry gives the anonymous the same, and still no administration."""
    await ensure_compatibility(database, Audience.ANYONE)
    for permission in GIVEN:
        target = SYSTEM_TARGET if permission == CATALOG else APP
        assert (await authorizer.allows(ANONYMOUS, permission, target)).allowed, permission
    for permission in ADMINISTRATION:
        assert not (await authorizer.allows(ANONYMOUS, permission, SYSTEM_TARGET)).allowed, permission
    await authorizer.require_sign_in(ANONYMOUS)
    assert (await authorizer.readable(ANONYMOUS)).projects is None


async def test_a_removed_grant_stays_removed(database: Database) -> None:
    """The next start with the same configuration does not bring it back."""
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    (row,) = await all_grants(database)
    assert await database.write(lambda tx: grants.remove(tx, row.id))
    assert not await database.write(lambda tx: grants.remove(tx, row.id))
    await ensure_compatibility(database, Audience.AUTHENTICATED)
    assert await all_grants(database) == []


@pytest.mark.parametrize("then", [Audience.AUTHENTICATED, None])
async def test_closing_an_open_registry_closes_it(
    then: Audience | None, database: Database, authorizer: Authorizer
) -> None:
    """A start with an `auth` section, or without a file, takes back what an open one gave to everybody."""
    await ensure_compatibility(database, Audience.ANYONE)
    await ensure_compatibility(database, then)
    assert await audiences(database) == ([] if then is None else [then.value])
    assert not (await authorizer.allows(ANONYMOUS, PUSH, APP)).allowed


async def test_other_grants_are_left_alone(database: Database) -> None:
    """Only grants of this origin come and go."""
    await give(database, "project:a", "pull", audience="anyone", origin="me")
    for audience in (Audience.ANYONE, None, Audience.AUTHENTICATED):
        await ensure_compatibility(database, audience)
        assert [row.origin for row in await all_grants(database) if row.origin != ORIGIN] == ["me"]
