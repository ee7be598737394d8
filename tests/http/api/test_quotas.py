"""Quotas through the API, in Harbor's shapes and with what Harbor lacks."""

from __future__ import annotations

from collections.abc import Callable

from tests.http.pushing import push_image
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.events import recorded


async def test_a_project_is_made_with_a_limit(app: App, admin: Api) -> None:
    """`storage_limit` is its quota from the first moment; the summary shows it with what is used."""
    await admin.made("/projects", {"project_name": "demo", "storage_limit": 10_000})
    quota = await admin.found("/quotas/1")
    assert quota["ref"] == {"id": 1, "name": "demo", "owner_name": "admin"}
    assert (quota["hard"], quota["used"]) == (
        {"storage": 10_000, "artifacts": -1, "repositories": -1},
        {"storage": 0, "artifacts": 0},
    )
    await push_image(app.basic("admin"), "1", name="demo/app")
    summary = await admin.found("/projects/demo/summary")
    assert summary["quota"]["hard"]["storage"] == 10_000
    assert summary["quota"]["used"] == (await admin.found("/quotas/1"))["used"]
    assert summary["quota"]["used"]["artifacts"] == 1


async def test_only_who_may_set_quotas_makes_projects_with_one(as_user: Callable[[str], Api]) -> None:
    """Whoever may make projects alone is refused a limit of their own choice, and makes none by trying."""
    maker = as_user("maker")
    limited = {"project_name": "mine", "storage_limit": 10**15}
    assert refusal(await maker.post("/projects", limited)) == (403, "FORBIDDEN")
    await maker.made("/projects", {"project_name": "mine", "storage_limit": -1})


async def test_a_quota_is_changed_part_by_part(app: App, admin: Api) -> None:
    """What is not named stays, -1 takes a limit away, and the log has each change."""
    await admin.made("/projects", {"project_name": "demo"})
    changes = {"hard": {"storage": 500, "artifacts": 7}, "soft": {"storage": 400}, "charge": "full"}
    assert (await admin.put("/quotas/1", changes)).status == 200
    assert (await admin.put("/quotas/1", {"hard": {"storage": -1}})).status == 200
    quota = await admin.found("/quotas/1")
    assert quota["hard"] == {"storage": -1, "artifacts": 7, "repositories": -1}
    assert (quota["soft"]["storage"], quota["charge"]) == (400, "full")
    kinds = [(event.kind, event.subject) for event in await recorded(app.stores.metadata)]
    assert kinds[-2:] == [("update", "quota:demo")] * 2


async def test_limits_that_cannot_be_are_refused(admin: Api) -> None:
    """A soft limit above the hard one, an unknown charge model and a limit of no kind."""
    await admin.made("/projects", {"project_name": "demo"})
    assert refusal(await admin.put("/quotas/1", {"hard": {"storage": 5}, "soft": {"storage": 6}})) == (
        400,
        "BAD_REQUEST",
    )
    for wrong in ({"charge": "half"}, {"hard": {"storage": -2}}, {"hard": {"bytes": 5}}):
        assert (await admin.put("/quotas/1", wrong)).status == 422
    assert refusal(await admin.get("/quotas/77")) == (404, "NOT_FOUND")


async def test_the_list_is_sorted_by_what_is_used(app: App, admin: Api) -> None:
    """Those who use most come first when that is asked; one project's quota can be picked out."""
    for name in ("small", "large", "empty"):
        await admin.made("/projects", {"project_name": name})
    client = app.basic("admin")
    await push_image(client, "1", name="small/app")
    await push_image(client, "1", b"x" * 5000, name="large/app")
    found = await admin.found("/quotas?sort=-used.storage")
    assert [quota["ref"]["name"] for quota in found] == ["large", "small", "empty"]
    assert [quota["id"] for quota in await admin.found("/quotas?reference=project&reference_id=2")] == [2]
    assert refusal(await admin.get("/quotas?reference=user")) == (400, "BAD_REQUEST")


async def test_others_see_no_quotas(app: App, admin: Api, nobody: Api, anonymous: Api) -> None:
    """The list is for who may list quotas; one quota is for members who may read it."""
    await admin.made("/projects", {"project_name": "demo"})
    await app.account("reader", ("project:demo", "project:read,quota:read"))
    assert refusal(await nobody.get("/quotas")) == (403, "FORBIDDEN")
    assert refusal(await nobody.get("/quotas/1")) == (404, "NOT_FOUND")
    assert refusal(await anonymous.get("/quotas/1")) == (401, "UNAUTHORIZED")
    assert (await Api(app.basic("reader")).get("/quotas/1")).status == 200


async def test_a_push_beyond_the_quota_is_told_why(app: App, admin: Api) -> None:
    """The protocol's form: 403 DENIED with what is used; a push near the limit succeeds with a warning."""
    await admin.made("/projects", {"project_name": "demo"})
    client = app.basic("admin")
    await push_image(client, "1", name="demo/app")
    used = (await admin.found("/quotas/1"))["used"]["storage"]
    await admin.put("/quotas/1", {"hard": {"storage": used}})
    refused = await client.post("/v2/demo/app/blobs/uploads/")
    assert refused.status == 202  # exactly full is within
    await admin.put("/quotas/1", {"hard": {"storage": used - 1}})
    refused = await client.post("/v2/demo/app/blobs/uploads/")
    assert refused.status == 403
    assert b'"DENIED"' in refused.body
    assert b"Delete what it does not need" in refused.body


async def test_a_refusal_names_the_largest_repositories_that_may_be_read(app: App, admin: Api) -> None:
    """By the rights of the account, whatever its token was asked for; others' repositories are not named."""
    await admin.made("/projects", {"project_name": "demo"})
    for name, size in {"small": 10, "secret": 3000, "large": 2000}.items():
        await push_image(app.basic("admin"), "1", b"%d" % size * size, name=f"demo/{name}")
    await admin.put("/quotas/1", {"hard": {"storage": 5000}})
    maintainer = await app.account("maintainer", ("project:demo", "repository:pull,repository:push"))
    await app.account("narrow", ("repositories:demo/large", "repository:pull,repository:push"))
    bearer = await app.bearer(maintainer, "repository:demo/small:pull,push")
    for client, path, names in (
        (app.basic("admin"), "demo/new", ["demo/secret", "demo/large", "demo/small"]),
        (bearer, "demo/small", ["demo/secret", "demo/large", "demo/small"]),
        (app.basic("narrow"), "demo/large", ["demo/large"]),
    ):
        refused = await client.post(f"/v2/{path}/blobs/uploads/")
        (error,) = refused.json()["errors"]
        assert (refused.status, error["code"]) == (403, "DENIED")
        assert [one["name"] for one in error["detail"]["largest_repositories"]] == names
        assert "Its largest repositories are " + names[0] in error["message"]


async def test_new_projects_have_the_limit_of_the_settings(admin: Api, app: App) -> None:
    """Made over the API or by a push; who sets quotas may ask for another, or for none; old ones keep theirs."""
    await admin.made("/projects", {"project_name": "before"})
    assert (await admin.put("/configurations", {"storage_per_project": 5_000})).status == 200
    await admin.made("/projects", {"project_name": "usual"})
    await admin.made("/projects", {"project_name": "more", "storage_limit": 9_000})
    await admin.made("/projects", {"project_name": "free", "storage_limit": -1})
    await push_image(app.basic("admin"), "v1", b"one", name="pushed/app")
    limits = {quota["ref"]["name"]: quota["hard"]["storage"] for quota in await admin.found("/quotas?page_size=100")}
    assert limits == {"before": -1, "usual": 5_000, "more": 9_000, "free": -1, "pushed": 5_000}
    assert (await admin.put("/configurations", {"storage_per_project": -1})).status == 200
    await admin.made("/projects", {"project_name": "after"})
    after = (await admin.found("/projects/after"))["project_id"]
    assert (await admin.found(f"/quotas/{after}"))["hard"]["storage"] == -1
