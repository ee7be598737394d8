"""Groups through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.api import Api, refusal
from tests.support.app import App

AsUser = Callable[[str], Api]


async def make(admin: Api, name: str, **more: object) -> str:
    """Make a group and return its path."""
    return await admin.made("/usergroups", {"group_name": name, **more})


async def test_a_group_is_made_renamed_and_removed(admin: Api) -> None:
    """With Harbor's fields; ours is a type of its own, Harbor's HTTP groups are taken for ours."""
    path = await make(admin, "developers", group_type=2)
    group = await admin.found(path)
    assert (group["group_name"], group["group_type"], group["provider"]) == ("developers", 4, "local")
    assert (await admin.put(path, {**group, "group_name": "programmers"})).status == 200
    assert (await admin.found(path))["group_name"] == "programmers"
    assert refusal(await admin.post("/usergroups", {"group_name": "programmers"})) == (409, "CONFLICT")
    assert (await admin.delete(path)).status == 200
    assert refusal(await admin.get(path)) == (404, "NOT_FOUND")


async def test_groups_of_directories_and_providers(admin: Api) -> None:
    """Known by what they are called there; a DN is one DN in any spelling."""
    dn = "CN=Developers, OU=Groups, DC=example, DC=org"
    path = await make(admin, "devs", group_type=1, ldap_group_dn=dn)
    group = await admin.found(path)
    assert (group["group_type"], group["provider"]) == (1, "ldap")
    assert await admin.found("/usergroups?ldap_group_dn=cn%3Ddevelopers,ou%3Dgroups,dc%3Dexample,dc%3Dorg") == [group]
    claim = await admin.found(await make(admin, "ops", group_type=3, provider="oidc:keycloak", subject="/ops"))
    assert (claim["group_type"], claim["provider"], claim["subject"]) == (3, "oidc:keycloak", "/ops")
    for wrong in ({"group_type": 1}, {"ldap_group_dn": "no dn"}, {"group_type": 3}):
        assert refusal(await admin.post("/usergroups", {"group_name": "x", **wrong})) == (400, "BAD_REQUEST")


async def test_members_come_and_go(admin: Api, nobody: Api) -> None:
    """Only of groups of ours; somebody is in a group once."""
    path = await make(admin, "developers")
    number = (await nobody.found("/users/current"))["user_id"]
    assert (await admin.post(f"{path}/members", {"user_id": number})).status == 201
    assert refusal(await admin.post(f"{path}/members", {"user_id": number})) == (409, "CONFLICT")
    assert await admin.found(f"{path}/members") == [{"user_id": number, "username": "nobody", "disabled": False}]
    assert (await admin.delete(f"{path}/members/{number}")).status == 200
    assert refusal(await admin.delete(f"{path}/members/{number}")) == (404, "NOT_FOUND")
    foreign = await make(admin, "devs", ldap_group_dn="cn=devs,dc=example,dc=org")
    assert refusal(await admin.post(f"{foreign}/members", {"user_id": number})) == (412, "PRECONDITION")


async def test_lists_and_search(
    app: App, as_user: Callable[[str], Api], admin: Api, nobody: Api, anonymous: Api
) -> None:
    """The list is the administrator's, the search also theirs who give roles in a project."""
    for name in ("developers", "designers", "managers"):
        await make(admin, name)
    answer = await admin.get("/usergroups?group_name=DE&page_size=1")
    assert [group["group_name"] for group in answer.json()] == ["designers"]
    assert answer["X-Total-Count"] == "2"
    await app.account("manager", ("project:demo", "member:create"))
    found = await as_user("manager").found("/usergroups/search?groupname=anag")
    assert [(group["group_name"], set(group)) for group in found] == [("managers", {"id", "group_name", "group_type"})]
    assert refusal(await nobody.get("/usergroups/search?groupname=a")) == (403, "FORBIDDEN")
    assert refusal(await anonymous.get("/usergroups/search?groupname=a")) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_nobody_else_manages_groups(admin: Api, nobody: Api, anonymous: Api, method: str) -> None:
    """Not signed in 401, signed in 403."""
    path = await make(admin, "developers")
    for place in (path, f"{path}/members/1" if method == "DELETE" else path):
        assert refusal(await nobody.send(method, place, {"group_name": "x"})) == (403, "FORBIDDEN")
        assert refusal(await anonymous.send(method, place, {"group_name": "x"})) == (401, "UNAUTHORIZED")
    assert refusal(await nobody.post("/usergroups", {"group_name": "x"})) == (403, "FORBIDDEN")
    assert refusal(await nobody.get("/usergroups")) == (403, "FORBIDDEN")


async def test_who_fills_groups_gets_no_rights_by_it(admin: Api, as_user: AsUser, app: App) -> None:
    """A group that may more than who puts somebody into it is left alone."""
    path = await make(admin, "bosses")
    group = int(path.rpartition("/")[2])
    await admin.made("/grants", {"principal_id": group, "role_id": 100})
    await app.account("clerk", ("*", "user-group:update,user-group:read,user-group:delete"))
    clerk = as_user("clerk")
    number = (await clerk.found("/users/current"))["user_id"]
    assert refusal(await clerk.post(f"{path}/members", {"user_id": number})) == (403, "FORBIDDEN")
    assert refusal(await clerk.delete(path)) == (403, "FORBIDDEN")
