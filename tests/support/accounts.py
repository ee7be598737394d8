"""Accounts for tests of whole registries: what an administrator would make over the API, made in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.accounts.keys import Keys
from entrepot.accounts.robot_permissions import Kind, RobotPermission
from entrepot.accounts.robots import Robots
from entrepot.adapters.identity.accounts import hash_password
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.opening import open_embedded
from entrepot.metadata.people import principals

T = TypeVar("T")


class Accounts:
    """The use cases of accounts, acting as an administrator."""

    def __init__(self, database: Database, admin: Principal) -> None:
        authorizer = Authorizer(Policy(database, max_age=0))
        self.database = database
        self.admin = admin
        self.by = Source(name=admin.name)
        self.keys = Keys(database, authorizer)
        self.robots = Robots(database, authorizer, hash_password)

    @classmethod
    async def of(cls, database: Database, admin: str = "admin") -> Accounts:
        """Act as this account."""
        record = await principals.find(database, principals.USER, admin)
        assert record is not None
        return cls(database, Principal(kind=PrincipalKind.USER, name=admin, id=record.id, epoch=record.epoch))

    async def project(self, name: str) -> None:
        """Make a project, if it is missing."""
        await self.database.write(lambda tx: projects.ensure(tx, name))


def with_accounts(state: Path, work: Callable[[Accounts], Awaitable[T]]) -> T:
    """Do something to the accounts of a registry that runs, in its state folder."""

    async def run() -> T:
        stores = await open_embedded(state)
        try:
            return await work(await Accounts.of(stores.metadata))
        finally:
            await stores.close()

    return asyncio.run(run())


def on_project(project: str, actions: str, **narrowed: str) -> RobotPermission:
    """Allow actions on a project: `pull,push` of its repositories, or permissions in full."""
    access = [Permission(a if ":" in a else f"repository:{a}") for a in actions.split(",")]
    return RobotPermission(kind=Kind.PROJECT, namespace=project, access=tuple(access), **narrowed)
