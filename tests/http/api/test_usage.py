"""Where the space went, through the API: numbers for admins and members, and what deleting would free."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from entrepot.insight import query_limits
from entrepot.insight.analysis import Analyser
from entrepot.insight.duplicates.layer_scan import Looking
from entrepot.insight.duplicates.similarity import Likeness
from entrepot.insight.freed_bytes import Deletion, Freeing, OnDisk
from entrepot.telemetry.progress import Unwatched
from tests.http.pushing import push_image
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.manifests import digest_of

LAYER = b"layer of both"
DIGEST = "sha256:" + 64 * "a"


async def told_by(api: Api, path: str, document: object) -> Any:
    """Return what a question is answered."""
    answer = await api.post(path, document)
    assert answer.status == 200, (answer.status, answer.body)
    return answer.json()


@pytest.fixture
async def filled(app: App, admin: Api) -> dict[str, bytes]:
    """Two projects that share a layer, analysed; the manifests by their names."""
    client = app.basic("admin")
    pushed = {}
    for name, layers in {"demo/app": (LAYER, b"own"), "demo/web": (LAYER,), "other/app": (LAYER, b"-")}.items():
        if (await admin.get(f"/projects/{name.partition('/')[0]}")).status != 200:
            await admin.made("/projects", {"project_name": name.partition("/")[0]})
        pushed[name] = await push_image(client, "v1", *layers, name=name)
    await Analyser(metadata=app.stores.metadata).run(Unwatched())
    return pushed


async def test_all_of_it(admin: Api, filled: dict[str, bytes]) -> None:
    """The disk, and what the analysis found in all, of projects and of repositories, the largest first."""
    whole = await admin.found("/usage")
    assert whole["disk"]["total_bytes"] > whole["disk"]["free_bytes"] > 0
    assert whole["analysis"]["finished_at"] is not None
    assert whole["manifests"] == len(filled)
    assert 0 < whole["stored_bytes"] < whole["logical_bytes"]
    projects = {one["name"]: one for one in await admin.found("/usage/projects")}
    assert projects["demo"]["now"]["stored_bytes"] == projects["demo"]["analysed"]["stored_bytes"]
    assert projects["demo"]["analysed"]["unique_bytes"] < projects["demo"]["analysed"]["own_bytes"]
    found = [one["name"] for one in await admin.found("/usage/repositories?sort=-unique_bytes")]
    assert found[0] == "demo/app"
    assert sorted(found) == sorted(filled)


async def test_the_largest(admin: Api, filled: dict[str, bytes]) -> None:
    """Images with tags and sizes, layers with how many need them; of all and of one project."""
    image = (await admin.found("/usage/images?limit=1"))[0]
    assert (image["repository"], image["tags"], image["digest"]) == (
        "demo/app",
        ["v1"],
        digest_of(filled["demo/app"]),
    )
    assert image["sizes"]["unique_bytes"] == len(b"own") + len(filled["demo/app"])
    shared = next(one for one in await admin.found("/usage/layers") if one["digest"] == digest_of(LAYER))
    assert (shared["repositories"], shared["manifests"]) == (3, 3)
    shared = next(one for one in await admin.found("/projects/demo/usage/layers") if one["digest"] == digest_of(LAYER))
    assert (shared["repositories"], shared["manifests"]) == (2, 2)
    assert len(await admin.found("/projects/other/usage/images")) == 1


async def test_tags_of_a_repository(admin: Api, filled: dict[str, bytes]) -> None:
    """Each with its image's sizes, in pages by name."""
    tags = await admin.found("/projects/demo/repositories/app/usage")
    assert [(one["name"], one["digest"]) for one in tags] == [("v1", digest_of(filled["demo/app"]))]
    assert tags[0]["sizes"]["unique_bytes"] < tags[0]["sizes"]["stored_bytes"]
    assert await admin.found("/projects/demo/repositories/app/usage?last=v1") == []


async def test_what_deleting_would_free(admin: Api, filled: dict[str, bytes]) -> None:
    """Of tags, manifests, repositories and projects, also several together; nothing is deleted."""
    manifest = f"demo/web@{digest_of(filled['demo/web'])}"
    own = len(b"own") + len(filled["demo/app"])
    told = await told_by(admin, "/usage/would-free", {"tags": ["demo/app:v1"]})
    assert (told["disk"]["bytes"], told["manifests"], told["kept"]) == (own, 1, [])
    told = await told_by(admin, "/usage/would-free", {"manifests": [manifest], "repositories": ["demo/app"]})
    assert told["disk"]["bytes"] == own + len(filled["demo/web"])
    assert told["projects"][0]["bytes"] > told["disk"]["bytes"]
    everything = await told_by(admin, "/usage/would-free", {"projects": ["demo", "other"]})
    whole = await admin.found("/usage")
    assert everything["disk"]["bytes"] == whole["stored_bytes"]
    assert await told_by(admin, "/projects/demo/usage/would-free", {"everything": True}) == await told_by(
        admin, "/usage/would-free", {"projects": ["demo"]}
    )


async def test_names_that_are_none_are_refused(admin: Api, filled: dict[str, bytes]) -> None:
    """With how to write them; so is what is not there, and what belongs to another project."""
    for body in ({"tags": ["demo/app"]}, {"manifests": ["demo/app:v1"]}, {"repositories": ["Demo"]}):
        assert refusal(await admin.post("/usage/would-free", body)) == (400, "BAD_REQUEST")
    assert refusal(await admin.post("/usage/would-free", {"repositories": ["demo/none"]})) == (404, "NOT_FOUND")
    wrong = {"tags": ["other/app:v1"]}
    assert refusal(await admin.post("/projects/demo/usage/would-free", wrong)) == (400, "BAD_REQUEST")
    kept = (await told_by(admin, "/usage/would-free", {"tags": ["demo/app:none"]}))["kept"]
    assert kept == [{"what": "demo/app:none", "reason": "there is no such tag"}]
    assert filled


async def test_members_learn_nothing_of_other_projects(app: App, nobody: Api, filled: dict[str, bytes]) -> None:
    """What their project uses and would use less; whether others have the same bytes is not for them."""
    await app.account("reader", ("project:demo", "project:read,quota:read,repository:list,artifact:list"))
    reader = Api(app.basic("reader"))
    assert (await reader.found("/projects/demo/usage"))["analysed"]["unique_bytes"] is None
    listed = await reader.found("/projects/demo/usage/repositories")
    assert {one["analysed"]["unique_bytes"] for one in listed} == {None}
    told = await told_by(reader, "/projects/demo/usage/would-free", {"everything": True})
    assert told["disk"] is None
    assert told["projects"][0]["bytes"] == (await reader.found("/projects/demo/usage"))["now"]["used_bytes"]
    assert (await reader.found("/projects/demo/repositories/app/usage"))[0]["sizes"]["unique_bytes"] is None
    for query in ("sort=-unique_bytes", "q=unique_bytes%3D3"):
        answer = await reader.get(f"/projects/demo/usage/repositories?{query}")
        assert refusal(answer) == (403, "FORBIDDEN")
    assert refusal(await reader.get("/projects/other/usage")) == (404, "NOT_FOUND")
    for path in ("", "/projects", "/repositories", "/images", "/layers"):
        assert refusal(await reader.get(f"/usage{path}")) == (403, "FORBIDDEN")
    assert refusal(await reader.post("/usage/would-free", {})) == (403, "FORBIDDEN")
    assert refusal(await nobody.get("/projects/demo/usage")) == (404, "NOT_FOUND")
    assert filled


async def test_what_members_are_not_told_is_not_worked_out(
    app: App, filled: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others have is looked for where it is shown only: it is the larger part of the work."""

    async def never(_deletion: Deletion) -> OnDisk:
        raise AssertionError

    monkeypatch.setattr(Deletion, "on_disk", never)
    await app.account("reader", ("project:demo", "project:read,quota:read,repository:list,artifact:list"))
    reader = Api(app.basic("reader"))
    assert (await told_by(reader, "/projects/demo/usage/would-free", {"everything": True}))["manifests"] == 2
    assert len(await reader.found("/projects/demo/repositories/app/usage")) == 1
    assert len(await reader.found("/projects/demo/usage/images")) == 2
    assert filled


async def test_a_question_names_only_so_many_things(admin: Api, filled: dict[str, bytes]) -> None:
    """All its lists together; the refusal says how many."""
    tags, manifests = [f"demo/app:v{number}" for number in range(600)], [f"demo/app@{DIGEST}"] * 600
    for path in ("/usage/would-free", "/projects/demo/usage/would-free"):
        answer = await admin.post(path, {"tags": tags, "manifests": manifests})
        assert refusal(answer) == (422, "UNPROCESSABLE_ENTITY")
        assert "1,200 names, and one question takes 1,000; ask about less" in answer.body.decode()
    assert filled


async def test_a_question_that_takes_too_long_says_what_to_do(admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many statements it takes, it is broken off as a whole."""

    async def endless(*_arguments: object, **_named: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(query_limits, "LONGEST_SECONDS", 0.1)
    monkeypatch.setattr(Freeing, "would_free", endless)
    await admin.made("/projects", {"project_name": "demo"})
    answer = await admin.post("/usage/would-free", {"projects": ["demo"]})
    assert refusal(answer) == (503, "SERVICE_UNAVAILABLE")
    assert "takes more than 0.1 s; ask about less at a time" in answer.body.decode()


async def test_who_sees_numbers_alone_learns_no_names(app: App, filled: dict[str, bytes]) -> None:
    """A role that may read the quota, and list nothing, is told what is used and not of what."""
    await app.account("counter", ("project:demo", "project:read,quota:read"))
    counter = Api(app.basic("counter"))
    assert (await counter.found("/projects/demo/usage"))["now"]["used_bytes"] > 0
    for path in ("usage/repositories", "usage/images", "usage/layers", "repositories/app/usage"):
        assert refusal(await counter.get(f"/projects/demo/{path}")) == (403, "FORBIDDEN"), path
    assert filled


async def test_before_the_first_analysis(admin: Api) -> None:
    """What is known without one is told, and what is not is null or nothing."""
    await admin.made("/projects", {"project_name": "demo"})
    assert (await admin.found("/usage"))["analysis"] is None
    assert (await admin.found("/projects/demo/usage"))["analysed"] is None
    assert [one["analysed"] for one in await admin.found("/usage/projects")] == [None]
    assert await admin.found("/usage/images") == await admin.found("/usage/layers") == []


async def test_the_past_is_ready_to_be_drawn(app: App, admin: Api, filled: dict[str, bytes]) -> None:
    """One point for each day, and what it leads to; on the first day that is not known yet."""
    history = await admin.found("/projects/demo/usage/history")
    now = (await admin.found("/projects/demo/usage"))["now"]
    assert history["limit_bytes"] is None
    assert [point["used_bytes"] for point in history["points"]] == [now["used_bytes"]]
    disk = await admin.found("/usage/history?days=5")
    assert disk["points"][0]["used_bytes"] > 0
    assert (await admin.found("/projects/demo/usage/forecast"))["outlook"] == "unlimited"
    await admin.put("/quotas/1", {"hard": {"storage": 10**9}})
    told = await admin.found("/projects/demo/usage/forecast")
    assert (told["outlook"], told["days_known"], told["days_needed"]) == ("not enough history", 1, 7)
    assert (await admin.found("/usage/forecast"))["outlook"] == "not enough history"
    await app.account("reader", ("project:demo", "project:read,quota:read"))
    reader = Api(app.basic("reader"))
    for path in ("history", "forecast"):
        assert (await reader.get(f"/projects/demo/usage/{path}")).status == 200
        assert refusal(await reader.get(f"/usage/{path}")) == (403, "FORBIDDEN")
    assert filled


async def test_duplicates_between_layers(app: App, admin: Api, nobody: Api) -> None:
    """Empty before somebody looked; then about how much, and which layers are alike."""
    assert (await admin.found("/usage/duplicates"))["finished_at"] is None
    data = random.Random(1).randbytes(200_000)
    await push_image(app.basic("admin"), "1", data, name="demo/app")
    await push_image(app.basic("admin"), "2", data[:100_000] + b"changed" + data[100_000:], name="demo/app")

    async def took(_size: int) -> None:
        pass

    metadata = app.stores.metadata
    await Looking(metadata=metadata, store=app.store, progress=Unwatched(), took=took).run(1)
    await Likeness(metadata, Unwatched()).run(1)
    found = await admin.found("/usage/duplicates")
    assert found["pairs"][0]["bytes"] == len(data) + len(b"changed")
    assert found["duplicate_bytes"] > len(data) / 2
    assert refusal(await nobody.get("/usage/duplicates")) == (403, "FORBIDDEN")
