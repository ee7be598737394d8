"""Roles, grants and explanations through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.api import Api, refusal
from tests.support.app import App

AsUser = Callable[[str], Api]
PUSH = {"resource": "repository", "action": "push"}
PULL = {"resource": "repository", "action": "pull"}


async def test_harbors_roles_are_there(nobody: Api, anonymous: Api) -> None:
    """With its numbers; whoever signs in may read them."""
    found = {role["id"]: role for role in await nobody.found("/roles")}
    assert {number: found[number]["name"] for number in range(1, 6)} == {
        1: "projectAdmin",
        2: "developer",
        3: "guest",
        4: "maintainer",
        5: "limitedGuest",
    }
    assert found[2]["built_in"] is True
    assert PUSH in found[2]["permissions"]
    assert PUSH not in found[3]["permissions"]
    assert refusal(await anonymous.get("/roles")) == (401, "UNAUTHORIZED")


async def test_a_role_is_made_given_changed_and_removed(admin: Api, nobody: Api) -> None:
    """Whoever has it has what it says now; it stays as long as somebody has it."""
    await admin.made("/projects", {"project_name": "demo"})
    path = await admin.made("/roles", {"name": "releaser", "description": "Pushes", "permissions": [PUSH]})
    number = int(path.rpartition("/")[2])
    assert number >= 1000
    user = (await nobody.found("/users/current"))["user_id"]
    grant = await admin.made("/grants", {"principal_id": user, "role_id": number, "project_name": "demo"})
    may = "/permissions/explain?action=pull&target=demo/app"
    assert (await nobody.found(may))["allowed"] is False
    assert (await admin.put(path, {"name": "releaser", "permissions": [PUSH, PULL]})).status == 200
    assert (await nobody.found(may))["allowed"] is True
    assert refusal(await admin.delete(path)) == (412, "PRECONDITION")
    assert (await admin.delete(grant)).status == 200
    assert (await admin.delete(path)).status == 200
    assert refusal(await admin.get(path)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "permissions": []}, 400),
        ({"name": "x", "permissions": [{"resource": "moon", "action": "pull"}]}, 400),
        ({"name": "", "permissions": [PULL]}, 400),
        ({"name": "guest", "permissions": [PULL]}, 409),
        ({"name": "x", "permissions": [PULL], "built_in": True}, 422),
        ({"name": "x", "permissions": ["repository:pull"]}, 422),
    ],
)
async def test_what_cannot_be_a_role(admin: Api, body: dict[str, object], status: int) -> None:
    """Names in use, permissions that there are not, fields that are not for the caller."""
    assert (await admin.post("/roles", body)).status == status
    assert (await admin.put("/roles/2", {"name": "developer", "permissions": [PULL]})).status == 412


async def test_grants_say_everything_that_was_given(admin: Api, nobody: Api) -> None:
    """To users, audiences and groups; on a project, on repositories, on tags, until some moment."""
    await admin.made("/projects", {"project_name": "demo"})
    user = (await nobody.found("/users/current"))["user_id"]
    path = await admin.made(
        "/grants",
        {
            "principal_id": user,
            "permissions": [PUSH, PULL],
            "repositories": "demo/web/**",
            "tags": "v*",
            "expires_at": "2099-01-01T00:00:00Z",
        },
    )
    grant = await admin.found(path)
    assert (grant["principal_name"], grant["principal_kind"]) == ("nobody", "user")
    assert (grant["role_id"], grant["permissions"]) == (None, [PULL, PUSH])
    assert (grant["repositories"], grant["tags"]) == ("demo/web/**", "v*")
    assert (grant["expires_at"], grant["origin"]) == ("2099-01-01T00:00:00Z", "given")
    assert grant in await admin.found("/grants?q=entity_name%3Dnobody")
    everyone = await admin.made("/grants", {"audience": "authenticated", "role_id": 3, "project_name": "demo"})
    assert (await admin.found(everyone))["audience"] == "authenticated"
    assert (await nobody.found("/permissions/explain?action=pull&target=demo/app"))["allowed"] is True
    for wrong, status in (
        ({"role_id": 2}, 400),
        ({"principal_id": user}, 400),
        ({"principal_id": user, "role_id": 2, "permissions": [PULL]}, 400),
        ({"principal_id": user, "role_id": 999}, 404),
        ({"principal_id": 999, "role_id": 2}, 404),
        ({"principal_id": user, "role_id": 2, "project_name": "absent"}, 404),
        ({"audience": "martians", "role_id": 2}, 422),
        ({"principal_id": user, "role_id": 2, "origin": "first-start"}, 422),
    ):
        assert (await admin.post("/grants", wrong)).status == status, wrong


async def test_nobody_gives_or_takes_above_themselves(admin: Api, as_user: AsUser, app: App) -> None:
    """Who may change roles alone makes nobody an administrator, widens no role, and disarms no administrator."""
    await app.account("clerk", ("*", "role:create,role:update,role:list,role:delete"))
    clerk = as_user("clerk")
    number = (await clerk.found("/users/current"))["user_id"]
    for answer in (
        await clerk.post("/grants", {"principal_id": number, "role_id": 100}),
        await clerk.post("/grants", {"audience": "anyone", "permissions": [PUSH]}),
        await clerk.post("/roles", {"name": "all", "permissions": [{"resource": "*", "action": "*"}]}),
    ):
        assert refusal(answer) == (403, "FORBIDDEN")
    boss = (await admin.found("/users/current"))["user_id"]
    (grant,) = [g for g in await admin.found("/grants?page_size=100") if g["principal_id"] == boss][:1]
    assert refusal(await clerk.delete(f"/grants/{grant['id']}")) == (403, "FORBIDDEN")


async def test_rights_are_not_for_everybody_to_see(admin: Api, nobody: Api, anonymous: Api) -> None:
    """Lists of grants and explanations about others are the administrator's."""
    for path in ("/grants", "/grants/1", "/permissions/explain?user=admin&action=pull"):
        assert refusal(await nobody.get(path)) == (403, "FORBIDDEN")
        assert refusal(await anonymous.get(path)) == (401, "UNAUTHORIZED")


async def test_a_decision_is_explained(admin: Api, nobody: Api) -> None:
    """With the grant that says yes, or with every one that does not; of oneself, or of others to who may know."""
    await admin.made("/projects", {"project_name": "demo"})
    own = await nobody.found("/permissions/explain?action=push&target=demo/app:v1")
    assert own["allowed"] is False
    assert own["reason"]
    told = await admin.found("/permissions/explain?user=admin&action=push&target=demo/app")
    assert told["allowed"] is True
    assert any("allows it" in line for line in told["trace"])
    for wrong in ("action=fly", "action=pull&target=A//b", "action=pull&user=ghost"):
        assert (await admin.get(f"/permissions/explain?{wrong}")).status in (400, 404)


async def test_what_one_may_oneself(admin: Api, nobody: Api, as_user: AsUser, app: App) -> None:
    """On the registry, or within a project by number or name; what one cannot see allows nothing."""
    number = (await admin.made("/projects", {"project_name": "demo"})).rpartition("/")[2]
    await app.account("bob", ("project:demo", "project:read,pull"))
    bob = as_user("bob")
    relative = await bob.found(f"/users/current/permissions?scope=/project/{number}&relative=true")
    assert {(p["resource"], p["action"]) for p in relative} == {("project", "read"), ("repository", "pull")}
    absolute = await bob.found("/users/current/permissions?scope=/project/demo")
    assert {p["resource"] for p in absolute} == {"/project/demo/project", "/project/demo/repository"}
    assert not {p["resource"] for p in await bob.found("/users/current/permissions")} & {"/system/user", "/system/role"}
    assert await nobody.found("/users/current/permissions?scope=/project/absent") == []
    assert len(await admin.found("/users/current/permissions")) > 50
    assert refusal(await bob.get("/users/current/permissions?scope=demo")) == (400, "BAD_REQUEST")
