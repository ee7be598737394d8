"""Rules for immutable tags through the API, and what clients of the registry see of them."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.lifecycle.immutability.locks import ImmutableTags
from tests.http.pushing import push_blob, push_image, put_manifest
from tests.http.transport import AsgiClient
from tests.support.api import Api, refusal
from tests.support.app import App, Opener
from tests.support.events import recorded
from tests.support.manifests import digest_of, image

RULES = "/projects/demo/immutabletagrules"


def rule(pattern: str, repositories: str = "**", **more: Any) -> dict[str, Any]:
    """Write a rule as Harbor's page does."""
    return {
        "disabled": False,
        "action": "immutable",
        "template": "immutable_template",
        "params": {},
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": pattern, "extras": ""}],
        "scope_selectors": {
            "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": repositories}]
        },
        **more,
    }


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry that looks at rules."""
    app = await open_registry(signed_in=True, registry={"trash_seconds": 3600.0, "tag_rules": ImmutableTags()})
    await app.account("admin", ("*", "*"))
    return app


@pytest.fixture
async def client(app: App) -> AsgiClient:
    """Give somebody who has pushed an image to demo/app."""
    client = app.basic("admin")
    await push_image(client, "v1", b"one", name="demo/app")
    return client


async def test_a_rule_is_made_changed_and_removed(admin: Api, client: AsgiClient, app: App) -> None:
    """In Harbor's shape, as it was written; the audit log tells of each."""
    place = await admin.made(RULES, rule("v*"))
    project = (await admin.found("/projects/demo"))["project_id"]
    (found,) = await admin.found(RULES)
    assert place == f"/projects/{project}/immutabletagrules/{found['id']}"
    assert found == {
        "id": found["id"],
        "priority": 0,
        "disabled": False,
        "action": "immutable",
        "template": "immutable_template",
        "params": {},
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "v*", "extras": ""}],
        "scope_selectors": {
            "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**", "extras": ""}]
        },
    }
    assert (await admin.put(place, {**found, "disabled": True, "priority": 3})).status == 200
    (changed,) = await admin.found(RULES)
    assert (changed["disabled"], changed["priority"]) == (True, 3)
    assert (await admin.delete(place)).status == 200
    answer = await admin.get(RULES)
    assert (answer["X-Total-Count"], answer.json()) == ("0", [])
    told = [one for one in await recorded(app.stores.metadata) if (one.subject or "").startswith("immutable-tag:")]
    assert [(one.kind, one.project) for one in told] == [("create", "demo"), ("update", "demo"), ("delete", "demo")]


@pytest.mark.parametrize(
    "wrong",
    [
        rule("{v"),
        rule(""),
        rule("v*", repositories="{"),
        rule("v*", tag_selectors=[]),
        rule("v*", scope_selectors={}),
        rule("v*", tag_selectors=[{"decoration": "repoMatches", "pattern": "v*"}]),
        rule("v*", tag_selectors=[{"decoration": "matches", "pattern": "v*", "kind": "regex"}]),
        rule("v*", priority=10**12),
        {},
    ],
)
async def test_rules_that_cannot_be(admin: Api, client: AsgiClient, wrong: dict[str, Any]) -> None:
    """Refused, and nothing is made."""
    assert refusal(await admin.post(RULES, wrong)) == (400, "BAD_REQUEST")
    assert await admin.found(RULES) == []


async def test_what_is_no_rule(admin: Api, client: AsgiClient) -> None:
    """A second one that says the same, one that is not there, and one of another project."""
    place = await admin.made(RULES, rule("v*"))
    number = place.rpartition("/")[2]
    assert refusal(await admin.post(RULES, rule("v*"))) == (409, "CONFLICT")
    other = await admin.made(RULES, rule("w*"))
    assert refusal(await admin.put(other, rule("v*"))) == (409, "CONFLICT")
    await admin.made("/projects", {"project_name": "far"})
    for path in (f"{RULES}/999999", f"/projects/far/immutabletagrules/{number}"):
        assert refusal(await admin.put(path, rule("x*"))) == (404, "NOT_FOUND")
        assert refusal(await admin.delete(path)) == (404, "NOT_FOUND")
    assert refusal(await admin.post(RULES, {**rule("v*"), "tag_selectors": "all"}))[0] == 422


async def test_what_clients_of_the_registry_see(admin: Api, client: AsgiClient) -> None:
    """The same push is fine; another one, and deleting, are denied in the protocol's form with what to do."""
    number = (await admin.made(RULES, rule("v*"))).rpartition("/")[2]
    body = (await client.get("/v2/demo/app/manifests/v1")).body
    assert (await put_manifest(client, body, "v1", name="demo/app")).status == 201
    await push_blob(client, b"two", name="demo/app")
    other = image(b"{}", b"two")
    for answer in (
        await put_manifest(client, other, "v1", name="demo/app"),
        await put_manifest(client, other, f"{digest_of(other)}?tag=v9&tag=v1", name="demo/app"),
        await client.request("DELETE", "/v2/demo/app/manifests/v1"),
        await client.request("DELETE", f"/v2/demo/app/manifests/{digest_of(body)}"),
    ):
        assert (answer.status, answer.codes) == (403, ["DENIED"])
        (error,) = answer.json()["errors"]
        assert f"Tag v1 is immutable by rule {number}" in error["message"]
        assert error["detail"] == {"tag": "v1", "rule": int(number)}
    assert (await client.get("/v2/demo/app/tags/list")).json()["tags"] == ["v1"]
    assert (await put_manifest(client, other, "v2", name="demo/app")).status == 201


async def test_what_clients_of_the_api_see(admin: Api, client: AsgiClient) -> None:
    """412 PRECONDITION, as Harbor says it, for each way of deleting or moving."""
    await push_image(client, "v1", b"two", name="demo/other")
    await admin.made(RULES, rule("v*", repositories="app"))
    app = "/projects/demo/repositories/app"
    for path in (app, f"{app}/artifacts/v1", f"{app}/artifacts/v1/tags/v1", "/projects/demo?force=true"):
        assert refusal(await admin.delete(path)) == (412, "PRECONDITION"), path
    for path in (f"{app}/artifacts?from=demo/other:v1", f"{app}/artifacts/v1/purge", f"{app}/purge"):
        assert refusal(await admin.post(path, {})) == (412, "PRECONDITION"), path
    assert refusal(await admin.post("/projects/demo/purge", {})) == (412, "PRECONDITION")
    assert len(await admin.found(f"{app}/artifacts")) == 1
    assert (await admin.delete("/projects/demo/repositories/other")).status == 200


async def test_tags_tell_whether_a_rule_keeps_them(admin: Api, client: AsgiClient) -> None:
    """In lists of artifacts, of their tags and of a whole project; of repositories that the rule is not about, no."""
    await push_image(client, "dev", b"one", name="demo/app")
    await push_image(client, "v1", b"one", name="demo/other")
    await admin.made(RULES, rule("v*", "app"))
    one = "/projects/demo/repositories/app/artifacts/v1"
    assert {tag["name"]: tag["immutable"] for tag in (await admin.found(one))["tags"]} == {"v1": True, "dev": False}
    assert {tag["name"]: tag["immutable"] for tag in await admin.found(f"{one}/tags")} == {"v1": True, "dev": False}
    every = await admin.found("/projects/demo/artifacts")
    told = {(a["repository_name"], tag["name"]): tag["immutable"] for a in every for tag in a["tags"]}
    assert told == {("demo/app", "v1"): True, ("demo/app", "dev"): False, ("demo/other", "v1"): False}
