"""The audit log through the API: what is in it, who may read it, pages and filters."""

from __future__ import annotations

import csv
import io
import json

import pytest

from entrepot.accounts.providers.people import People
from entrepot.metadata import events
from entrepot.metadata.events import Source
from tests.http.pushing import push_blob, push_image, put_manifest
from tests.support.api import Api
from tests.support.app import App, Opener
from tests.support.manifests import digest_of, image

API = "/api/v2.0"


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with accounts and two pushed images."""
    app = await open_registry(signed_in=True)
    alice = await app.account("alice", ("*", "*"))
    await app.account("bob", ("project:team", "project:read,log:list"))
    await app.account("carol", ("project:team", "project:read,repository:pull"))
    for name in ("team/app", "other/app"):
        client = await app.bearer(alice, f"repository:{name}:pull,push")
        await push_image(client, "v1", name=name)
    return app


async def test_a_push_is_in_the_log_with_all_that_is_known(app: App) -> None:
    """Who pushed what, from where, with what credential, in which request."""
    answer = await app.basic("alice").get(f"{API}/auditlog-exts?q=operation=push,project=team")
    (entry,) = answer.json()
    assert (entry["username"], entry["operation"], entry["resource_type"]) == ("alice", "create", "artifact")
    assert entry["kind"] == "push"
    assert entry["resource"] == "team/app:v1"
    assert (entry["credential"], entry["operation_result"], entry["count"]) == ("token", True, 1)
    assert entry["request_id"]
    assert answer["X-Total-Count"] == "1"


async def test_a_failure_has_its_reason(app: App) -> None:
    """Why a sign-in by a provider failed stands in the list, not only in its description."""
    people, by = People(app.stores.metadata), Source(name="", address="192.0.2.7", credential="provider")
    await people.refused("main", "the provider said no: access_denied", by)
    [entry] = (await app.basic("alice").get(f"{API}/auditlog-exts?q=operation=sign-in,result=failure")).json()
    assert (entry["operation_result"], entry["reason"]) == (False, "the provider said no: access_denied")


@pytest.mark.parametrize(
    ("query", "operations"),
    [
        ("operation=create,resource_type=artifact", [("create", "team/app:v1"), ("create", "other/app:v1")]),
        ("operation=push,resource=~APP:", [("create", "team/app:v1"), ("create", "other/app:v1")]),
        ("resource=team/app:v1", [("create", "team/app:v1")]),
        ("resource=~eam/", [("create", "team/app:v1")]),
        ("operation={create pull},username=~LIC,project=team,resource_type=artifact", [("create", "team/app:v1")]),
        ("operation=create,resource_type=member", [("create", "bob")]),
        ("operation=update,resource_type=configuration", [("update", "configuration")]),
        ("operation=login", [("login", "zoe")]),
        ("resource_type=user,username=~nobody", []),
    ],
)
async def test_harbors_words_are_shown_and_asked_for(app: App, query: str, operations: list[tuple[str, str]]) -> None:
    """`create` of an artifact, a member or a project, `update` of the configuration, `login`; fuzzy where it helps."""
    admin = Api(app.basic("alice"))
    await admin.post("/projects/team/members", {"role_id": 2, "member_user": {"username": "bob"}})
    await admin.put("/configurations", {"session_timeout": 90})
    signed_in = Source(name="zoe", credential="password")
    await app.stores.metadata.write(lambda tx: events.add(tx, events.SIGN_IN, by=signed_in, subject="user:zoe"))
    found = await admin.found(f"/audit-logs?page_size=100&q={query}")
    assert sorted((entry["operation"], entry["resource"]) for entry in found) == sorted(operations)


async def test_the_log_is_sorted_by_what_it_shows(app: App) -> None:
    """Either way, page by page, in the log of a project too."""
    admin = Api(app.basic("alice"))
    await admin.put("/configurations", {"session_timeout": 90})
    await push_image(app.basic("alice"), "v2", name="team/app")
    for log in ("/audit-logs", "/projects/team/logs"):
        for field in ("id", "op_time", "username", "operation", "resource", "resource_type"):
            whole = await admin.found(f"{log}?page_size=100&sort={field}")
            assert [entry[field] for entry in whole] == sorted(entry[field] for entry in whole)
            back = await admin.found(f"{log}?page_size=100&sort=-{field}")
            assert [entry[field] for entry in back] == sorted((entry[field] for entry in whole), reverse=True)
            assert await admin.found(f"{log}?page_size=1&page=2&sort={field}") == whole[1:2]


async def test_the_types_of_events_are_harbors(app: App) -> None:
    """As its clients name them, for what may be removed from the log; and those that only we have."""
    types = {each["event_type"] for each in await Api(app.basic("bob")).found("/auditlog-exts/events")}
    assert types >= {"create_artifact", "pull_artifact", "delete_artifact", "create_project", "login_user", "restore"}


async def test_pages_are_newest_first_and_link_to_each_other(app: App) -> None:
    """Each page has what the one before it had not."""
    client = app.basic("alice")
    whole = (await client.get(f"{API}/audit-logs?page_size=100")).json()
    assert [entry["id"] for entry in whole] == sorted((entry["id"] for entry in whole), reverse=True)
    first = await client.get(f"{API}/audit-logs?page_size=1")
    second = await client.get(f"{API}/audit-logs?page_size=1&page=2")
    assert [first.json()[0]["id"], second.json()[0]["id"]] == [whole[0]["id"], whole[1]["id"]]
    assert 'rel="next"' in first["Link"]
    assert first["X-Total-Count"] == str(len(whole))


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/audit-logs", "alice", 200),
        ("/audit-logs", "bob", 403),
        ("/audit-logs", None, 401),
        ("/auditlog-exts/export", "bob", 403),
        ("/auditlog-exts/events", "bob", 200),
        ("/projects/team/logs", "bob", 200),
        ("/projects/team/logs", "carol", 403),
        ("/projects/other/logs", "bob", 404),
        ("/projects/nowhere/logs", "bob", 404),
        ("/projects/team/auditlog-exts", None, 401),
    ],
)
async def test_who_may_read_which_log(app: App, path: str, who: str | None, status: int) -> None:
    """The whole log is the administrator's, a project's log its members', and nobody learns of other projects."""
    client = app.client() if who is None else app.basic(who)
    assert (await client.get(API + path)).status == status


async def test_a_project_shows_its_own_log_only(app: App) -> None:
    """A filter for another project does not widen it."""
    for query in ("", "?q=project=other"):
        entries = (await app.basic("bob").get(f"{API}/projects/team/auditlog-exts{query}")).json()
        assert {entry["project"] for entry in entries} == {"team"}


async def test_a_project_made_anew_shows_nothing_of_the_one_before(app: App) -> None:
    """Whoever may read its log learns nothing of a deleted project that had its name, whatever times they ask for."""
    admin = Api(app.basic("alice"))
    assert (await admin.delete("/projects/team?force=true")).status == 200
    await admin.made("/projects", {"project_name": "team"})
    await app.account("dave", ("project:team", "project:read,log:list"))
    for query in ("", "?q=op_time=[2020-01-01~2099-01-01]"):
        for log in ("logs", "auditlog-exts"):
            entries = await Api(app.basic("dave")).found(f"/projects/team/{log}{query}")
            assert [(entry["operation"], entry["resource"]) for entry in entries] == [("create", "team")]
    assert len(await admin.found("/auditlog-exts?q=project=team,operation=push")) == 1


async def test_a_push_under_several_tags_names_them_all(app: App) -> None:
    """One event for the push, with each of its tags."""
    client = app.basic("alice")
    await push_blob(client, b"{}", name="team/app")
    body = image(b"{}")
    assert (await put_manifest(client, body, f"{digest_of(body)}?tag=a&tag=b&tag=c", name="team/app")).status == 201
    (entry, _) = await Api(client).found("/auditlog-exts?q=operation=push,project=team")
    assert entry["resource"] == "team/app:a"
    assert "tags: ['a', 'b', 'c']" in entry["operation_description"]


@pytest.mark.parametrize(
    "query", ["q=secret=x", "q=op_time=5", "q=project=~a", "sort=address", "page=100000", "q=result={a b}", "q=id=5"]
)
async def test_what_cannot_be_asked_for_is_said(app: App, query: str) -> None:
    """Unknown fields, other comparisons and another order are refused with what to do instead."""
    answer = await app.basic("alice").get(f"{API}/audit-logs?{query}")
    assert answer.status in (400, 422)
    assert answer.json()["errors"][0]["message"]


async def test_export_as_json_lines_and_csv(app: App) -> None:
    """Both have every event of the log."""
    client = app.basic("alice")
    total = int((await client.get(f"{API}/audit-logs"))["X-Total-Count"])
    lines = (await client.get(f"{API}/auditlog-exts/export")).body.decode().splitlines()
    table = (await client.get(f"{API}/auditlog-exts/export?format=csv")).body.decode()
    assert len([json.loads(line) for line in lines]) == total
    assert len(list(csv.DictReader(io.StringIO(table)))) == total
