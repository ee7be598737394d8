"""A real database, and the parts of access built over it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.policy import Policy
from entrepot.access.roles import ensure_roles
from entrepot.access.tokens.signing_keys import SigningKeys, load_or_create
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.people import principals
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all
from tests.support.rights import give_all

#: Makes an account with grants, pairs as `give` takes them.
AccountMaker = Callable[..., Awaitable[Principal]]


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that only the test moves."""
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open an empty database with all tables."""
    opened = SqliteDatabase(tmp_path / "metadata.db")
    await create_all(opened, metadata)
    await ensure_roles(opened)
    yield opened
    await opened.close()


@pytest.fixture
def policy(database: Database, clock: Clock) -> Policy:
    """Give a policy that remembers for five seconds of the test's clock."""
    return Policy(database, max_age=5, clock=clock)


@pytest.fixture
def authorizer(policy: Policy) -> Authorizer:
    """Give an authorizer over that policy."""
    return Authorizer(policy)


@pytest.fixture
def account(database: Database) -> AccountMaker:
    """Give a function that makes an account with grants."""

    async def make(name: str, *rights: tuple[str, str], secret: str = "x") -> Principal:
        await database.write(lambda tx: principals.create(tx, principals.USER, name, secret=secret))
        record = await principals.find(database, principals.USER, name)
        assert record is not None
        await give_all(database, record.id, rights)
        return Principal(kind=PrincipalKind.USER, name=name, id=record.id, epoch=record.epoch)

    return make


async def make_project(database: Database, name: str, *, public: bool) -> None:
    """Add a project, or change its visibility."""
    await database.write(lambda tx: projects.ensure(tx, name))
    await database.write(lambda tx: projects.set_visibility(tx, name, public=public, internal=False))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    """Make one set of signing keys for all tests."""
    return load_or_create(tmp_path_factory.mktemp("keys"))
