"""Members of projects through the API."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.metadata import clock
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.events import recorded

MEMBERS = "/projects/demo/members"


@pytest.fixture
async def people(app: App, admin: Api) -> dict[str, Api]:
    """Give the project `demo` with its maker, a guest, a stranger, and the group `devs`."""
    maker = Api(app.basic("maker"))
    await maker.made("/projects", {"project_name": "demo"})
    for name in ("guest", "stranger"):
        await app.account(name)
    await maker.made(MEMBERS, {"role_id": 3, "member_user": {"username": "guest"}})
    return {name: Api(app.basic(name)) for name in ("maker", "guest", "stranger")}


async def test_a_member_is_added_and_may(app: App, people: dict[str, Api]) -> None:
    """Harbor's shape goes in, and Harbor's shape comes out; the role works at once."""
    assert (await people["stranger"].get("/projects/demo")).status == 404
    place = await people["maker"].made(MEMBERS, {"role_id": 2, "member_user": {"username": "stranger"}})
    member = await people["maker"].found(place)
    assert place == f"/projects/1/members/{member['id']}"
    assert {key: member[key] for key in ("project_id", "entity_name", "entity_type", "role_id", "role_name")} == {
        "project_id": 1,
        "entity_name": "stranger",
        "entity_type": "u",
        "role_id": 2,
        "role_name": "developer",
    }
    assert (await people["stranger"].found("/projects/demo"))["current_user_role_ids"] == [2]
    assert (await recorded(app.stores.metadata))[-1].kind == "grant"


async def test_by_number_or_by_name(app: App, people: dict[str, Api]) -> None:
    """Clients name people either way."""
    someone = await app.account("someone")
    place = await people["maker"].made(MEMBERS, {"role_id": 5, "member_user": {"user_id": someone.id}})
    assert (await people["maker"].found(place))["entity_name"] == "someone"


async def test_a_group_of_a_directory(app: App, people: dict[str, Api]) -> None:
    """As with Harbor, a group that the directory has is known from the moment it is named."""
    dn = "cn=Devs, ou=groups,dc=example,dc=org"
    document = {"role_id": 4, "member_group": {"group_name": "devs", "group_type": 1, "ldap_group_dn": dn}}
    member = await people["maker"].found(await people["maker"].made(MEMBERS, document))
    assert (member["entity_name"], member["entity_type"]) == ("devs", "g")
    again = {"role_id": 2, "member_group": {"ldap_group_dn": dn.upper()}}
    assert refusal(await people["maker"].post(MEMBERS, again)) == (409, "CONFLICT")
    assert (
        await people["maker"].post(MEMBERS, {"role_id": 2, "member_group": {"ldap_group_dn": "devs"}})
    ).status == 400


async def test_the_list_is_filtered_sorted_and_paged(people: dict[str, Api]) -> None:
    """Names are found by a part; `q` and `sort` work as everywhere."""
    listed = await people["guest"].found(MEMBERS)
    assert [(member["entity_name"], member["role_name"]) for member in listed] == [
        ("guest", "guest"),
        ("maker", "projectAdmin"),
    ]
    for query, names in {
        "entityname=UES": ["guest"],
        "sort=-entity_name": ["maker", "guest"],
        "q=role_id%3D1": ["maker"],
        "q=role_name%3D~project%2Centity_type%3Duser": ["maker"],
        "page=2&page_size=1": ["maker"],
    }.items():
        assert [m["entity_name"] for m in await people["guest"].found(f"{MEMBERS}?{query}")] == names, query
    assert (await people["guest"].get(MEMBERS))["X-Total-Count"] == "2"


async def test_another_role(people: dict[str, Api]) -> None:
    """It is changed and taken back; then the project is hidden again."""
    (guest,) = await people["maker"].found(f"{MEMBERS}?entityname=guest")
    place = f"{MEMBERS}/{guest['id']}"
    assert (await people["maker"].put(place, {"role_id": 4})).status == 200
    assert (await people["maker"].found(place))["role_name"] == "maintainer"
    assert (await people["maker"].delete(place)).status == 200
    assert refusal(await people["maker"].get(place)) == (404, "NOT_FOUND")
    assert refusal(await people["guest"].get("/projects/demo")) == (404, "NOT_FOUND")


async def test_a_role_on_a_part_for_a_while(people: dict[str, Api]) -> None:
    """Our own fields say for which repositories and tags, and until when; a change of role leaves them."""
    document = {
        "role_id": 2,
        "member_user": {"username": "stranger"},
        "repositories": "demo/web/**",
        "tags": "v*",
        "expires_at": "2100-01-01T00:00:00Z",
    }
    place = await people["maker"].made(MEMBERS, document)
    assert (await people["maker"].put(place, {"role_id": 3})).status == 200
    member = await people["maker"].found(place)
    assert (member["role_id"], member["repositories"], member["tags"]) == (3, "demo/web/**", "v*")
    assert member["expires_at"] == "2100-01-01T00:00:00Z"
    assert (await people["maker"].put(place, {"role_id": 3, "repositories": "demo/*"})).status == 200
    assert (await people["maker"].found(place))["expires_at"] is None
    past = {**document, "expires_at": "2000-01-01T00:00:00Z", "repositories": "demo/x"}
    assert refusal(await people["maker"].post(MEMBERS, past)) == (400, "BAD_REQUEST")
    assert clock.now() > 0


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"role_id": 2}, 400),
        ({"role_id": 2, "member_user": {"username": "guest"}, "member_group": {"group_name": "x"}}, 400),
        ({"role_id": 100, "member_user": {"username": "stranger"}}, 400),
        ({"role_id": 77, "member_user": {"username": "stranger"}}, 404),
        ({"role_id": 2, "member_user": {"username": "missing"}}, 404),
        ({"role_id": 2, "member_user": {"user_id": 4711}}, 404),
        ({"role_id": 2, "member_group": {"group_name": "missing"}}, 404),
        ({"role_id": 3, "member_user": {"username": "guest"}}, 409),
        ({"role_id": 2, "member_user": {"username": "stranger"}, "repositories": "other/**"}, 400),
        ({"role_id": 2, "member_user": {"username": "stranger"}, "sysadmin": True}, 422),
        ({"role_id": 2, "member_user": {"username": "stranger", "sysadmin_flag": True}}, 422),
        ({"role_id": 0, "member_user": {"username": "stranger"}}, 422),
        ({"role_id": 2, "member_user": {"username": "stranger"}, "expires_at": "2100-01-01T00:00:00"}, 422),
    ],
)
async def test_odd_members_are_refused(people: dict[str, Api], document: dict[str, Any], status: int) -> None:
    """What cannot be, what is not there, and fields that nobody asked for."""
    assert refusal(await people["maker"].post(MEMBERS, document))[0] == status


async def test_members_are_changed_by_who_may(admin: Api, people: dict[str, Api]) -> None:
    """A guest may look; a stranger sees no project."""
    await admin.made("/projects", {"project_name": "other"})
    (guest,) = await people["maker"].found(f"{MEMBERS}?entityname=guest")
    place = f"{MEMBERS}/{guest['id']}"
    for method, path, document in (
        ("POST", MEMBERS, {"role_id": 1, "member_user": {"username": "guest"}}),
        ("PUT", place, {"role_id": 1}),
        ("DELETE", place, None),
    ):
        assert refusal(await people["guest"].send(method, path, document)) == (403, "FORBIDDEN")
        assert refusal(await people["stranger"].send(method, path, document)) == (404, "NOT_FOUND")
    assert refusal(await admin.get(f"/projects/other/members/{guest['id']}")) == (404, "NOT_FOUND")
    assert refusal(await admin.delete(f"/projects/other/members/{guest['id']}")) == (404, "NOT_FOUND")


async def test_who_may_less_takes_no_role_away(app: App, admin: Api, people: dict[str, Api]) -> None:
    """The right to remove members alone removes nobody who may more, and makes nobody less."""
    (chief,) = await admin.found(f"{MEMBERS}?entityname=maker")
    await app.account("helper", ("project:demo", "project:read,member:read,member:update,member:delete"))
    helper, place = Api(app.basic("helper")), f"{MEMBERS}/{chief['id']}"
    assert refusal(await helper.delete(place)) == (403, "FORBIDDEN")
    assert refusal(await helper.put(place, {"role_id": 3})) == (403, "FORBIDDEN")
    assert (await people["maker"].delete(place)).status == 200
