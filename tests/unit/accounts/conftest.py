"""A real database, an administrator, and the use cases of accounts over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.policy import Policy
from entrepot.access.roles import SYSTEM_ADMIN, ensure_roles
from entrepot.accounts.keys import Keys
from entrepot.accounts.robots import Robots
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.events import Source
from entrepot.metadata.people import grants, principals
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all
from tests.support.rights import give_all

BY = Source(name="admin", address="192.0.2.1", credential="password")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open a database with the built-in roles and two projects."""
    opened = SqliteDatabase(tmp_path / "metadata.db")
    await create_all(opened, metadata)
    await ensure_roles(opened)
    for name in ("demo", "other"):
        await opened.write(lambda tx, name=name: projects.ensure(tx, name))
    yield opened
    await opened.close()


@pytest.fixture
def authorizer(database: Database) -> Authorizer:
    """Give what decides, without a memory."""
    return Authorizer(Policy(database, max_age=0))


@pytest.fixture
def keys(database: Database, authorizer: Authorizer) -> Keys:
    """Give the use cases of keys."""
    return Keys(database, authorizer)


@pytest.fixture
def robots(database: Database, authorizer: Authorizer) -> Robots:
    """Give the use cases of robots; the hash of a secret is the secret backwards."""
    return Robots(database, authorizer, lambda secret: secret[::-1])


@pytest.fixture
async def admin(database: Database) -> Principal:
    """Make an administrator."""
    made = await person(database, "admin")
    await database.write(lambda tx: grants.add(tx, principal_id=made.id, role_id=SYSTEM_ADMIN, origin="test"))
    return made


async def person(database: Database, name: str, *rights: tuple[str, str]) -> Principal:
    """Make somebody with rights, pairs as `give` takes them."""
    await database.write(lambda tx: principals.create(tx, principals.USER, name, secret="x"))
    record = await principals.find(database, principals.USER, name)
    assert record is not None
    await give_all(database, record.id, rights)
    return Principal(kind=PrincipalKind.USER, name=name, id=record.id, epoch=record.epoch)
