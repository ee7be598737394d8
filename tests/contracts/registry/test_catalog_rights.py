"""The catalog of somebody whose rights are on single repositories, over every database."""

import random
from collections.abc import Iterable
from itertools import product

import pytest
from sqlalchemy import bindparam

from entrepot.access.decision import Rights, decide
from entrepot.access.model import Grant, Principal, PrincipalKind, Target, Visibility
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import PULL, PUSH
from entrepot.access.readable_repositories import readable
from entrepot.metadata import tables
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.query import Query
from entrepot.oci.reference import RepositoryName, sort_key
from entrepot.registry.catalog import Catalog
from tests.support.databases import create_all

NAMES = sorted(
    {
        *(
            f"{project}/{name}"
            for project, name in product(("team", "team2", "tea", "lib", "library"), ("app", "web/a"))
        ),
        *(
            "app",
            "zap",
            "team/web",
            "team/web/a/b",
            "team/webby",
            "team/ap",
            "team/app-2",
            "team/app/x",
            "a/z",
            "a-b/z",
        ),
    },
    key=sort_key,
)
PATTERNS = (
    None,
    Pattern("team/app"),
    Pattern("team/web/**"),
    Pattern("team/*"),
    Pattern("**/a"),
    Pattern("t*/app"),
    Pattern("{lib,library}/*"),
    Pattern("*"),
    Pattern("zap"),
)
NOW = 1000
_ADD = Query(
    lambda d: d.insert(tables.repositories).values(
        project_id=bindparam("project_id"),
        name=bindparam("name"),
        sort_key=bindparam("sort_key"),
        adopted=0,
        created_at=0,
    )
)


class Known:
    """A gate where all names are known."""

    async def names_known(self) -> None:
        """Go on."""


@pytest.fixture
async def catalog(database: Database) -> Catalog:
    """Give a catalog of these names."""
    await create_all(database, tables.metadata)

    async def fill(tx: Transaction) -> None:
        for name in NAMES:
            project = await projects.ensure(tx, RepositoryName(name).project)
            await tx.execute(_ADD, project_id=project.id, name=name, sort_key=sort_key(name))

    await database.write(fill)
    return Catalog(database, Known())


async def listed(catalog: Catalog, alice: Principal, rights: Rights, opened: Iterable[str], limit: int) -> list[str]:
    """Read the catalog page by page."""
    visible = readable(alice, rights, opened, NOW)
    found: list[str] = []
    last: str | None = ""
    while last is not None:
        page = await catalog.list(limit=limit, last=last, visible=visible)
        found += page.items
        last = page.last
    return found


def some_grant(chance: random.Random) -> Grant:
    """Make up a grant."""
    return Grant(
        permissions=chance.choice([frozenset((PULL,)), frozenset((PULL, PUSH)), frozenset((PUSH,))]),
        project=chance.choice([None, "team", "library", "lib"]),
        repositories=chance.choice(PATTERNS),
        expires_at=chance.choice([None, None, NOW, NOW + 1]),
        principal_id=1,
    )


async def test_the_catalog_shows_what_may_be_pulled_and_nothing_else(catalog: Catalog) -> None:
    """Whatever the grants, the key and the open projects: the pages together are the repositories one may pull from."""
    chance = random.Random(7)
    for _ in range(150):
        rights = Rights.of([some_grant(chance) for _ in range(chance.randint(0, 3))])
        limits = chance.choice([None, None, tuple(some_grant(chance) for _ in range(chance.randint(0, 2)))])
        alice = Principal(kind=PrincipalKind.USER, name="alice", id=1, key=1, limits=limits)
        opened = chance.sample(["team2", "a", "library"], chance.randint(0, 2))

        def may(name: str, alice: Principal = alice, rights: Rights = rights, opened: list[str] = opened) -> bool:
            target = Target.of(RepositoryName(name))
            visibility = Visibility.PUBLIC if target.project in opened else Visibility.PRIVATE
            return decide(alice, rights, PULL, target, visibility=visibility, now=NOW).allowed

        expected = [name for name in NAMES if may(name)]
        assert await listed(catalog, alice, rights, opened, chance.choice([1, 3, 100])) == expected, (rights, limits)


async def test_a_token_for_the_catalog_shows_what_its_account_may_see(catalog: Catalog) -> None:
    """The scopes of the token name the catalog and no repository; they do not empty the list."""
    rights = Rights.of([Grant(permissions=frozenset((PULL,)), repositories=Pattern("team/web/**"), principal_id=1)])
    alice = Principal(kind=PrincipalKind.USER, name="alice", id=1, scopes=())
    assert await listed(catalog, alice, rights, [], 2) == ["team/web", "team/web/a", "team/web/a/b"]


async def test_only_what_begins_like_a_pattern_is_read(catalog: Catalog, database: Database) -> None:
    """A grant on one repository costs a look-up, and one on a folder reads that folder."""
    rights = Rights.of(
        [
            Grant(permissions=frozenset((PULL,)), repositories=Pattern("team/app"), principal_id=1),
            Grant(permissions=frozenset((PULL,)), repositories=Pattern("team/web/**"), principal_id=1),
            Grant(permissions=frozenset((PULL,)), repositories=Pattern("team/web/a/*"), principal_id=1),
        ]
    )
    alice = Principal(kind=PrincipalKind.USER, name="alice", id=1)
    visible = readable(alice, rights, [], NOW)
    assert visible.names == ["team/app"]
    assert [part.beginning for part in visible.parts] == ["team/web"]
    before = database.statistics.statements
    await catalog.list(limit=10, visible=visible)
    assert database.statistics.statements - before == 3
