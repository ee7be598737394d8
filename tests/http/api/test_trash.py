"""The trash through the API: what was deleted, restored, purged and emptied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from entrepot.access.roles import DEVELOPER, MAINTAINER, PROJECT_ADMIN
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Transaction
from entrepot.metadata.people import grants
from tests.http.pushing import push_blob, push_image, put_manifest
from tests.http.transport import AsgiClient
from tests.support.api import Api, refusal
from tests.support.app import App, Opener
from tests.support.events import recorded
from tests.support.manifests import digest_of, entry, image, index

AsUser = Callable[[str], Api]
WEEK = 7 * 24 * 3600.0
APP = "/projects/demo/repositories/app"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with a trash, its admin, and members of project demo."""
    app = await open_registry(signed_in=True, registry={"trash_seconds": WEEK, "tag_rules": ImmutableTags()})
    await app.account("admin", ("*", "*"))
    await app.account("nobody")

    async def write(tx: Transaction) -> None:
        await projects.ensure(tx, "demo")

    await app.stores.metadata.write(write)
    for name, role in (("dev", DEVELOPER), ("keeper", MAINTAINER), ("chief", PROJECT_ADMIN)):
        await _member(app, name, role)
    return app


async def _member(app: App, name: str, role: int) -> None:
    principal = await app.account(name)

    async def write(tx: Transaction) -> None:
        project = await projects.ensure(tx, "demo")
        await grants.add(tx, principal_id=principal.id, role_id=role, project_id=project.id, origin="test")

    await app.stores.metadata.write(write)


@pytest.fixture
async def client(app: App) -> AsgiClient:
    """Give somebody who has pushed two images to demo/app."""
    client = app.basic("admin")
    await push_image(client, "v1", b"one", name="demo/app")
    await push_image(client, "v2", b"two", name="demo/app")
    return client


async def last(api: Api) -> Any:
    """Return what was deleted last."""
    return (await api.found("/trash"))[0]


async def restored(api: Api, item: Any, **how: Any) -> Any:
    """Restore something, which must succeed, and return what came back."""
    answer = await api.post(f"/trash/{item['id']}/restore", how)
    assert answer.status == 200, (answer.status, answer.body)
    return answer.json()


async def test_a_deleted_image_is_listed_and_comes_back(admin: Api, client: AsgiClient) -> None:
    """With its names, who deleted it and until when it is kept; in between it is nowhere, its blobs for the grace."""
    digest = (await client.get("/v2/demo/app/manifests/v1"))["Docker-Content-Digest"]
    assert (await client.request("DELETE", f"/v2/demo/app/manifests/{digest}")).status == 202
    item = await last(admin)
    assert {key: item[key] for key in ("kind", "project", "repository", "digest", "tags", "deleted_by")} == {
        "kind": "manifest",
        "project": "demo",
        "repository": "demo/app",
        "digest": digest,
        "tags": ["v1"],
        "deleted_by": "admin",
    }
    assert item["expiry_time"] > item["deletion_time"]
    assert (await client.get(f"/v2/demo/app/manifests/{digest}")).status == 404
    assert (await client.head("/v2/demo/app/manifests/v1")).status == 404
    assert (await client.get(f"/v2/demo/app/blobs/{digest_of(b'one')}")).status == 200
    assert (await client.get("/v2/demo/app/tags/list")).json()["tags"] == ["v2"]
    assert len(await admin.found(f"{APP}/artifacts")) == 1
    assert (await admin.found(APP))["artifact_count"] == 1
    assert await admin.found(f"/trash/{item['id']}") == item
    back = await restored(admin, item)
    assert (back["tags"], back["aside"], back["manifests"]) == (["v1"], [], 1)
    assert (await client.get("/v2/demo/app/manifests/v1"))["Docker-Content-Digest"] == digest
    assert (await client.get(f"/v2/demo/app/blobs/{digest_of(b'one')}")).body == b"one"
    assert await admin.found("/trash") == []
    assert refusal(await admin.get(f"/trash/{item['id']}")) == (404, "NOT_FOUND")
    assert refusal(await admin.post(f"/trash/{item['id']}/restore", {})) == (404, "NOT_FOUND")


async def test_shadows_are_nobodys_business(admin: Api, client: AsgiClient, app: App) -> None:
    """No list, figure, search or path shows where the trash keeps things."""
    await admin.delete(f"{APP}/artifacts/v1")
    await push_image(client, "v1", b"one", name="demo/other")
    await admin.delete("/projects/demo/repositories/other")
    assert (await client.get("/v2/_catalog")).json()["repositories"] == ["demo/app"]
    assert [one["name"] for one in await admin.found("/repositories")] == ["demo/app"]
    assert (await admin.found("/projects/demo"))["repo_count"] == 1
    for text in ("trash", "deleted", "~"):
        found = await admin.found(f"/search?q={text}")
        assert (found["project"], found["repository"]) == ([], [])
    for path in ("/v2/~trash/1/tags/list", "/v2/~trash/1/manifests/v1", "/v2/~deleted/2/tags/list"):
        assert (await client.get(path)).status in (400, 404)
    assert refusal(await admin.get("/projects/~deleted%252F1"))[0] == 404
    await admin.delete("/projects/demo?force=true")
    assert await admin.found("/projects") == []
    figures = await admin.found("/statistics")
    assert (figures["total_project_count"], figures["total_repo_count"]) == (0, 0)
    assert refusal(await admin.get("/projects/~deleted%252F1"))[0] == 404
    assert refusal(await admin.get("/projects/1"))[0] == 404


async def test_an_index_with_its_signature(admin: Api, client: AsgiClient) -> None:
    """Whatever was deleted by one call has one deletion; it comes back in its repository's order of things."""
    first = await push_image(client, "part", b"three", name="demo/app")
    body = index(entry(first))
    await put_manifest(client, body, "multi", name="demo/app", media_type=INDEX)
    await put_manifest(
        client,
        image(b"{}", subject=entry(body, INDEX)),
        digest_of(image(b"{}", subject=entry(body, INDEX))),
        name="demo/app",
    )
    await admin.delete(f"{APP}/artifacts/multi")
    back = await restored(admin, await last(admin))
    assert back["tags"] == ["multi"]
    listed = (await client.get(f"/v2/demo/app/referrers/{digest_of(body)}")).json()["manifests"]
    assert len(listed) == 1


async def test_a_tag_that_is_taken(admin: Api, client: AsgiClient) -> None:
    """It is told that it was set aside, and moved when that is asked for."""
    await admin.delete(f"{APP}/artifacts/v1/tags/v1")
    item = await last(admin)
    newer = await push_image(client, "v1", b"newer", name="demo/app")
    back = await restored(admin, item)
    assert (back["tags"], back["aside"]) == ([], ["v1"])
    assert (await client.get("/v2/demo/app/manifests/v1")).body == newer
    await admin.delete(f"{APP}/artifacts/v1/tags/v1")
    await push_image(client, "v1", b"newest", name="demo/app")
    back = await restored(admin, await last(admin), replace=True)
    assert back["tags"] == ["v1"]
    assert (await client.get("/v2/demo/app/manifests/v1")).body == newer


async def test_a_project_with_its_repositories(admin: Api, client: AsgiClient, as_user: AsUser) -> None:
    """Harbor's answer unless force is said; then all of it goes, and its members see it in the trash."""
    assert refusal(await admin.delete("/projects/demo")) == (412, "PRECONDITION")
    before = await admin.found("/projects/demo")
    assert (await admin.delete("/projects/demo?force=true")).status == 200
    assert refusal(await admin.get("/projects/demo")) == (404, "NOT_FOUND")
    assert (await client.get("/v2/demo/app/tags/list")).status == 404
    chief = as_user("chief")
    items = await chief.found("/trash")
    assert [(one["kind"], one["project"]) for one in items] == [("project", "demo"), ("repository", "demo")]
    assert len({one["deletion"] for one in items}) == 1
    assert await as_user("nobody").found("/trash") == []
    assert refusal(await as_user("nobody").get(f"/trash/{items[0]['id']}")) == (404, "NOT_FOUND")
    assert refusal(await as_user("dev").post(f"/trash/{items[0]['id']}/restore", {})) == (403, "FORBIDDEN")
    back = await restored(chief, items[0])
    assert (back["project"], back["repositories"]) == ("demo", 1)
    after = await admin.found("/projects/demo")
    assert {**after, "update_time": before["update_time"]} == before
    assert (await client.get("/v2/demo/app/tags/list")).json()["tags"] == ["v1", "v2"]


async def test_a_project_whose_name_is_taken(admin: Api, client: AsgiClient) -> None:
    """It cannot come back beside the new one; its repository can."""
    await admin.delete("/projects/demo?force=true")
    project, repository = await admin.found("/trash")
    assert refusal(await admin.post(f"/trash/{repository['id']}/restore", {})) == (412, "PRECONDITION")
    await admin.made("/projects", {"project_name": "demo"})
    assert refusal(await admin.post(f"/trash/{project['id']}/restore", {})) == (409, "CONFLICT")
    await restored(admin, repository)
    assert (await client.get("/v2/demo/app/tags/list")).json()["tags"] == ["v1", "v2"]


async def test_how_long_things_are_kept_is_the_projects_own_decision(admin: Api, client: AsgiClient) -> None:
    """A duration as Go writes it; 0 keeps nothing."""
    for wrong in ("soon", "-1h", "1d"):
        answer = await admin.put("/projects/demo", {"metadata": {"lifecycle.trash": wrong}})
        assert refusal(answer) == (400, "BAD_REQUEST")
    await admin.put("/projects/demo", {"metadata": {"lifecycle.trash": "48h"}})
    assert (await admin.found("/projects/demo"))["metadata"]["lifecycle.trash"] == "48h"
    await admin.delete(f"{APP}/artifacts/v1/tags/v1")
    item = await last(admin)
    assert item["expiry_time"][:10] != item["deletion_time"][:10]
    await admin.put("/projects/demo/metadatas/lifecycle.trash", {"lifecycle.trash": "0"})
    await admin.delete(f"{APP}/artifacts/v2")
    assert len(await admin.found("/trash")) == 1


async def test_lists_can_be_narrowed(admin: Api, client: AsgiClient) -> None:
    """By kind, by repository and by who deleted it; pages tell how many there are."""
    await admin.delete(f"{APP}/artifacts/v1/tags/v1")
    await admin.delete(f"{APP}/artifacts/v2")
    await push_image(client, "v1", b"one", name="demo/other")
    await admin.delete("/projects/demo/repositories/other")
    answer = await admin.get("/projects/demo/trash?page_size=1")
    assert (answer["X-Total-Count"], len(answer.json())) == ("3", 1)
    for query, kinds in (
        ("kind=tag", ["tag"]),
        ("repository=demo/other", ["repository"]),
        ("deleted_by=nobody", []),
        ("repository=~app", ["manifest", "tag"]),
    ):
        found = await admin.found(f"/projects/demo/trash?q={query.replace('=~', '%3D~')}")
        assert [one["kind"] for one in found] == kinds, query
    assert refusal(await admin.get("/trash?q=secret=1")) == (400, "BAD_REQUEST")


async def test_who_may_do_what(admin: Api, client: AsgiClient, as_user: AsUser) -> None:
    """Developers look, maintainers restore, purging and emptying need the rights to that."""
    await admin.delete(f"{APP}/artifacts/v1")
    item = await last(admin)
    path = f"/trash/{item['id']}"
    for name in ("dev", "keeper"):
        assert (await as_user(name).get(path)).status == 200
        assert refusal(await as_user(name).delete(path)) == (403, "FORBIDDEN")
        assert refusal(await as_user(name).delete("/projects/demo/trash")) == (403, "FORBIDDEN")
        assert refusal(await as_user(name).delete("/trash")) == (403, "FORBIDDEN")
        for purge in (f"{APP}/artifacts/v2/purge", f"{APP}/purge", "/projects/demo/purge"):
            assert refusal(await as_user(name).post(purge, {})) == (403, "FORBIDDEN")
    assert refusal(await as_user("dev").post(f"{path}/restore", {})) == (403, "FORBIDDEN")
    assert (await as_user("keeper").post(f"{path}/restore", {})).status == 200
    assert refusal(await as_user("chief").delete("/trash")) == (403, "FORBIDDEN")


async def test_a_purge_is_told_with_its_reason(admin: Api, client: AsgiClient, as_user: AsUser, app: App) -> None:
    """Of an artifact, and of what lies in the trash; nothing is left of either."""
    await push_image(client, "v1", b"one", name="demo/copy")
    answer = await as_user("chief").post(f"{APP}/artifacts/v1/purge", {"reason": "a token leaked"})
    assert (answer.status, answer.json()) == (200, {"manifests": 1, "copies": 1})
    told = (await recorded(app.stores.metadata))[-1]
    assert (told.kind, told.actor, told.detail) == ("purge", "chief", {"reason": "a token leaked", "tags": ["v1"]})
    assert (await client.get(f"/v2/demo/app/blobs/{digest_of(b'one')}")).status == 404
    assert await admin.found("/trash") == []
    assert await admin.found(f"{APP}/tags/v1/history") == []
    await admin.delete(f"{APP}/artifacts/v2")
    item = await last(admin)
    purged = await admin.delete(f"/trash/{item['id']}?reason=ticket%204711")
    assert (purged.status, purged.json()) == (200, {"manifests": 1, "copies": 0})
    kinds = [(one.kind, one.detail) for one in await recorded(app.stores.metadata)]
    assert ("purge", {"reason": "ticket 4711"}) in kinds
    assert refusal(await admin.delete(f"/trash/{item['id']}")) == (404, "NOT_FOUND")
    logs = await admin.found("/audit-logs?q=operation=purge")
    assert {one["username"] for one in logs} == {"admin", "chief"}
    assert (await admin.post("/projects/demo/repositories/copy/purge", {})).status == 200
    assert (await admin.post("/projects/demo/purge", {})).status == 200
    assert await admin.found("/trash") == []
    assert refusal(await admin.get("/projects/demo")) == (404, "NOT_FOUND")


async def test_a_part_of_an_index_is_not_purged(admin: Api, client: AsgiClient) -> None:
    """The index goes first, or with it."""
    part = await push_image(client, "part", b"three", name="demo/app")
    await put_manifest(client, index(entry(part)), "multi", name="demo/app", media_type=INDEX)
    assert refusal(await admin.post(f"{APP}/artifacts/part/purge", {})) == (412, "PRECONDITION")


async def test_emptying(admin: Api, client: AsgiClient, as_user: AsUser) -> None:
    """Of one project or of all; what a request has no time for is left to the next."""
    for tag in ("v1", "v2"):
        await admin.delete(f"{APP}/artifacts/{tag}")
    await push_image(client, "v1", b"one", name="far/app")
    await admin.delete("/projects/far/repositories/app")
    answer = await as_user("chief").delete("/projects/demo/trash")
    assert (answer.status, answer.json()) == (200, {"manifests": 2, "is_left": False})
    assert [one["project"] for one in await admin.found("/trash")] == ["far"]
    answer = await admin.delete("/trash")
    assert (answer.status, answer.json()) == (200, {"manifests": 1, "is_left": False})
    assert await admin.found("/trash") == []


async def test_cve_2026_41888_switched_off_for_the_api_too(open_registry: Opener) -> None:
    """Every removing verb answers 405 where deleting is switched off."""
    app = await open_registry(signed_in=True, registry={"trash_seconds": WEEK, "delete_enabled": False})
    await app.account("admin", ("*", "*"))
    client, admin = app.basic("admin"), Api(app.basic("admin"))
    await push_image(client, "v1", b"one", name="demo/app")
    await push_blob(client, b"loose", name="demo/app")
    digest = digest_of(b"loose")
    for path in ("/v2/demo/app/manifests/v1", f"/v2/demo/app/blobs/{digest}"):
        assert (await client.request("DELETE", path)).status == 405
    for path in (APP, f"{APP}/artifacts/v1", f"{APP}/artifacts/v1/tags/v1", "/trash", "/projects/demo/trash"):
        assert refusal(await admin.delete(path)) == (405, "METHOD_NOT_ALLOWED"), path
    for path in ("/projects/demo", "/projects/demo?force=true"):
        assert refusal(await admin.delete(path)) == (405, "METHOD_NOT_ALLOWED"), path
    for path in (f"{APP}/artifacts/v1/purge", f"{APP}/purge", "/projects/demo/purge"):
        assert refusal(await admin.post(path, {})) == (405, "METHOD_NOT_ALLOWED"), path
    assert (await client.get("/v2/demo/app/manifests/v1")).status == 200


@pytest.mark.parametrize("kind", ["manifest", "repository"])
async def test_what_was_deleted_from_an_old_project_comes_into_a_new_one_by_who_may_push_there(
    app: App, admin: Api, as_user: AsUser, kind: str
) -> None:
    """A maintainer of the old project has no right in the new one of its name, and moves no tag in it."""
    keeper, old, owner = as_user("keeper"), app.basic("keeper"), app.basic("admin")
    await push_image(old, "latest", b"old", name="demo/app")
    digest = (await old.head("/v2/demo/app/manifests/latest"))["Docker-Content-Digest"]
    if kind == "manifest":
        assert (await old.request("DELETE", f"/v2/demo/app/manifests/{digest}")).status == 202
    else:
        assert (await keeper.delete(APP)).status == 200
    assert (await admin.delete("/projects/demo?force=true")).status == 200
    await admin.made("/projects", {"project_name": "demo"})
    await push_image(owner, "latest", b"new", name="demo/app")
    new = (await owner.head("/v2/demo/app/manifests/latest"))["Docker-Content-Digest"]
    item = next(one for one in await keeper.found("/trash") if one["kind"] == kind)
    refused = await keeper.post(f"/trash/{item['id']}/restore", {"replace": True})
    assert refusal(refused)[0] == 404
    assert (await owner.head("/v2/demo/app/manifests/latest"))["Docker-Content-Digest"] == new
    await _member(app, "keeper", MAINTAINER)
    assert (await restored(keeper, item, replace=True))["tags"] == ["latest"]
    assert (await owner.head("/v2/demo/app/manifests/latest"))["Docker-Content-Digest"] == digest
