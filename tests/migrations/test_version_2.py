"""A database of version 1, with its accounts and grants, goes on as one of version 2."""

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.compatibility import ensure_compatibility
from entrepot.access.model import ANONYMOUS, SYSTEM_TARGET, Audience, Principal, PrincipalKind, Target
from entrepot.access.permissions import CATALOG, CREATE_PROJECT, DELETE, PULL, PUSH, Permission
from entrepot.access.policy import Policy
from entrepot.access.roles import BUILT_IN, REGISTRY2, SYSTEM_ADMIN, ensure_roles
from entrepot.metadata import events, schema
from entrepot.metadata.database import Database
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.people import grants, principals, roles
from entrepot.metadata.query import RawQuery
from entrepot.oci.reference import RepositoryName
from tests.support.rows import all_grants

#: What a registry of version 1 wrote at its starts, and what happened in it.
_VERSION_1 = (
    (
        "INSERT INTO principals (kind, name, secret, epoch, disabled, created_at, updated_at) "
        "VALUES ('user', 'admin', 'hash', 3, 0, 10, 20)"
    ),
    (
        "INSERT INTO grants (principal_id, resource, actions, origin, created_at) "
        "SELECT id, '*', '*', 'first-start', 10 FROM principals"
    ),
    (
        "INSERT INTO grants (audience, resource, actions, origin, created_at) "
        "VALUES ('authenticated', '*', 'pull,push,delete,catalog,create', 'registry2-compat', 11)"
    ),
    "INSERT INTO settings (key, value) VALUES ('registry2-compat', 'authenticated')",
    "INSERT INTO projects (name, public, created_at) VALUES ('team', 1, 12)",
    "INSERT INTO events (kind, repository, actor, at) VALUES ('push', 'team/app', 'admin', 13)",
    (
        "INSERT INTO refresh_tokens (token_hash, principal_id, subject, service, scopes, created_at, expires_at) "
        "SELECT 'h', id, 'admin', 'entrepot', '', 10, 99 FROM principals"
    ),
)
APP = Target.of(RepositoryName.parse("team/app"))


@pytest.fixture
async def upgraded(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Give a database that a program of version 1 made and filled, and this one has upgraded."""
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "VERSION", 1)
        assert (await schema.upgrade(database)).version == 1
    for statement in _VERSION_1:
        await database.write(lambda tx, statement=statement: tx.execute(RawQuery(statement)))
    assert (await schema.upgrade(database)).version == schema.VERSION
    await ensure_roles(database)
    return database


async def test_its_grants_become_roles(upgraded: Database) -> None:
    """The admin keeps everything, and the compatibility grant becomes an ordinary one of the same reach."""
    rows = await all_grants(upgraded)
    assert [(row.origin, row.role_id, row.principal_name, row.audience, row.created_at) for row in rows] == [
        ("first-start", SYSTEM_ADMIN, "admin", None, 10),
        ("registry2-compat", REGISTRY2, None, "authenticated", 11),
    ]
    assert rows[0].permissions == {"*:*"}
    assert {"repository:pull", "repository:push", "artifact:delete", "catalog:read"} <= rows[1].permissions


async def test_decisions_stay_what_they_were(upgraded: Database) -> None:
    """Admin, a signed-in name and the anonymous may what they might."""
    authorizer = Authorizer(Policy(upgraded))
    admin = await principals.find(upgraded, principals.USER, "admin")
    assert admin is not None
    assert (admin.secret, admin.epoch, admin.expires_at) == ("hash", 3, None)
    chief = Principal(kind=PrincipalKind.USER, name="admin", id=admin.id, epoch=admin.epoch)
    somebody = Principal(kind=PrincipalKind.USER, name="somebody")
    everything = Permission("configuration:update")
    assert (await authorizer.allows(chief, everything, SYSTEM_TARGET)).allowed
    assert not (await authorizer.allows(somebody, everything, SYSTEM_TARGET)).allowed
    for permission in (PULL, PUSH, DELETE, CREATE_PROJECT):
        assert (await authorizer.allows(somebody, permission, APP)).allowed
    assert (await authorizer.allows(somebody, CATALOG, SYSTEM_TARGET)).allowed
    assert (await authorizer.allows(ANONYMOUS, PULL, APP)).allowed
    assert not (await authorizer.allows(ANONYMOUS, PUSH, APP)).allowed


async def test_a_start_changes_nothing_more(upgraded: Database) -> None:
    """The roles are all there, and neither they nor the compatibility grant are written again."""
    assert {role.id for role in await roles.list_all(upgraded)} == {role.id for role in BUILT_IN}
    transactions = upgraded.statistics.transactions
    await ensure_roles(upgraded)
    await ensure_compatibility(upgraded, Audience.AUTHENTICATED)
    assert upgraded.statistics.transactions == transactions


async def test_the_rest_is_kept(upgraded: Database) -> None:
    """Projects, events and refresh tokens are as they were; every account of before is a local one."""
    rows = await upgraded.all(RawQuery("SELECT name, public, internal, owner_id, created_at FROM projects"))
    assert [tuple(row) for row in rows] == [("team", 1, 0, None, 12)]
    assert await events.last_id(upgraded) == 1
    rows = await upgraded.all(RawQuery("SELECT kind, repository, actor, at, count, seal FROM events"))
    assert [tuple(row) for row in rows] == [("push", "team/app", "admin", 13, 1, None)]
    rows = await upgraded.all(RawQuery("SELECT token_hash, key_id FROM refresh_tokens"))
    assert [tuple(row) for row in rows] == [("h", None)]
    rows = await upgraded.all(RawQuery("SELECT provider, must_change FROM users"))
    assert [tuple(row) for row in rows] == [("local", 0)]


async def test_grants_refer_to_roles_that_exist(upgraded: Database) -> None:
    """The new table has its foreign keys: a role that does not exist cannot be given."""
    with pytest.raises(ConstraintViolated):
        await upgraded.write(lambda tx: grants.add(tx, audience="anyone", role_id=77, origin="test"))
    assert len(await all_grants(upgraded)) == 2
