"""Labels through the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.events import recorded

GLOBAL = {"name": "release", "description": "Ready", "color": "#00AB9A", "scope": "g"}


@pytest.fixture
async def people(app: App, admin: Api) -> dict[str, Api]:
    """Give the project `demo` with a reader and somebody who may make labels in it."""
    await admin.made("/projects", {"project_name": "demo"})
    await app.account("reader", ("project:demo", "project:read,label:list,label:read"))
    await app.account("editor", ("project:demo", "project:read,label:list,label:create,label:update,label:delete"))
    return {name: Api(app.basic(name)) for name in ("reader", "editor", "nobody")}


def of_project(name: str = "mine") -> dict[str, Any]:
    """Return a label of the project `demo`."""
    return {"name": name, "scope": "p", "project_id": 1}


async def test_a_label_for_all(app: App, admin: Api, nobody: Api) -> None:
    """It is made by who may, seen by whoever signs in, changed and removed; the log tells of each."""
    assert await admin.made("/labels", GLOBAL) == "/labels/1"
    label = await nobody.found("/labels/1")
    assert {key: label[key] for key in GLOBAL} == GLOBAL
    assert (label["id"], label["project_id"]) == (1, 0)
    assert [found["name"] for found in await nobody.found("/labels?scope=g")] == ["release"]
    assert (await admin.put("/labels/1", {**label, "name": "released", "color": ""})).status == 200
    assert (await nobody.found("/labels/1"))["name"] == "released"
    assert (await admin.delete("/labels/1")).status == 200
    assert refusal(await admin.get("/labels/1")) == (404, "NOT_FOUND")
    assert [(e.kind, e.subject) for e in await recorded(app.stores.metadata)] == [
        ("create", "label:release"),
        ("update", "label:released"),
        ("delete", "label:released"),
    ]


async def test_labels_for_all_are_changed_by_who_may(admin: Api, nobody: Api, anonymous: Api) -> None:
    """Others are refused, and strangers asked to sign in."""
    await admin.made("/labels", GLOBAL)
    for method, path, document in (
        ("POST", "/labels", {**GLOBAL, "name": "other"}),
        ("PUT", "/labels/1", GLOBAL),
        ("DELETE", "/labels/1", None),
    ):
        assert refusal(await nobody.send(method, path, document)) == (403, "FORBIDDEN")
        assert refusal(await anonymous.send(method, path, document)) == (401, "UNAUTHORIZED")
    assert refusal(await anonymous.get("/labels/1")) == (401, "UNAUTHORIZED")


async def test_a_label_of_a_project(people: dict[str, Api]) -> None:
    """It belongs to the project: who may not see that knows nothing of it."""
    assert await people["editor"].made("/labels", of_project()) == "/labels/1"
    assert (await people["reader"].found("/labels/1"))["scope"] == "p"
    assert [label["name"] for label in await people["reader"].found("/labels?scope=p&project_id=1")] == ["mine"]
    assert await people["reader"].found("/labels?scope=g") == []
    assert refusal(await people["reader"].post("/labels", of_project("new"))) == (403, "FORBIDDEN")
    assert refusal(await people["reader"].delete("/labels/1")) == (403, "FORBIDDEN")
    hidden, missing = await people["nobody"].get("/labels/1"), await people["nobody"].get("/labels/2")
    assert refusal(hidden) == refusal(missing) == (404, "NOT_FOUND")
    assert hidden.body == missing.body.replace(b"label 2", b"label 1")
    assert refusal(await people["nobody"].get("/labels?scope=p&project_id=1")) == (404, "NOT_FOUND")


async def test_a_name_is_taken_once_in_each_place(admin: Api, people: dict[str, Api]) -> None:
    """The same name may stand for all and in a project, but not twice in one of them."""
    await admin.made("/labels", {**GLOBAL, "name": "mine"})
    await people["editor"].made("/labels", of_project())
    await people["editor"].made("/labels", of_project("other"))
    assert refusal(await people["editor"].post("/labels", of_project())) == (409, "CONFLICT")
    assert refusal(await people["editor"].put("/labels/3", {"name": "mine"})) == (409, "CONFLICT")
    assert (await people["editor"].put("/labels/3", {"name": "other", "color": "#fff"})).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x" * 129},
        {"color": "red;"},
        {"color": "#12"},
        {"description": "x" * 1025},
        {"scope": ""},
        {"scope": "p"},
    ],
)
async def test_odd_labels_are_refused(admin: Api, change: dict[str, Any]) -> None:
    """Names and colours have a form, and a label has a place."""
    assert refusal(await admin.post("/labels", {**GLOBAL, **change})) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("query", ["", "scope=p", "scope=g&q=project_id%3D1"])
async def test_a_list_is_of_one_place(admin: Api, query: str) -> None:
    """Without saying which labels are meant there is no list."""
    assert refusal(await admin.get(f"/labels?{query}")) == (400, "BAD_REQUEST")


async def test_labels_are_found_by_name(admin: Api) -> None:
    """The parameter looks for a part of the name, `q` for the whole."""
    for name in ("one", "two", "tower"):
        await admin.made("/labels", {**GLOBAL, "name": name})
    assert [label["name"] for label in await admin.found("/labels?scope=g&name=TW")] == ["two"]
    assert [label["name"] for label in await admin.found("/labels?scope=g&q=name%3D~o&sort=-name&page_size=2")] == [
        "two",
        "tower",
    ]
    assert [label["name"] for label in await admin.found("/labels?scope=g&q=name%3Done")] == ["one"]
