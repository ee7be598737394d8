"""Repositories through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entrepot.metadata.contents import projects, repositories
from tests.http.pushing import push_blob, push_image
from tests.http.transport import AsgiClient
from tests.support.api import Api, refusal
from tests.support.app import App, Opener
from tests.support.events import recorded
from tests.support.manifests import digest_of

AsUser = Callable[[str], Api]


@pytest.fixture
async def pushed(app: App) -> AsgiClient:
    """Push two images to demo/app and one to demo/deep/er/app and to library's x; return who pushed."""
    client = app.basic("admin")
    await push_image(client, "v1", b"one", name="demo/app")
    await push_image(client, "v2", b"two", name="demo/app")
    await push_image(client, "v1", b"one", name="demo/deep/er/app")
    await push_image(client, "v1", b"one", name="x")
    return client


async def test_a_list_has_harbors_fields(admin: Api, pushed: AsgiClient) -> None:
    """Number, project, full name, counts and times, in the order of the names."""
    answer = await admin.get("/projects/demo/repositories")
    assert answer["X-Total-Count"] == "2"
    app, deep = answer.json()
    assert set(app) == {
        "id", "project_id", "name", "description", "artifact_count", "pull_count", "creation_time", "update_time",
    }  # fmt: skip
    assert [(r["name"], r["artifact_count"], r["pull_count"]) for r in (app, deep)] == [
        ("demo/app", 2, 0),
        ("demo/deep/er/app", 1, 0),
    ]
    assert app["update_time"] > app["creation_time"]
    assert app["project_id"] == (await admin.found("/projects/demo"))["project_id"]


async def test_pages_filters_and_orders(admin: Api, pushed: AsgiClient) -> None:
    """Pages link to each other; q and sort choose by name."""
    first = await admin.get("/projects/demo/repositories?page_size=1")
    assert [r["name"] for r in first.json()] == ["demo/app"]
    assert "page=2" in first["Link"]
    assert [r["name"] for r in await admin.found("/projects/demo/repositories?page=2&page_size=1")] == [
        "demo/deep/er/app"
    ]
    assert [r["name"] for r in await admin.found("/repositories?q=name%3D~DEEP")] == ["demo/deep/er/app"]
    names = [r["name"] for r in await admin.found("/repositories?sort=-name")]
    assert names == ["library/x", "demo/deep/er/app", "demo/app"]
    assert refusal(await admin.get("/repositories?sort=secret")) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("written", ["deep%252Fer%252Fapp", "deep%2Fer%2Fapp", "deep%252fer%2Fapp"])
async def test_slashes_may_be_encoded_once_or_twice(admin: Api, pushed: AsgiClient, written: str) -> None:
    """Harbor's clients encode twice; proxies undo one of them."""
    assert (await admin.found(f"/projects/demo/repositories/{written}"))["name"] == "demo/deep/er/app"


async def test_a_name_without_a_project_belongs_to_library(admin: Api, pushed: AsgiClient, app: App) -> None:
    """`x` is called library/x; where there are both, the long one is called by its full name."""
    assert (await admin.found("/projects/library/repositories/x"))["name"] == "library/x"

    async def add_long(tx: object) -> None:
        project = await projects.ensure(tx, "library")  # type: ignore[arg-type] - a transaction
        await repositories.create(tx, "library/x", project.id)  # type: ignore[arg-type] - a transaction

    await app.stores.metadata.write(add_long)
    listed = await admin.found("/projects/library/repositories")
    assert [(r["name"], r["artifact_count"]) for r in listed] == [("library/library/x", 0), ("library/x", 1)]
    for entry in listed:
        rest = entry["name"].partition("/")[2].replace("/", "%252F")
        assert (await admin.found(f"/projects/library/repositories/{rest}"))["id"] == entry["id"]


async def test_the_description_is_changed(admin: Api, pushed: AsgiClient, app: App) -> None:
    """Other fields that clients send back are left alone; the log tells who did it."""
    path = "/projects/demo/repositories/app"
    before = await admin.found(path)
    assert (await admin.put(path, {**before, "description": "Ours", "name": "other", "pull_count": 99})).status == 200
    after = await admin.found(path)
    assert after["description"] == "Ours"
    assert (after["name"], after["pull_count"]) == ("demo/app", 0)
    last = (await recorded(app.stores.metadata))[-1]
    assert (last.kind, last.actor, last.subject) == ("update", "admin", "repository:demo/app")


async def test_deleting_takes_everything_and_leaves_what_others_share(admin: Api, pushed: AsgiClient, app: App) -> None:
    """Manifests, tags and blobs go, other repositories keep theirs, and the project can be deleted once it is empty."""
    before = len(await recorded(app.stores.metadata))
    assert (await admin.delete("/projects/demo/repositories/app")).status == 200
    assert refusal(await admin.get("/projects/demo/repositories/app")) == (404, "NOT_FOUND")
    assert (await pushed.get("/v2/demo/app/manifests/v1")).status == 404
    assert (await pushed.head(f"/v2/demo/app/blobs/{digest_of(b'one')}")).status == 404
    assert (await pushed.get("/v2/demo/deep/er/app/manifests/v1")).status == 200
    assert (await pushed.head(f"/v2/demo/deep/er/app/blobs/{digest_of(b'one')}")).status == 200
    told = (await recorded(app.stores.metadata))[before:]
    assert [e.kind for e in told] == ["delete"]
    assert told[-1].subject == "repository:demo/app"
    assert (await admin.delete("/projects/demo/repositories/deep%252Fer%252Fapp")).status == 200
    assert (await admin.delete("/projects/demo")).status == 200


async def test_a_large_repository_goes_in_steps(admin: Api, app: App) -> None:
    """An index, its images and more of them than one step takes are all gone after."""
    client = app.basic("admin")
    for number in range(25):
        await push_image(client, f"t{number}", b"layer%d" % number, name="demo/many")
    before = app.stores.metadata.statistics.transactions
    assert (await admin.delete("/projects/demo/repositories/many")).status == 200
    assert app.stores.metadata.statistics.transactions - before >= 4
    assert await admin.found("/projects/demo/repositories") == []


async def test_a_repository_with_blobs_alone_can_be_deleted(admin: Api, app: App) -> None:
    """What an upload without a manifest left is no repository that nobody gets rid of."""
    await push_blob(app.basic("admin"), b"alone", name="demo/half")
    assert (await admin.found("/projects/demo/repositories"))[0]["artifact_count"] == 0
    assert (await admin.delete("/projects/demo/repositories/half")).status == 200
    assert await admin.found("/projects/demo/repositories") == []


async def test_deleting_may_be_switched_off(open_registry: Opener) -> None:
    """`storage.delete.enabled: false` holds for the API too."""
    app = await open_registry(signed_in=True, registry={"delete_enabled": False})
    await app.account("admin", ("*", "*"))
    client, api = app.basic("admin"), Api(app.basic("admin"))
    await push_image(client, "v1", name="demo/app")
    for path in ("", "/artifacts/v1", "/artifacts/v1/tags/v1"):
        assert refusal(await api.delete(f"/projects/demo/repositories/app{path}")) == (405, "METHOD_NOT_ALLOWED")
    assert (await client.get("/v2/demo/app/manifests/v1")).status == 200


@pytest.mark.parametrize(
    ("rights", "method", "status"),
    [
        ((), "GET", 404),
        ((("project:demo", "project:read"),), "GET", 403),
        ((("project:demo", "project:read,repository:read"),), "GET", 200),
        ((("project:demo", "project:read,repository:read"),), "DELETE", 403),
        ((("repositories:demo/app", "repository:read,repository:delete"),), "GET", 200),
        ((("repositories:demo/app", "repository:read,repository:delete"),), "DELETE", 200),
        ((("repositories:demo/other", "repository:read"),), "GET", 404),
    ],
)
async def test_who_may_do_what(
    app: App, as_user: AsUser, pushed: AsgiClient, rights: tuple[tuple[str, str], ...], method: str, status: int
) -> None:
    """Rights on the project or on the repository alone; who may not see the project learns nothing."""
    await app.account("bob", *rights)
    bob = as_user("bob")
    assert (await bob.send(method, "/projects/demo/repositories/app")).status == status
    unknown = await bob.send(method, "/projects/demo/repositories/absent")
    assert unknown.status in (403, 404)
    nowhere = await bob.send(method, "/projects/nowhere/repositories/app")
    assert nowhere.status == 404


async def test_lists_show_what_the_caller_may_see(
    app: App, as_user: AsUser, anonymous: Api, pushed: AsgiClient
) -> None:
    """Members see their project's repositories, everybody those of public projects."""
    await app.account("bob", ("project:demo", "project:read,repository:list"))
    assert [r["name"] for r in await as_user("bob").found("/repositories")] == ["demo/app", "demo/deep/er/app"]
    assert await as_user("nobody").found("/repositories") == []
    assert await anonymous.found("/repositories") == []
    assert refusal(await anonymous.get("/projects/demo/repositories")) == (401, "UNAUTHORIZED")
    assert refusal(await as_user("nobody").get("/projects/demo/repositories")) == (404, "NOT_FOUND")
    await app.publish("demo")
    assert len(await anonymous.found("/repositories")) == 2
    assert len(await anonymous.found("/projects/demo/repositories")) == 2
