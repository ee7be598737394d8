"""The roles that come with the registry, row by row against Harbor's published matrix."""

import itertools

import pytest

from entrepot.access.permissions import PROJECT, Permission, known, within_project
from entrepot.access.roles import (
    BUILT_IN,
    DEVELOPER,
    FIRST_CUSTOM,
    GUEST,
    LIMITED_GUEST,
    MAINTAINER,
    PROJECT_ADMIN,
    REGISTRY2,
    SYSTEM_ADMIN,
    ensure_roles,
)
from entrepot.metadata.database import Database
from entrepot.metadata.people import grants, roles
from tests.support.rows import all_grants

_CRUD = "create read update delete"
#: What Harbor gives (src/common/rbac/project/rbac_role.go, without exports of CVEs), by its names for resources.
HARBOR = {
    LIMITED_GUEST: {
        "project": "read",
        "quota": "read",
        "repository": "read list pull",
        "configuration": "read",
        "scan": "read",
        "scanner": "read",
        "tag": "list",
        "accessory": "list",
        "artifact": "read list",
        "artifact-addition": "read",
    },
    GUEST: {
        "project": "read",
        "member": "read list",
        "label": "read list",
        "quota": "read",
        "repository": "read list pull",
        "configuration": "read",
        "robot": "read list",
        "scan": "read",
        "scanner": "read",
        "tag": "list",
        "accessory": "list",
        "artifact": "read list",
        "artifact-addition": "read",
    },
    DEVELOPER: {
        "project": "read",
        "member": "read list",
        "label": "read list",
        "quota": "read",
        "repository": "create read update list push pull",
        "tag-retention": f"{_CRUD} list operate",
        "configuration": "read",
        "robot": "read list",
        "scan": "read",
        "scanner": "read",
        "artifact": "create read list",
        "artifact-addition": "read",
        "tag": "list create",
        "accessory": "list",
        "artifact-label": "create delete",
    },
    MAINTAINER: {
        "project": "read",
        "member": "read list",
        "metadata": "read",
        "quota": "read",
        "label": f"{_CRUD} list",
        "repository": f"{_CRUD} list push pull",
        "tag-retention": f"{_CRUD} list operate",
        "accessory": "list",
        "immutable-tag": "create update delete list",
        "configuration": "read",
        "robot": "read list",
        "notification-policy": "read list",
        "scan": "create read stop",
        "scanner": "read",
        "artifact": "create read delete list",
        "artifact-addition": "read",
        "tag": "list create delete",
        "artifact-label": "create delete",
    },
    PROJECT_ADMIN: {
        "project": "read update delete",
        "member": f"{_CRUD} list",
        "metadata": _CRUD,
        "log": "list",
        "label": f"{_CRUD} list",
        "quota": "read",
        "repository": f"{_CRUD} list pull push",
        "tag-retention": f"{_CRUD} list operate",
        "immutable-tag": "create update delete list",
        "configuration": "read update",
        "robot": f"{_CRUD} list",
        "notification-policy": f"{_CRUD} list",
        "scan": "create read stop",
        "scanner": "read create",
        "artifact": "create read delete list",
        "artifact-addition": "read",
        "tag": "list create delete",
        "accessory": "list",
        "artifact-label": "create delete",
        "preheat-policy": f"{_CRUD} list",
    },
}
#: What is newer in Harbor than that table, what we let a role read that it may write, and what Harbor does not have.
MORE = {
    LIMITED_GUEST: {"sbom:read"},
    GUEST: {"sbom:read"},
    DEVELOPER: {"sbom:read", "trash:list", "trash:read"},
    MAINTAINER: {
        "sbom:create",
        "sbom:read",
        "sbom:stop",
        "metadata:list",
        "immutable-tag:read",
        "trash:list",
        "trash:read",
        "trash:restore",
    },
    PROJECT_ADMIN: {
        "sbom:create",
        "sbom:read",
        "sbom:stop",
        "metadata:list",
        "immutable-tag:read",
        "export-cve:create",
        "export-cve:read",
        "export-cve:list",
        "trash:list",
        "trash:read",
        "trash:restore",
        "trash:purge",
        "trash:empty",
    },
}
#: What Harbor's table gives and we do not: a maintainer could make a project public (CVE-2024-22278), and a developer,
#: who may not delete tags, could let a policy delete them.
LESS = {
    MAINTAINER: {"metadata:create", "metadata:update", "metadata:delete"},
    DEVELOPER: {f"tag-retention:{action}" for action in ("create", "update", "delete", "operate")},
}
BY_ID = {role.id: role for role in BUILT_IN}


@pytest.mark.parametrize("role", HARBOR)
def test_harbors_roles_give_what_harbor_gives(role: int) -> None:
    """Each row of the matrix, and nothing beside what is listed here."""
    published = {Permission.of(resource, action) for resource, row in HARBOR[role].items() for action in row.split()}
    assert BY_ID[role].permissions == (published | MORE[role]) - LESS.get(role, set())


def test_harbors_ids() -> None:
    """Clients send numbers: they mean what they mean in Harbor."""
    ids = {name: role.id for role in BUILT_IN if (name := role.name)}
    assert ids == {
        "projectAdmin": 1,
        "developer": 2,
        "guest": 3,
        "maintainer": 4,
        "limitedGuest": 5,
        "systemAdmin": 100,
        "registry2": 101,
    }
    assert max(ids.values()) < FIRST_CUSTOM


def test_each_role_has_what_the_one_below_it_has() -> None:
    """From limited guest to project administrator nothing is lost."""
    ladder = [BY_ID[role].permissions for role in (LIMITED_GUEST, GUEST, DEVELOPER, MAINTAINER, PROJECT_ADMIN)]
    for lower, higher in itertools.pairwise(ladder):
        assert lower < higher
    assert ladder[-1] == within_project()


def test_roles_name_what_there_is() -> None:
    """No role names a permission that is not in the list, but for the one of everything."""
    for role in BUILT_IN:
        assert role.id == SYSTEM_ADMIN or role.permissions <= known(), role.name


def test_registry2_administers_nothing() -> None:
    """The compatibility role pulls, pushes, deletes and lists: nothing about people, rights or settings."""
    touched = {permission.resource for permission in BY_ID[REGISTRY2].permissions}
    assert touched <= {"repository", "artifact", "artifact-addition", "tag", "accessory", "project", "catalog", "trash"}
    assert not {"member", "robot", "configuration"} & touched
    assert "project:update" not in BY_ID[REGISTRY2].permissions
    assert set(PROJECT) >= touched - {"catalog"}


async def test_a_start_brings_them_up_to_date(database: Database) -> None:
    """A role that an earlier version wrote, or somebody changed in the database, is as this version knows it again."""
    await database.write(
        lambda tx: roles.put_built_in(tx, GUEST, name="guest", description="old", permissions=["repository:pull"])
    )
    await ensure_roles(database)
    guest = await roles.find(database, GUEST)
    assert guest is not None
    assert guest.permissions == BY_ID[GUEST].permissions
    transactions = database.statistics.transactions
    await ensure_roles(database)
    assert database.statistics.transactions == transactions


async def test_a_start_keeps_what_people_made(database: Database) -> None:
    """Roles of people and the grants of any role stay as they are."""
    made = await database.write(
        lambda tx: roles.create(tx, first_id=FIRST_CUSTOM, name="mine", description="", permissions=["tag:list"])
    )
    await database.write(lambda tx: grants.add(tx, audience="anyone", role_id=GUEST, origin="test"))
    await database.write(
        lambda tx: roles.put_built_in(tx, GUEST, name="guest", description="old", permissions=["repository:pull"])
    )
    await ensure_roles(database)
    mine = await roles.find(database, made)
    assert mine is not None
    assert (mine.id, mine.permissions) == (FIRST_CUSTOM, {"tag:list"})
    assert [grant.role for grant in await all_grants(database)] == ["guest"]
