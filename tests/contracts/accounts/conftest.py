"""The use cases about accounts over each database, with an administrator and a project."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.guarded_passwords import GuardedPasswords
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.policy import Policy
from entrepot.access.roles import SYSTEM_ADMIN, ensure_roles
from entrepot.accounts.explanations import Explaining
from entrepot.accounts.grants import Grants
from entrepot.accounts.groups import Groups
from entrepot.accounts.members import Members
from entrepot.accounts.roles import Roles
from entrepot.accounts.user_passwords import UserPasswords
from entrepot.accounts.users import Users
from entrepot.adapters.identity.accounts import LocalAccounts, hash_password
from entrepot.metadata.contents import projects
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import grants, users
from entrepot.metadata.query import RawQuery
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all
from tests.support.rights import give_all

#: Who acts in these tests, as the audit log sees it.
BY = Source(name="admin", address="192.0.2.1", credential="password", request="r-1")
PASSWORD = "swift otters carry mail"
_EVENTS = RawQuery("SELECT kind, subject, detail FROM events ORDER BY id")


@dataclass(kw_only=True)
class House:
    """The use cases, and the rows below them."""

    database: Database
    authorizer: Authorizer
    users: Users
    passwords: UserPasswords
    groups: Groups
    roles: Roles
    grants: Grants
    members: Members
    explaining: Explaining
    admin: Principal
    team: ProjectRecord
    changed: list[str]  #: accounts of which it was told that their password changed

    async def user(self, name: str, *rights: tuple[str, str]) -> Principal:
        """Make a user with grants: pairs as `give` takes them."""
        made = await self.users.create(name, None, by=BY)
        await give_all(self.database, made.id, rights)
        return Principal(kind=PrincipalKind.USER, name=name, id=made.id, epoch=made.epoch)

    async def events(self) -> list[tuple[str, str, str | None]]:
        """Return what the audit log says so far: kinds, subjects and details."""
        return [(row[0], row[1], row[2]) for row in await self.database.all(_EVENTS)]

    async def last_event(self) -> tuple[str, str, str | None]:
        """Return what the audit log says last."""
        return (await self.events())[-1]


def id_of(principal: Principal) -> int:
    """Return the row of an account that has one."""
    assert principal.id is not None
    return principal.id


@pytest.fixture
async def house(database: Database) -> House:
    """Give the use cases over an empty database."""
    await create_all(database, metadata)
    await ensure_roles(database)
    made = await database.write(lambda tx: users.add(tx, "admin", secret="x"))
    assert made is not None
    await database.write(lambda tx: grants.add(tx, principal_id=made.id, role_id=SYSTEM_ADMIN, origin="first-start"))
    team = await database.write(lambda tx: projects.ensure(tx, "team"))
    authorizer = Authorizer(Policy(database, max_age=0))
    passwords = GuardedPasswords(LocalAccounts(database, max_age=0), Throttle())
    given = Grants(database, authorizer)
    changed: list[str] = []
    return House(
        database=database,
        authorizer=authorizer,
        users=Users(database, authorizer, hash_password),
        passwords=UserPasswords(database, authorizer, hash_password, passwords, changed=changed.append),
        groups=Groups(database, authorizer),
        roles=Roles(database, authorizer),
        grants=given,
        members=Members(database, given),
        explaining=Explaining(database, authorizer),
        admin=Principal(kind=PrincipalKind.USER, name="admin", id=made.id, epoch=made.epoch),
        team=team,
        changed=changed,
    )
