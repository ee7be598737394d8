"""Rights in the short form that tests speak: where, and which of a few actions."""

from __future__ import annotations

from collections.abc import Iterable

from entrepot.access.permissions import CATALOG, CREATE_PROJECT, DELETE, EVERYTHING, PULL, PUSH, Permission
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import grants

_SHORT = {
    "pull": PULL,
    "push": PUSH,
    "delete": DELETE,
    "catalog": CATALOG,
    "create": CREATE_PROJECT,
    "*": EVERYTHING,
}


def permissions_of(actions: str) -> frozenset[Permission]:
    """Read actions as tests write them: `pull,push`, `*`, or permissions in full."""
    return frozenset(_SHORT.get(action, Permission(action)) for action in actions.split(","))


async def give(
    database: Database,
    where: str,
    actions: str,
    *,
    principal_id: int | None = None,
    audience: str | None = None,
    origin: str = "test",
) -> int:
    """Add a grant and return its id.

    Args:
        database: The metadata.
        where: `*`, `project:NAME` (made if it is missing), or `repositories:PATTERN`.
        actions: See `permissions_of`.
        principal_id: Who gets it; or
        audience: `anyone` or `authenticated`.
        origin: Why it exists.
    """

    async def write(tx: Transaction) -> int:
        kind, _, name = where.partition(":")
        return await grants.add(
            tx,
            principal_id=principal_id,
            audience=audience,
            permissions=permissions_of(actions),
            project_id=(await projects.ensure(tx, name)).id if kind == "project" else None,
            repositories=name if kind == "repositories" else None,
            origin=origin,
        )

    return await database.write(write)


async def give_all(database: Database, principal_id: int, rights: Iterable[tuple[str, str]]) -> None:
    """Add a grant for each pair of `where` and `actions`."""
    for where, actions in rights:
        await give(database, where, actions, principal_id=principal_id)
