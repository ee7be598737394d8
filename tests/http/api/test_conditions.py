"""Nobody changes what they have not seen: `ETag` and `If-Match` on everything that is read and changed by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.http.pushing import push_image
from tests.support.api import Api, refusal
from tests.support.app import App

PULL = {"resource": "repository", "action": "pull"}
#: What is made, where, and two states that it is changed to.
THINGS: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]] = {
    "project": (
        "/projects",
        {"project_name": "demo"},
        {"metadata": {"auto_scan": "true"}},
        {"metadata": {"auto_scan": "false"}},
    ),
    "label": ("/labels", {"name": "a", "scope": "g"}, {"name": "b"}, {"name": "c"}),
    "user": (
        "/users",
        {"username": "alice", "password": "seven boats at anchor"},
        {"realname": "Alice"},
        {"realname": "Alice Liddell"},
    ),
    "group": ("/usergroups", {"group_name": "a"}, {"group_name": "b"}, {"group_name": "c"}),
    "role": (
        "/roles",
        {"name": "puller", "permissions": [PULL]},
        {"name": "reader", "permissions": [PULL]},
        {"name": "taker", "permissions": [PULL]},
    ),
    "robot": (
        "/robots",
        {
            "name": "ci",
            "level": "system",
            "duration": 30,
            "permissions": [{"kind": "project", "namespace": "*", "access": [PULL]}],
        },
        {"description": "Builds"},
        {"description": "Tests"},
    ),
}


@pytest.fixture(params=[*THINGS, "repository"])
async def thing(
    request: pytest.FixtureRequest, app: App, admin: Api
) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Make a thing of each kind; give its path and two states."""
    if request.param == "repository":
        await push_image(app.basic("admin"), "v1", name="demo/app")
        return "/projects/demo/repositories/app", {"description": "One"}, {"description": "Two"}
    place, made, first, second = THINGS[request.param]
    return await admin.made(place, made), first, second


async def test_a_change_needs_the_state_that_is_there(
    admin: Api, thing: tuple[str, Mapping[str, Any], Mapping[str, Any]]
) -> None:
    """With the state that was read it goes through once; with an older one it is refused, and changes nothing."""
    path, first, second = thing
    before = (await admin.get(path))["ETag"]
    assert (await admin.put(path, first, If_Match=before)).status == 200
    now = await admin.get(path)
    assert now["ETag"] != before
    assert refusal(await admin.put(path, second, If_Match=before)) == (412, "PRECONDITION")
    assert refusal(await admin.put(path, second, If_Match='"of another thing"')) == (412, "PRECONDITION")
    assert (await admin.get(path)).body == now.body
    assert (await admin.put(path, second, If_Match="*")).status == 200
    assert (await admin.put(path, first)).status == 200


async def test_the_answer_to_a_change_names_the_new_state(
    admin: Api, thing: tuple[str, Mapping[str, Any], Mapping[str, Any]]
) -> None:
    """So that whoever changes a thing twice need not read it between."""
    path, first, second = thing
    answer = await admin.put(path, first)
    assert (await admin.put(path, second, If_Match=answer["ETag"])).status == 200
