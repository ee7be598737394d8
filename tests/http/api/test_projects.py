"""Projects through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entrepot.metadata.contents import projects
from entrepot.metadata.people import principals, robots
from tests.http.pushing import push_image
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.events import recorded
from tests.support.rows import all_grants

AsUser = Callable[[str], Api]


async def test_whoever_makes_a_project_administers_it(app: App, as_user: AsUser) -> None:
    """The maker gets Harbor's role 1 in it, is shown as its owner, and the log tells of it."""
    maker = as_user("maker")
    assert await maker.made("/projects", {"project_name": "demo"}) == "/projects/1"
    project = await maker.found("/projects/demo")
    assert project["project_id"] == 1
    assert (project["name"], project["owner_name"]) == ("demo", "maker")
    assert (project["current_user_role_id"], project["current_user_role_ids"]) == (1, [1])
    assert project["metadata"] == {"public": "false", "visibility": "private"}
    assert project["cve_allowlist"]["items"] == []
    assert project["creation_time"].endswith("Z")
    assert [(e.kind, e.actor, e.project, e.subject) for e in await recorded(app.stores.metadata)] == [
        ("create", "maker", "demo", "project:demo")
    ]


async def test_the_location_may_have_the_name(admin: Api) -> None:
    """Harbor's header asks for the name in place of the number."""
    headers = {"X_Resource_Name_In_Location": "true"}
    assert await admin.made("/projects", {"project_name": "demo"}, **headers) == "/projects/demo"


async def test_a_number_is_an_id_unless_it_is_said_to_be_a_name(admin: Api) -> None:
    """A project named `1` is not taken for the project with the id 1."""
    await admin.made("/projects", {"project_name": "first"})
    await admin.made("/projects", {"project_name": "1"})
    assert (await admin.found("/projects/1"))["name"] == "first"
    assert (await admin.found("/projects/1", X_Is_Resource_Name="true"))["name"] == "1"
    assert (await admin.found("/projects/1", X_Is_Resource_Name="false"))["name"] == "first"


@pytest.mark.parametrize(
    "name", ["a", "a.b", "a_b", "a__b", "a-b", "a--b", "0", "library", "x" * 255, "r2.d2__c-3--po"]
)
async def test_every_part_of_a_name_is_a_project(admin: Api, name: str) -> None:
    """What registry:2 takes as a part of a repository's name is a project's name."""
    await admin.made("/projects", {"project_name": name})
    assert (await admin.found(f"/projects/{name}", X_Is_Resource_Name="true"))["name"] == name


@pytest.mark.parametrize("name", ["A", "a/b", "-a", "a-", "a..b", "a___b", "", "ä", "a b", "a%", "_", "a\n", "*"])
async def test_other_names_are_refused(admin: Api, name: str) -> None:
    """A name that no repository could begin with is none."""
    assert refusal(await admin.post("/projects", {"project_name": name})) == (400, "BAD_REQUEST")


async def test_a_long_name_is_refused(admin: Api) -> None:
    """256 characters are too many."""
    assert refusal(await admin.post("/projects", {"project_name": "x" * 256})) == (422, "UNPROCESSABLE_ENTITY")


async def test_a_name_is_taken_once(as_user: Callable[[str], Api], admin: Api, nobody: Api, anonymous: Api) -> None:
    """The second of a name conflicts; HEAD tells before, to whoever sees the project or could make one."""
    assert (await admin.head("/projects?project_name=demo")).status == 404
    await admin.made("/projects", {"project_name": "demo"})
    assert refusal(await admin.post("/projects", {"project_name": "demo"})) == (409, "CONFLICT")
    assert (await admin.head("/projects?project_name=demo")).status == 200
    assert (await anonymous.head("/projects?project_name=demo")).status == 401
    assert (await nobody.head("/projects?project_name=demo")).status == 404
    assert (await as_user("maker").head("/projects?project_name=demo")).status == 200


async def test_who_may_make_projects(nobody: Api, anonymous: Api) -> None:
    """It takes the permission."""
    assert refusal(await nobody.post("/projects", {"project_name": "mine"})) == (403, "FORBIDDEN")
    assert refusal(await anonymous.post("/projects", {"project_name": "mine"})) == (401, "UNAUTHORIZED")


async def test_everybody_may_make_projects_where_that_is_wanted(
    app: App, admin: Api, nobody: Api, anonymous: Api
) -> None:
    """The setting of Harbor's name lets every account make projects, but no token of narrow scopes, and no stranger."""
    await admin.put("/configurations", {"project_creation_restriction": "everyone"})
    await nobody.made("/projects", {"project_name": "mine"})
    assert (await nobody.found("/projects/mine"))["owner_name"] == "nobody"
    assert (await anonymous.post("/projects", {"project_name": "other"})).status == 401
    someone = await app.account("someone")
    narrow = Api(await app.bearer(someone, "repository:mine/app:pull"))
    assert refusal(await narrow.post("/projects", {"project_name": "other"})) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "more",
    [
        {"registry_id": 1},
        {"cve_allowlist": {"items": [{"cve_id": "CVE-2026-1"}]}},
        {"metadata": {"color": "red"}},
        {"metadata": {"public": "perhaps"}},
        {"metadata": {"visibility": "secret"}},
        {"metadata": {"severity": "terrible"}},
        {"metadata": {"public": "true", "visibility": "internal"}},
    ],
)
async def test_what_cannot_be_done_is_refused(admin: Api, more: dict[str, object]) -> None:
    """A wish that would be ignored is refused, and no project is made."""
    assert refusal(await admin.post("/projects", {"project_name": "demo", **more})) == (400, "BAD_REQUEST")
    assert (await admin.head("/projects?project_name=demo")).status == 404


async def test_what_harbors_clients_send_beside_is_left_alone(admin: Api) -> None:
    """Fields that say nothing new do not keep a project from being made."""
    more = {"storage_limit": -1, "registry_id": None, "cve_allowlist": {"items": []}, "count_limit": 7, "public": True}
    await admin.made("/projects", {"project_name": "demo", **more})
    assert (await admin.found("/projects/demo"))["metadata"]["public"] == "true"


async def test_visibility_decides_who_sees_a_project(admin: Api, nobody: Api, anonymous: Api) -> None:
    """Private ones are hidden, internal ones are for whoever signs in, public ones for all."""
    for name, metadata in (
        ("hidden", {}),
        ("inside", {"visibility": "internal"}),
        ("open", {"public": "true"}),
    ):
        await admin.made("/projects", {"project_name": name, "metadata": metadata})
    names = {who: [p["name"] for p in await api.found("/projects")] for who, api in _three(admin, nobody, anonymous)}
    assert names == {"admin": ["hidden", "inside", "open"], "nobody": ["inside", "open"], "anonymous": ["open"]}
    seen = {
        who: [(await api.get(f"/projects/{name}")).status for name in ("hidden", "inside", "open", "missing")]
        for who, api in _three(admin, nobody, anonymous)
    }
    assert seen == {"admin": [200, 200, 200, 404], "nobody": [404, 200, 200, 404], "anonymous": [401, 401, 200, 401]}


def _three(admin: Api, nobody: Api, anonymous: Api) -> list[tuple[str, Api]]:
    return [("admin", admin), ("nobody", nobody), ("anonymous", anonymous)]


async def test_what_is_hidden_looks_as_if_it_were_not(admin: Api, nobody: Api) -> None:
    """Asked for by name or by number, a hidden project and none get the same answer."""
    await admin.made("/projects", {"project_name": "hidden"})
    for method in ("GET", "PUT", "DELETE"):
        for hidden, missing in (("hidden", "absent"), ("1", "9")):
            real = await nobody.send(method, f"/projects/{hidden}", {} if method == "PUT" else None)
            none = await nobody.send(method, f"/projects/{missing}", {} if method == "PUT" else None)
            assert refusal(real) == refusal(none) == (404, "NOT_FOUND")
            assert real.body.replace(hidden.encode(), b"X") == none.body.replace(missing.encode(), b"X")


async def test_reading_is_not_changing(admin: Api, nobody: Api) -> None:
    """Whoever may see a project is told that they may not change it."""
    await admin.made("/projects", {"project_name": "open", "metadata": {"public": "true"}})
    assert refusal(await nobody.put("/projects/open", {"metadata": {"auto_scan": "true"}})) == (403, "FORBIDDEN")
    assert refusal(await nobody.delete("/projects/open")) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("before", "sent", "after"),
    [
        ({"public": "true"}, {"public": "false"}, "private"),
        ({"visibility": "internal"}, {"public": "true"}, "public"),
        ({"visibility": "internal"}, {"public": "false"}, "private"),
        ({"visibility": "internal"}, {"public": "false", "visibility": "internal"}, "internal"),
        ({"visibility": "internal"}, {"public": "true", "visibility": "internal"}, "public"),
        ({"public": "true"}, {"public": "true", "visibility": "internal"}, "internal"),
        ({"public": "true"}, {"public": "false", "visibility": "public"}, "private"),
        ({}, {"public": "false", "visibility": "public"}, "public"),
        ({"visibility": "internal"}, {"auto_scan": "true"}, "internal"),
    ],
)
async def test_visibility_of_clients_that_know_public_alone(
    admin: Api, before: dict[str, str], sent: dict[str, str], after: str
) -> None:
    """What a client sends back with one thing changed does what it meant."""
    await admin.made("/projects", {"project_name": "demo", "metadata": before})
    assert (await admin.put("/projects/demo", {"metadata": sent})).status == 200
    metadata = (await admin.found("/projects/demo"))["metadata"]
    assert (metadata["visibility"], metadata["public"]) == (after, "true" if after == "public" else "false")


async def test_settings_that_are_not_named_stay(app: App, admin: Api) -> None:
    """A change is told in the log, with what was asked for."""
    await admin.made("/projects", {"project_name": "demo", "metadata": {"auto_scan": "TRUE", "severity": "High"}})
    await admin.put("/projects/demo", {"metadata": {"auto_scan": "0", "prevent_vul": None}})
    metadata = (await admin.found("/projects/demo"))["metadata"]
    assert metadata == {"public": "false", "visibility": "private", "auto_scan": "false", "severity": "high"}
    event = (await recorded(app.stores.metadata))[-1]
    assert (event.kind, event.subject, event.detail) == (
        "update",
        "project:demo",
        {"auto_scan": "0", "visibility": "private"},
    )


async def test_a_project_keeps_its_name(admin: Api) -> None:
    """Renaming is refused, naming it as it is not."""
    await admin.made("/projects", {"project_name": "demo"})
    assert (await admin.put("/projects/demo", {"project_name": "demo"})).status == 200
    assert refusal(await admin.put("/projects/demo", {"project_name": "other"})) == (409, "CONFLICT")


async def test_a_change_of_what_one_has_not_seen_is_refused(admin: Api) -> None:
    """If-Match holds for the state that the ETag names, and for no other."""
    await admin.made("/projects", {"project_name": "demo"})
    seen = (await admin.get("/projects/demo"))["ETag"]
    changed = await admin.put("/projects/demo", {"metadata": {"auto_scan": "true"}}, If_Match=seen)
    assert changed.status == 200
    stale = await admin.put("/projects/demo", {"metadata": {"auto_scan": "false"}}, If_Match=seen)
    assert refusal(stale) == (412, "PRECONDITION")
    for tag in (changed["ETag"], "*"):
        assert (await admin.put("/projects/demo", {"metadata": {}}, If_Match=tag)).status == 200
    assert refusal(await admin.put("/projects/demo", {"metadata": {}}, If_Match='"other"')) == (412, "PRECONDITION")
    assert (await admin.found("/projects/demo"))["metadata"]["auto_scan"] == "true"


async def test_a_project_with_repositories_stays(app: App, admin: Api) -> None:
    """What has repositories cannot be deleted, and says so before."""
    await admin.made("/projects", {"project_name": "demo"})
    assert await admin.found("/projects/demo/_deletable") == {"deletable": True, "message": ""}
    await push_image(app.basic("admin"), "v1", name="demo/app")
    told = await admin.found("/projects/demo/_deletable")
    assert told["deletable"] is False
    assert "demo/app" in told["message"]
    assert refusal(await admin.delete("/projects/demo")) == (412, "PRECONDITION")
    assert (await admin.found("/projects/demo"))["repo_count"] == 1


async def test_a_project_goes_with_all_that_is_its_own(app: App, admin: Api, as_user: AsUser) -> None:
    """Its settings, grants and robots go; other things stay."""
    metadata = app.stores.metadata
    for name in ("demo", "kept"):
        await as_user("maker").made("/projects", {"project_name": name, "metadata": {"auto_scan": "true"}})
    await as_user("maker").made("/labels", {"name": "l", "scope": "p", "project_id": 1})
    demo = await projects.find(metadata, "demo")
    assert demo is not None
    robot = await _robot(app, demo.id)
    assert (await as_user("maker").delete("/projects/demo")).status == 200
    assert await projects.find(metadata, "demo") is None
    assert await principals.find_by_id(metadata, robot) is None
    assert [grant.project for grant in await all_grants(metadata) if grant.origin == "owner"] == ["kept"]
    assert (await recorded(metadata))[-1].kind == "delete"
    assert refusal(await admin.delete("/projects/demo")) == (404, "NOT_FOUND")


async def _robot(app: App, project_id: int) -> int:
    """Make a robot of a project and return its id."""

    async def work(tx: object) -> int:
        made = await principals.create(tx, principals.ROBOT, "robot$demo+ci", secret=None)
        assert made is not None
        await robots.add(tx, made.id, project_id=project_id, description="", duration=-1, creator="maker")
        return made.id

    return await app.stores.metadata.write(work)


async def test_a_summary(app: App, as_user: AsUser, nobody: Api) -> None:
    """Repositories and members are counted; members only for who may list them."""
    maker = as_user("maker")
    await maker.made("/projects", {"project_name": "demo", "metadata": {"public": "true"}})
    await maker.made("/projects/demo/members", {"role_id": 3, "member_user": {"username": "admin"}})
    await push_image(app.basic("maker"), "v1", name="demo/app")
    counts = await maker.found("/projects/demo/summary")
    quota = counts.pop("quota")
    assert quota["used"]["artifacts"] == 1
    assert {name: count for name, count in counts.items() if count} == {
        "repo_count": 1,
        "project_admin_count": 1,
        "guest_count": 1,
    }
    seen = await nobody.found("/projects/demo/summary")
    assert seen.pop("quota") == quota
    assert sum(seen.values()) == 1


async def test_lists_are_filtered_sorted_and_paged(admin: Api) -> None:
    """Names, owners and visibility narrow a list; pages know their neighbours."""
    for name in ("alpha", "beta", "gamma", "delta"):
        public = "true" if name == "beta" else "false"
        await admin.made("/projects", {"project_name": name, "metadata": {"public": public}})
    for query, names in {
        "": ["alpha", "beta", "delta", "gamma"],
        "sort=-name": ["gamma", "delta", "beta", "alpha"],
        "sort=-creation_time&page_size=1": ["delta"],
        "name=ELT": ["delta"],
        "name=%25": [],
        "public=true": ["beta"],
        "public=false": ["alpha", "delta", "gamma"],
        "owner=admin": ["alpha", "beta", "delta", "gamma"],
        "owner=other": [],
        "q=name%3D~a%2Cpublic%3Dfalse": ["alpha", "delta", "gamma"],
        "q=name%3D%7Balpha%20beta%7D": ["alpha", "beta"],
        "q=project_id%3D%5B2~3%5D": ["beta", "gamma"],
        "q=project_id%3D%5B3~%5D&sort=project_id": ["gamma", "delta"],
        "q=creation_time%3D%5B~%222020-01-01%22%5D": [],
    }.items():
        assert [project["name"] for project in await admin.found(f"/projects?{query}")] == names, query
    answer = await admin.get("/projects?page=2&page_size=1&sort=name&name=a")
    assert [project["name"] for project in answer.json()] == ["beta"]
    assert answer["X-Total-Count"] == "4"
    assert answer["Link"] == (
        '</api/v2.0/projects?sort=name&name=a&page=1&page_size=1>; rel="prev" , '
        '</api/v2.0/projects?sort=name&name=a&page=3&page_size=1>; rel="next"'
    )
    assert "Link" not in await admin.get("/projects")


async def test_a_list_without_detail_counts_no_repositories(app: App, admin: Api) -> None:
    """`with_detail=false` is quicker."""
    await push_image(app.basic("admin"), "v1", name="demo/app")
    assert [p["repo_count"] for p in await admin.found("/projects")] == [1]
    assert [p["repo_count"] for p in await admin.found("/projects?with_detail=false")] == [0]


async def test_a_page_of_zero_is_as_large_as_a_page_can_be(admin: Api) -> None:
    """Harbor's command line writes 0 where it wants everything; it gets the most that one answer holds."""
    for number in range(12):
        await admin.made("/projects", {"project_name": f"p{number}"})
    answer = await admin.get("/projects?page=0&page_size=0&q=&sort=")
    assert (len(answer.json()), answer["X-Total-Count"]) == (12, "12")
    assert len((await admin.get("/projects?page=0&page_size=5")).json()) == 5


@pytest.mark.parametrize(
    "query", ["page_size=-1", "page_size=101", "page=x", "public=perhaps", "page=-1", "page_size=1e3"]
)
async def test_odd_pages_are_refused(admin: Api, query: str) -> None:
    """Parameters of the wrong form are told by name."""
    answer = await admin.get(f"/projects?{query}")
    assert refusal(answer) == (422, "UNPROCESSABLE_ENTITY")
    assert f"{query.partition('=')[0]} in query" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "query", ["q=secret%3Da", "sort=secret", "q=name", "page=2000&page_size=100", "q=name%3D%5B~%5D", "sort=name,-name"]
)
async def test_fields_that_a_list_does_not_have_are_refused(admin: Api, query: str) -> None:
    """Only what a list offers can be asked of it."""
    assert refusal(await admin.get(f"/projects?{query}")) == (400, "BAD_REQUEST")
