"""People through the API: what administrators do, and what everybody may do to their own account."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entrepot.metadata.people import grants, users
from tests.support.access_modes import basic
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.events import recorded

AsUser = Callable[[str], Api]
PASSWORD = "correct horse battery staple"


async def make(admin: Api, name: str, **more: object) -> int:
    """Make a person and return their number."""
    place = await admin.made("/users", {"username": name, "password": PASSWORD, **more})
    return int(place.rpartition("/")[2])


async def test_a_person_is_made_found_changed_and_removed(admin: Api, app: App) -> None:
    """With Harbor's fields; the log tells of each step and never of the password."""
    number = await make(admin, "alice", email="alice@example.org", realname="Alice")
    alice = await admin.found(f"/users/{number}")
    assert (alice["user_id"], alice["username"], alice["email"]) == (number, "alice", "alice@example.org")
    assert (alice["realname"], alice["sysadmin_flag"], alice["admin_role_in_auth"]) == ("Alice", False, False)
    assert alice["creation_time"].endswith("Z")
    assert (await admin.put(f"/users/{number}", {**alice, "comment": "on leave", "username": "mallory"})).status == 200
    changed = await admin.found(f"/users/{number}")
    assert (changed["username"], changed["comment"], changed["email"]) == ("alice", "on leave", "alice@example.org")
    assert (await admin.delete(f"/users/{number}")).status == 200
    assert refusal(await admin.get(f"/users/{number}")) == (404, "NOT_FOUND")
    events = await recorded(app.stores.metadata)
    assert [(e.kind, e.actor, e.subject) for e in events] == [
        ("create", "admin", "user:alice"),
        ("update", "admin", "user:alice"),
        ("delete", "admin", "user:alice"),
    ]
    assert PASSWORD not in str(events)


async def test_a_request_makes_nobody_an_administrator(admin: Api) -> None:
    """`sysadmin_flag` beside name and password, or in a profile, is left alone."""
    number = await make(admin, "alice", sysadmin_flag=True, admin_role_in_auth=True, user_id=1)
    await admin.put(f"/users/{number}", {"realname": "A", "sysadmin_flag": True})
    assert (await admin.found(f"/users/{number}"))["sysadmin_flag"] is False


async def test_lists_are_filtered_sorted_and_cut(admin: Api) -> None:
    """By any of the fields that a list of people has."""
    for name in ("alice", "alina", "bob"):
        await make(admin, name)
    answer = await admin.get("/users?q=username%3D~AL&sort=-username&page_size=1")
    assert [user["username"] for user in answer.json()] == ["alina"]
    assert (answer["X-Total-Count"], 'rel="next"' in answer["Link"]) == ("2", True)
    assert refusal(await admin.get("/users?q=secret%3Dx")) == (400, "BAD_REQUEST")


async def test_whoever_has_signed_in_may_search_by_name(admin: Api, nobody: Api, anonymous: Api) -> None:
    """As in Harbor: number and name, nothing else."""
    number = await make(admin, "alice", email="alice@example.org")
    answer = await nobody.get("/users/search?username=LIC")
    assert (answer.json(), answer["X-Total-Count"]) == ([{"user_id": number, "username": "alice"}], "1")
    assert len(await admin.found("/users/search?username=alic")) == 1
    assert refusal(await anonymous.get("/users/search?username=a")) == (401, "UNAUTHORIZED")


async def test_who_made_somebody_an_administrator(app: App, admin: Api) -> None:
    """`sysadmin_flag` where somebody here did, `admin_role_in_auth` where a group of the directory did; or both."""
    number = await make(admin, "alice")
    metadata = app.stores.metadata
    await metadata.write(lambda tx: users.set_provider(tx, number, "ldap", "cn=alice"))

    async def flags() -> tuple[bool, bool]:
        found = await admin.found(f"/users/{number}")
        return found["sysadmin_flag"], found["admin_role_in_auth"]

    assert await flags() == (False, False)
    await metadata.write(lambda tx: grants.add(tx, principal_id=number, role_id=100, origin="ldap"))
    assert await flags() == (False, True)
    await metadata.write(lambda tx: grants.add(tx, principal_id=number, role_id=100, origin="sysadmin"))
    assert await flags() == (True, True)


async def test_who_is_signed_in(nobody: Api, anonymous: Api) -> None:
    """Anybody may ask that of themselves."""
    assert (await nobody.found("/users/current"))["username"] == "nobody"
    assert refusal(await anonymous.get("/users/current")) == (401, "UNAUTHORIZED")


async def test_administrators_are_made_and_unmade(admin: Api, as_user: AsUser, app: App) -> None:
    """By somebody who has everything; who may only change accounts makes none."""
    number = await make(admin, "alice")
    await app.account("clerk", ("*", "user:update,user:read"))
    assert refusal(await as_user("clerk").put(f"/users/{number}/sysadmin", {"sysadmin_flag": True})) == (
        403,
        "FORBIDDEN",
    )
    assert (await admin.put(f"/users/{number}/sysadmin", {"sysadmin_flag": True})).status == 200
    assert (await admin.found(f"/users/{number}"))["sysadmin_flag"] is True
    assert (await admin.put(f"/users/{number}/sysadmin", {"sysadmin_flag": False})).status in (200, 412)
    assert (await admin.put(f"/users/{number}/sysadmin", {"sysadmin_flag": 1})).status == 422


async def test_who_changes_accounts_does_not_take_over_those_above(admin: Api, as_user: AsUser, app: App) -> None:
    """Password, link, closing and removing an administrator's account are refused to a clerk."""
    boss = (await users.find(app.stores.metadata, "admin")).id  # type: ignore[union-attr] # the fixture made it
    await app.account("clerk", ("*", "user:update,user:read,user:delete"))
    clerk = as_user("clerk")
    for answer in (
        await clerk.put(f"/users/{boss}/password", {"new_password": PASSWORD}),
        await clerk.post(f"/users/{boss}/reset_link"),
        await clerk.put(f"/users/{boss}/disabled", {"disabled": True}),
        await clerk.delete(f"/users/{boss}"),
        await clerk.post(f"/users/{boss}/keys", {"name": "mine now"}),
    ):
        assert refusal(answer) == (403, "FORBIDDEN")


async def test_a_closed_account_signs_in_no_more(admin: Api, app: App) -> None:
    """And again once it is open."""
    number = await make(admin, "alice")
    assert (await admin.put(f"/users/{number}/disabled", {"disabled": True})).status == 200
    assert (await admin.found(f"/users/{number}"))["disabled"] is True
    assert (await admin.put(f"/users/{number}/disabled", {"disabled": False})).status == 200
    assert (await admin.found(f"/users/{number}"))["disabled"] is False


async def test_ones_own_account(admin: Api, as_user: AsUser, nobody: Api) -> None:
    """Everybody reads and changes their own profile, and nobody else's."""
    own = await nobody.found("/users/current")
    path = f"/users/{own['user_id']}"
    assert await nobody.found(path) == own
    assert (await nobody.put(path, {"realname": "No Body"})).status == 200
    assert (await nobody.found(path))["realname"] == "No Body"
    other = await make(admin, "alice")
    for answer in (
        await nobody.get(f"/users/{other}"),
        await nobody.put(f"/users/{other}", {"realname": "x"}),
        await nobody.delete(f"/users/{other}"),
        await nobody.delete(path),
        await nobody.put(f"{path}/sysadmin", {"sysadmin_flag": True}),
        await nobody.get("/users"),
        await nobody.post("/users", {"username": "x", "password": PASSWORD}),
    ):
        assert refusal(answer) == (403, "FORBIDDEN")


async def test_ones_own_password_needs_the_old_one(admin: Api, as_user: AsUser, app: App) -> None:
    """A wrong old one changes nothing; the right one does."""
    await app.account("alice")
    alice = as_user("alice")
    path = f"/users/{(await alice.found('/users/current'))['user_id']}/password"
    wrong = await alice.put(path, {"old_password": "wrong", "new_password": PASSWORD})
    assert refusal(wrong)[0] in (401, 403)
    weak = await alice.put(path, {"old_password": "alice", "new_password": "short"})
    assert refusal(weak) == (400, "BAD_REQUEST")
    assert (await alice.put(path, {"old_password": "alice", "new_password": PASSWORD})).status == 200
    record = await users.find(app.stores.metadata, "alice")
    assert record is not None
    assert (await alice.get("/users/current")).status == 401


async def test_an_administrator_gives_a_password_or_a_link(admin: Api, anonymous: Api, app: App) -> None:
    """A link is good once and needs no sign-in."""
    number = await make(admin, "alice")
    assert (await admin.put(f"/users/{number}/password", {"new_password": "another good password"})).status == 200
    made = await admin.post(f"/users/{number}/reset_link")
    assert made.status == 201
    body = {"token": made.json()["token"], "new_password": PASSWORD}
    assert refusal(await anonymous.post("/users/reset_password", {**body, "token": "guessed"})) == (403, "FORBIDDEN")
    assert (await anonymous.post("/users/reset_password", body)).status == 200
    assert refusal(await anonymous.post("/users/reset_password", body)) == (403, "FORBIDDEN")


async def test_people_register_themselves_where_that_is_allowed(admin: Api, anonymous: Api) -> None:
    """Off at first; an account made so has no rights."""
    body = {"username": "walter", "password": PASSWORD, "email": "w@example.org", "sysadmin_flag": True}
    assert refusal(await anonymous.post("/users", body)) == (401, "UNAUTHORIZED")
    assert (await admin.put("/configurations", {"self_registration": True})).status == 200
    place = await anonymous.made("/users", body)
    walter = await admin.found(place)
    assert (walter["username"], walter["sysadmin_flag"]) == ("walter", False)
    assert refusal(await anonymous.post("/users", {"username": "x"})) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "admin", "password": PASSWORD}, 409),
        ({"username": "", "password": PASSWORD}, 400),
        ({"username": "a\tb", "password": PASSWORD}, 400),
        ({"username": "alice", "password": "short"}, 400),
        ({"username": "alice", "password": PASSWORD, "email": "none"}, 400),
        ({"username": ["alice"], "password": PASSWORD}, 422),
        ({"password": PASSWORD}, 422),
    ],
)
async def test_what_cannot_be_made(admin: Api, body: dict[str, object], status: int) -> None:
    """Names in use, names that cannot be, weak passwords."""
    assert (await admin.post("/users", body)).status == status


async def test_harbors_secret_for_the_command_line_points_to_keys(nobody: Api) -> None:
    """Its clients are told what there is in its place."""
    number = (await nobody.found("/users/current"))["user_id"]
    assert refusal(await nobody.put(f"/users/{number}/cli_secret", {"secret": "Abc12345"})) == (412, "PRECONDITION")


async def test_a_password_that_must_be_changed_can_be_changed(admin: Api, as_user: AsUser, app: App) -> None:
    """Until then everything else is refused with the path to go, also what the account may else do to others."""
    await app.account("alice", ("*", "*"))
    number = (await as_user("alice").found("/users/current"))["user_id"]
    given = {"new_password": "given by somebody else", "must_change": True}
    assert (await admin.put(f"/users/{number}/password", given)).status == 200
    alice = Api(app.client(headers=basic("alice", "given by somebody else")))
    refused = await alice.get("/users/current")
    assert refusal(refused) == (403, "FORBIDDEN")
    path = f"/users/{number}/password"
    assert path in refused.json()["errors"][0]["message"]
    other = await make(admin, "bob")
    assert refusal(await alice.put(f"/users/{other}/password", {"new_password": PASSWORD})) == (403, "FORBIDDEN")
    chosen = {"old_password": "given by somebody else", "new_password": PASSWORD}
    assert (await alice.put(path, chosen)).status == 200
    again = Api(app.client(headers=basic("alice", PASSWORD)))
    assert (await again.found("/users/current"))["username"] == "alice"
