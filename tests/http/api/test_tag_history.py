"""The past of tags through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entrepot.lifecycle.immutability.locks import ImmutableTags
from tests.http.pushing import push_image
from tests.http.transport import AsgiClient
from tests.support.api import Api, refusal
from tests.support.app import App, Opener
from tests.support.manifests import digest_of

AsUser = Callable[[str], Api]
TAG = "/projects/demo/repositories/app/tags/latest"


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with a trash."""
    app = await open_registry(signed_in=True, registry={"trash_seconds": 3600.0, "tag_rules": ImmutableTags()})
    await app.account("admin", ("*", "*"))
    return app


@pytest.fixture
async def client(app: App) -> AsgiClient:
    """Give somebody who has moved a tag twice."""
    client = app.basic("admin")
    for layer in (b"one", b"two", b"three"):
        await push_image(client, "latest", layer, name="demo/app")
    return client


async def test_moves_are_listed_and_narrowed(admin: Api, client: AsgiClient) -> None:
    """The latest first; by time, so that one sees what the tag named then."""
    answer = await admin.get(f"{TAG}/history?page_size=2")
    assert (answer["X-Total-Count"], [one["action"] for one in answer.json()]) == ("3", ["set", "set"])
    moves = await admin.found(f"{TAG}/history")
    assert {one["actor"] for one in moves} == {"admin"}
    assert {one["whereabouts"] for one in moves} == {"here"}
    assert await admin.found(f"{TAG}/history?q=time=[~2001-01-01%2000:00:00]") == []
    assert await admin.found(f"{TAG}/history?q=time=[2001-01-01%2000:00:00~]") == moves
    assert await admin.found(f"{TAG}/history?q=digest={moves[1]['digest']}") == [moves[1]]
    assert await admin.found("/projects/demo/repositories/app/tags/never/history") == []
    assert refusal(await admin.get("/projects/demo/repositories/app/tags/no+tag/history")) == (400, "BAD_REQUEST")
    assert refusal(await admin.get("/projects/demo/repositories/none/tags/latest/history")) == (404, "NOT_FOUND")


async def test_a_tag_is_put_back(admin: Api, client: AsgiClient) -> None:
    """To what it named before, to a digest, or to what it named at a time."""
    three, two, one = (move["digest"] for move in await admin.found(f"{TAG}/history"))
    for body, expected in (({}, two), ({"digest": one}, one), ({"digest": three}, three)):
        answer = await admin.post(f"{TAG}/restore", body)
        assert (answer.status, answer.json()["tags"]) == (200, ["latest"])
        assert (await client.get("/v2/demo/app/manifests/latest"))["Docker-Content-Digest"] == expected
    moves = await admin.found(f"{TAG}/history")
    first_set = moves[-1]["time"]
    answer = await admin.post(f"{TAG}/restore", {"at": first_set})
    assert (answer.status, answer.json()["digest"]) == (200, one)


async def test_a_deleted_manifest_comes_out_of_the_trash(
    admin: Api, client: AsgiClient, as_user: AsUser, app: App
) -> None:
    """For who may restore, too; whoever may push alone moves tags among what is there."""
    three, two, _ = (move["digest"] for move in await admin.found(f"{TAG}/history"))
    await admin.delete(f"/projects/demo/repositories/app/artifacts/{two}")
    assert [one["whereabouts"] for one in await admin.found(f"{TAG}/history")] == ["here", "trash", "here"]
    rights = "project:read,repository:read,repository:push,tag:create"
    await app.account("dev", ("project:demo", rights))
    await app.account("keeper", ("project:demo", f"{rights},trash:restore"))
    assert refusal(await as_user("dev").post(f"{TAG}/restore", {"digest": two})) == (403, "FORBIDDEN")
    assert (await as_user("keeper").post(f"{TAG}/restore", {"digest": two})).status == 200
    assert (await as_user("dev").post(f"{TAG}/restore", {"digest": three})).status == 200
    await app.account("tagger", ("project:demo", "project:read,repository:read,tag:create"))
    assert refusal(await as_user("tagger").post(f"{TAG}/restore", {"digest": two})) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"digest": "sha256:nonsense"}, 400),
        ({"digest": digest_of(b"never")}, 404),
        ({"digest": digest_of(b"one"), "at": "2026-01-01T00:00:00Z"}, 400),
        ({"at": "2001-01-01T00:00:00Z"}, 404),
        ({"at": "yesterday"}, 422),
        ({"other": 1}, 422),
    ],
)
async def test_what_cannot_be_put_back(admin: Api, client: AsgiClient, body: dict[str, str], status: int) -> None:
    """What never was, what is written in a way that nobody reads, and both at once."""
    assert refusal(await admin.post(f"{TAG}/restore", body))[0] == status


async def test_a_rule_keeps_a_tag_from_being_put_back(admin: Api, client: AsgiClient) -> None:
    """As it does from every other way of moving."""
    rule = {
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "latest"}],
        "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
    }
    await admin.made("/projects/demo/immutabletagrules", rule)
    assert refusal(await admin.post(f"{TAG}/restore", {})) == (412, "PRECONDITION")
