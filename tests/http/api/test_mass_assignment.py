"""No field of a request makes anybody more than they are, on whatever route and whoever sends it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from entrepot.metadata.people import users
from entrepot.metadata.query import RawQuery
from tests.support.api import Api
from tests.support.app import App
from tests.support.documented import operations

PASSWORD = "seven boats at anchor"
#: Names under which other registries, and ours, keep what decides who may what.
PRIVILEGED: dict[str, Any] = {
    "has_admin_role": True,
    "admin_role_in_auth": True,
    "sysadmin_flag": True,
    "sysadmin": True,
    "is_admin": True,
    "admin": True,
    "role": 1,
    "role_id": 100,
    "role_name": "systemAdmin",
    "permissions": [{"resource": "*", "action": "*"}],
    "user_id": 1,
    "owner_id": 1,
    "principal_id": 1,
    "creator": "user:admin",
    "built_in": True,
    "editable": True,
    "origin": "first-start",
    "epoch": -1,
    "provider": "local",
    "disabled": False,
    "must_change": False,
    "secret": "$argon2id$v=19$m=19456,t=2,p=1$x",
    "Salt": "x",
}
_RIGHTS = RawQuery("SELECT principal_id, audience, role_id, permissions, project_id, origin FROM grants ORDER BY id")
_ADMINS = RawQuery("SELECT name, disabled, epoch FROM principals WHERE name IN ('admin', 'maker') ORDER BY name")


@pytest.fixture
async def callers(app: App, admin: Api) -> dict[str, Api]:
    """Give a stranger (who may make an account), somebody without rights, a project's administrator and a robot."""
    await admin.put("/configurations", {"self_registration": True})
    maker = Api(app.basic("maker"))
    await maker.made("/projects", {"project_name": "demo"})
    access = [{"resource": "repository", "action": "pull"}]
    robot = await admin.post(
        "/robots",
        {
            "name": "ci",
            "level": "project",
            "duration": 30,
            "permissions": [{"kind": "project", "namespace": "demo", "access": access}],
        },
    )
    assert robot.status == 201
    made = robot.json()
    secret = base64.b64encode(f"{made['name']}:{made['secret']}".encode()).decode()
    people = {
        "anonymous": Api(app.client()),
        "nobody": Api(app.basic("nobody")),
        "maker": maker,
        "robot": Api(app.client(headers={"Authorization": f"Basic {secret}"})),
    }
    assert (await people["robot"].get("/users/current")).status == 412  # signed in, and no person
    return people


async def standing(app: App) -> tuple[object, ...]:
    """Return all rights that there are, and how the administrators' accounts are."""
    metadata = app.stores.metadata
    return [tuple(row) for row in await metadata.all(_RIGHTS)], [tuple(row) for row in await metadata.all(_ADMINS)]


@pytest.mark.parametrize("who", ["anonymous", "nobody", "maker", "robot"])
async def test_cve_2019_16097_no_field_makes_an_administrator(app: App, callers: dict[str, Api], who: str) -> None:
    """Every changing request with every privileged field beside its own: nobody administers more than before.

    Harbor's self-registration took `has_admin_role`. Here a project's administrator may give roles on that project, and
    nothing else comes of any of these fields.
    """
    before = await standing(app)
    tried = 0
    for operation in await operations(app):
        if operation.method not in ("POST", "PUT", "PATCH") or not isinstance(operation.body, dict):
            continue
        for body in ({**operation.body, **PRIVILEGED}, {**PRIVILEGED, **operation.body}):
            answer = await callers[who].send(operation.method, operation.target(), body)
            assert answer.status < 500, (str(operation), answer.body)
            tried += 1
    assert tried > 60
    await only_administrators_are_so(app)
    rights, accounts = await standing(app)
    assert accounts == before[1]
    if who != "maker":
        assert rights == before[0]


async def only_administrators_are_so(app: App) -> None:
    """Fail if anybody but the one administrator has a right on the whole registry that the test did not give."""
    rows = await app.stores.metadata.all(_RIGHTS)
    admin = await users.find(app.stores.metadata, "admin")
    assert admin is not None
    for principal, audience, role, permissions, project, _ in rows:
        if project is None and principal != admin.id and audience is None:
            assert role != 100
            assert "*:*" not in (permissions or "").split(",")


async def test_cve_2019_16097_an_account_made_by_its_owner_has_no_rights(app: App, callers: dict[str, Api]) -> None:
    """What is made by self-registration with every privileged field is an ordinary account."""
    body = {"email": "w@example.org", **PRIVILEGED, "username": "walter", "password": PASSWORD}
    await callers["anonymous"].made("/users", body)
    walter = await users.find(app.stores.metadata, "walter")
    assert walter is not None
    assert (walter.sysadmin, walter.provider, walter.must_change) == (False, "local", False)


@pytest.mark.parametrize("name", ["admin", "nobody"])
async def test_cve_2019_19023_a_profile_is_changed_by_its_owner_alone(
    app: App, callers: dict[str, Api], admin: Api, name: str
) -> None:
    """Another person's address is no way to their account: nobody changes it, and no address signs anybody in."""
    victim = await users.find(app.stores.metadata, name)
    assert victim is not None
    path = f"/users/{victim.id}"
    profile = {"email": "mallory@example.org", "realname": "Mallory"}
    for who in ("anonymous", "maker", "robot"):
        assert (await callers[who].put(path, profile)).status in (401, 403), who
    assert (await admin.put(path, {"email": f"{name}@example.org"})).status == 200
    assert (await app.basic(f"{name}@example.org").get("/api/v2.0/users/current")).status == 401
