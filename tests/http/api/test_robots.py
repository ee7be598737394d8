"""Robots through the API, in Harbor's shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.api import Api, refusal
from tests.support.app import App

AsUser = Callable[[str], Api]
PUSH = [{"resource": "repository", "action": "push"}, {"resource": "repository", "action": "pull"}]
TRUST = {
    "issuer": "https://ci.example.org",
    "audience": "https://registry.example.org",
    "claims": {"repository": "acme/app", "ref": {"pattern": "refs/heads/*"}},
}


def robot(name: str = "ci", namespace: str = "demo", **more: Any) -> dict[str, Any]:
    """Describe a robot of a project."""
    permission = {"kind": "project", "namespace": namespace, "access": PUSH}
    return {"name": name, "level": "project", "duration": 30, "permissions": [permission], **more}


@pytest.fixture
async def project(admin: Api) -> int:
    """Make the project demo and return its number."""
    return int((await admin.made("/projects", {"project_name": "demo"})).rpartition("/")[2])


async def test_a_projects_robot_is_made_listed_changed_and_removed(admin: Api, project: int) -> None:
    """Name with prefix and project, secret once, seconds for its end; what was read can be sent back."""
    made = await admin.post("/robots", robot(description="Builds"))
    assert made.status == 201
    answer = made.json()
    assert set(answer) == {"id", "name", "secret", "creation_time", "expires_at"}
    assert answer["name"] == "robot$demo+ci"
    assert answer["secret"].startswith("reg_")
    path = f"/robots/{answer['id']}"
    assert made["Location"] == f"/api/v2.0{path}"
    found = await admin.found(path)
    assert (found["level"], found["duration"], found["disable"], found["editable"]) == ("project", 30, False, True)
    assert found["expires_at"] == answer["expires_at"]
    (permission,) = found["permissions"]
    assert (permission["kind"], permission["namespace"]) == ("project", "demo")
    assert {(a["resource"], a["action"]) for a in permission["access"]} == {
        ("repository", "push"),
        ("repository", "pull"),
    }
    assert "secret" not in found
    assert await admin.found(f"/robots?q=Level%3Dproject,ProjectID%3D{project}") == [found]
    assert await admin.found("/robots") == []
    assert (await admin.put(path, {**found, "disable": True, "duration": -1, "description": "Old"})).status == 200
    changed = await admin.found(path)
    assert (changed["disable"], changed["duration"], changed["expires_at"]) == (True, -1, -1)
    assert changed["permissions"] == found["permissions"]
    assert (await admin.delete(path)).status == 200
    assert refusal(await admin.get(path)) == (404, "NOT_FOUND")


async def test_a_system_robot_reaches_several_projects(admin: Api, project: int) -> None:
    """Of the registry as a whole, with permissions of both kinds, narrowed to repositories and tags."""
    permissions = [
        {"kind": "system", "namespace": "/", "access": [{"resource": "project", "action": "create"}]},
        {"kind": "project", "namespace": "*", "access": PUSH, "repositories": "*/web/**", "tags": "v*"},
    ]
    made = await admin.post("/robots", {"name": "all", "level": "system", "duration": -1, "permissions": permissions})
    assert made.status == 201, made.body
    assert (made.json()["name"], made.json()["expires_at"]) == ("robot$all", -1)
    (found,) = await admin.found("/robots")
    assert [(p["kind"], p["namespace"], p["repositories"], p["tags"]) for p in found["permissions"]] == [
        ("system", "/", None, None),
        ("project", "*", "*/web/**", "v*"),
    ]


async def test_the_secret_is_made_or_given(admin: Api, project: int) -> None:
    """A given one is not sent back, a weak one refused."""
    made = (await admin.post("/robots", robot())).json()
    path = f"/robots/{made['id']}"
    new = await admin.send("PATCH", path, {"secret": ""})
    assert new.status == 200
    assert new.json()["secret"] not in ("", made["secret"])
    given = await admin.send("PATCH", path, {"secret": "Given4Good"})
    assert (given.status, given.json()) == (200, {"secret": ""})
    assert refusal(await admin.send("PATCH", path, {"secret": "weak"})) == (400, "BAD_REQUEST")


async def test_a_robot_may_trust_outside_tokens(admin: Api, project: int) -> None:
    """The rules are shown as they were given, and checked."""
    made = (await admin.post("/robots", robot(trust=[TRUST]))).json()
    assert (await admin.found(f"/robots/{made['id']}"))["trust"] == [TRUST]
    for wrong in ([{**TRUST, "claims": {}}], [{**TRUST, "more": 1}], ["x"]):
        assert refusal(await admin.put(f"/robots/{made['id']}", {"trust": wrong})) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (robot(level=""), 400),
        (robot(level="galaxy"), 400),
        (robot("Not A Name"), 400),
        (robot(namespace="absent"), 404),
        (robot(duration=0), 400),
        (robot(permissions=[]), 400),
        (robot(permissions=[{"kind": "planet", "namespace": "demo", "access": PUSH}]), 422),
        (robot(permissions=[{"kind": "project", "namespace": "demo", "access": [], "owner": 1}]), 422),
        (robot(secret="weak"), 400),
        (
            robot(
                permissions=[
                    {
                        "kind": "project",
                        "namespace": "demo",
                        "access": [{"resource": "repository", "action": "push", "effect": "deny"}],
                    }
                ]
            ),
            400,
        ),
    ],
)
async def test_what_cannot_be_a_robot(admin: Api, project: int, body: dict[str, Any], status: int) -> None:
    """Each is refused with what is wrong."""
    answer = await admin.post("/robots", body)
    assert answer.status == status, answer.body
    assert refusal(answer)[0] == status


async def test_a_project_administrator_has_robots_of_that_project_alone(
    admin: Api, as_user: AsUser, app: App, project: int
) -> None:
    """Others' robots look as if they were not there; no robot can do what its maker cannot."""
    await admin.made("/projects", {"project_name": "other"})
    foreign = (await admin.post("/robots", robot(namespace="other"))).json()["id"]
    system = (
        await admin.post(
            "/robots",
            {
                "name": "sys",
                "level": "system",
                "permissions": [{"kind": "project", "namespace": "*", "access": PUSH}],
            },
        )
    ).json()["id"]
    await app.account(
        "chief", ("project:demo", "project:read,robot:create,robot:read,robot:update,robot:list,robot:delete,push,pull")
    )
    chief = as_user("chief")
    own = (await chief.post("/robots", robot())).json()
    assert own["name"] == "robot$demo+ci"
    for number in (foreign, 4711):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert refusal(await chief.send(method, f"/robots/{number}", {})) == (404, "NOT_FOUND")
    assert refusal(await chief.get(f"/robots/{system}")) == (403, "FORBIDDEN")
    assert refusal(await chief.get("/robots")) == (403, "FORBIDDEN")
    assert refusal(await chief.post("/robots", robot(namespace="other"))) == (404, "NOT_FOUND")
    wide = [{"kind": "project", "namespace": "demo", "access": [{"resource": "member", "action": "create"}]}]
    assert refusal(await chief.post("/robots", robot("more", permissions=wide))) == (403, "FORBIDDEN")
    assert refusal(await chief.put(f"/robots/{own['id']}", {"permissions": wide})) == (403, "FORBIDDEN")


async def test_a_robot_that_was_given_more_is_not_for_whoever_has_less(
    admin: Api, as_user: AsUser, app: App, project: int
) -> None:
    """Its secret, trust, closing and opening are for those who have all its rights, also those given to it later."""
    await admin.made("/projects", {"project_name": "secret"})
    made = (await admin.post("/robots", robot())).json()
    await app.account(
        "chief", ("project:demo", "project:read,robot:create,robot:read,robot:update,robot:list,push,pull")
    )
    chief = as_user("chief")
    path = f"/robots/{made['id']}"
    assert (await chief.send("PATCH", path, {})).status == 200
    given = {"principal_id": made["id"], "role_id": 4, "project_name": "secret"}
    assert (await admin.post("/grants", given)).status == 201, given
    assert refusal(await chief.send("PATCH", path, {})) == (403, "FORBIDDEN")
    assert refusal(await chief.put(path, {"trust": [TRUST]})) == (403, "FORBIDDEN")
    for disabled in (True, False):
        assert refusal(await chief.put(path, {"disable": disabled})) == (403, "FORBIDDEN")
        assert (await admin.put(path, {"disable": disabled})).status == 200
    assert (await admin.send("PATCH", path, {})).status == 200


async def test_who_may_less_removes_no_robot(admin: Api, as_user: AsUser, app: App, project: int) -> None:
    """The right to remove robots alone takes no rights from others, and a robot of no more than one's own goes."""
    whole = [{"kind": "project", "namespace": "demo", "access": [{"resource": "*", "action": "*"}]}]
    strong = (await admin.post("/robots", robot("strong", permissions=whole))).json()
    weak = (await admin.post("/robots", robot("weak"))).json()
    await app.account("helper", ("project:demo", "project:read,robot:read,robot:delete,push,pull"))
    helper = as_user("helper")
    assert refusal(await helper.delete(f"/robots/{strong['id']}")) == (403, "FORBIDDEN")
    assert (await helper.delete(f"/robots/{weak['id']}")).status == 200
    assert (await admin.delete(f"/robots/{strong['id']}")).status == 200


async def test_reading_an_open_project_is_nothing_to_give(admin: Api, as_user: AsUser, app: App, project: int) -> None:
    """A robot that would still read when the project is closed again is not for everybody to make."""
    await app.publish("demo")
    await app.account("maker-of-robots", ("*", "robot:create"))
    pull = [{"kind": "project", "namespace": "demo", "access": [{"resource": "repository", "action": "pull"}]}]
    spy = {"name": "spy", "level": "system", "duration": -1, "permissions": pull}
    assert refusal(await as_user("maker-of-robots").post("/robots", spy)) == (403, "FORBIDDEN")
    assert (await admin.post("/robots", spy)).status == 201


async def test_lists_ask_which_robots(admin: Api, anonymous: Api, project: int) -> None:
    """A project's robots need the project's number."""
    assert refusal(await admin.get("/robots?q=Level%3Dproject")) == (400, "BAD_REQUEST")
    assert refusal(await admin.get("/robots?q=Level%3D~proj")) == (400, "BAD_REQUEST")
    assert refusal(await admin.get("/robots?q=Level%3Dproject,ProjectID%3D999")) == (404, "NOT_FOUND")
    assert refusal(await anonymous.get("/robots")) == (401, "UNAUTHORIZED")
    assert refusal(await anonymous.get("/robots/1")) == (401, "UNAUTHORIZED")
