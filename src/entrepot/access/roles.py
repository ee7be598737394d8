"""The roles that every registry has, with Harbor's ids for the first five and the same matrix.

Roles are rows: `ensure_roles` writes these at a start, so that a later version may give a role what it newly knows.
Other roles are made by people, from the same list of permissions, and have ids from 1,000 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entrepot.access.permissions import EVERYTHING, PROJECT, Permission
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import roles
from entrepot.metadata.transaction_turns import in_turn

PROJECT_ADMIN = 1
DEVELOPER = 2
GUEST = 3
MAINTAINER = 4
LIMITED_GUEST = 5
SYSTEM_ADMIN = 100
REGISTRY2 = 101
#: Roles made by people begin here.
FIRST_CUSTOM = 1000


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A role that comes with the registry."""

    id: int
    name: str
    description: str
    permissions: frozenset[Permission]


def _spelt(table: Mapping[str, str]) -> frozenset[Permission]:
    return frozenset(Permission.of(resource, action) for resource, row in table.items() for action in row.split())


_ALL = "create read update delete list"
_LIMITED_GUEST = {
    "project": "read",
    "quota": "read",
    "repository": "read list pull",
    "configuration": "read",
    "scan": "read",
    "sbom": "read",
    "scanner": "read",
    "tag": "list",
    "accessory": "list",
    "artifact": "read list",
    "artifact-addition": "read",
}
_GUEST = _LIMITED_GUEST | {
    "member": "read list",
    "label": "read list",
    "robot": "read list",
}
#: Not Harbor's `tag-retention: create update delete operate`: who may not delete tags lets no policy delete them.
_DEVELOPER = _GUEST | {
    "repository": "create read update list push pull",
    "tag-retention": "read list",
    "trash": "list read",
    "artifact": "create read list",
    "tag": "list create",
    "artifact-label": "create delete",
}
#: Not Harbor's `metadata: create update delete`: who may read a project is its administrators' matter (CVE-2024-22278).
_MAINTAINER = _DEVELOPER | {
    "metadata": "read list",
    "label": _ALL,
    "repository": f"{_ALL} push pull",
    "tag-retention": f"{_ALL} operate",
    "immutable-tag": _ALL,
    "trash": "list read restore",
    "notification-policy": "read list",
    "scan": "create read stop",
    "sbom": "create read stop",
    "artifact": "create read delete list",
    "tag": "list create delete",
}
_PROJECT_ADMIN = {resource: " ".join(actions) for resource, actions in PROJECT.items()}

BUILT_IN = (
    BuiltIn(PROJECT_ADMIN, "projectAdmin", "Everything within a project.", _spelt(_PROJECT_ADMIN)),
    BuiltIn(MAINTAINER, "maintainer", "Developer, and deleting and labels.", _spelt(_MAINTAINER)),
    BuiltIn(DEVELOPER, "developer", "Pulling and pushing.", _spelt(_DEVELOPER)),
    BuiltIn(GUEST, "guest", "Pulling, and seeing who is a member.", _spelt(_GUEST)),
    BuiltIn(LIMITED_GUEST, "limitedGuest", "Pulling only.", _spelt(_LIMITED_GUEST)),
    BuiltIn(SYSTEM_ADMIN, "systemAdmin", "Everything.", frozenset((EVERYTHING,))),
    BuiltIn(
        REGISTRY2,
        "registry2",
        "What registry:2 gives to everybody who gets past its `auth`.",
        _spelt(
            {
                "repository": "create read list pull push",
                "artifact": "create read list delete",
                "tag": "create list delete",
                "trash": "list read restore",
                "artifact-addition": "read",
                "accessory": "list",
                "project": "create list read",
                "catalog": "read",
            }
        ),
    ),
)


async def ensure_roles(database: Database) -> None:
    """Bring the rows of the built-in roles to what this version knows; no write when nothing differs."""
    known = {record.id: record for record in await roles.built_in(database)}
    wanted = [role for role in BUILT_IN if _differs(role, known.get(role.id))]
    if not wanted:
        return

    async def write(tx: Transaction) -> None:
        await in_turn(tx, "built-in roles")  # of several that start at once
        for role in wanted:
            await roles.put_built_in(
                tx, role.id, name=role.name, description=role.description, permissions=role.permissions
            )

    await database.write(write, name="built-in roles")


def _differs(role: BuiltIn, record: roles.RoleRecord | None) -> bool:
    return record is None or (record.name, record.description, record.permissions) != (
        role.name,
        role.description,
        frozenset(map(str, role.permissions)),
    )
