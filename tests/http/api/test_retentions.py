"""Retention through the API, in Harbor's shapes."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.retention.policy_run import Retention
from entrepot.lifecycle.retention.repository_visits import Request
from entrepot.metadata.jobs import job_runs
from entrepot.registry.model import Actor
from entrepot.telemetry.progress import Progress, Unwatched
from tests.http.pushing import push_image
from tests.http.transport import AsgiClient
from tests.support.api import Api, refusal
from tests.support.app import App, Opener
from tests.support.events import recorded


def rule(template: str = "latestPushedK", value: int | None = 1, pattern: str = "**", **more: Any) -> dict[str, Any]:
    """Write a rule as Harbor's page does."""
    return {
        "disabled": False,
        "action": "retain",
        "template": template,
        "params": {} if value is None else {template: value},
        "tag_selectors": [
            {"kind": "doublestar", "decoration": "matches", "pattern": pattern, "extras": '{"untagged":true}'}
        ],
        "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
        **more,
    }


def policy(project: int, *rules: dict[str, Any], cron: str = "", **more: Any) -> dict[str, Any]:
    """Write a policy as Harbor's page does."""
    return {
        "algorithm": "or",
        "rules": list(rules),
        "trigger": {"kind": "Schedule", "references": {}, "settings": {"cron": cron}},
        "scope": {"level": "project", "ref": project},
        **more,
    }


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with a trash."""
    app = await open_registry(signed_in=True, registry={"trash_seconds": 3600.0, "tag_rules": ImmutableTags()})
    await app.account("admin", ("*", "*"))
    return app


@pytest.fixture
async def client(app: App) -> AsgiClient:
    """Give somebody who has pushed images to demo/app."""
    client = app.basic("admin")
    for tag in ("v1", "v2"):
        await push_image(client, tag, tag.encode(), name="demo/app")
    return client


@pytest.fixture
async def project(admin: Api, client: AsgiClient) -> int:
    """Give the number of the project."""
    return int((await admin.found("/projects/demo"))["project_id"])


async def test_what_rules_can_say(admin: Api, app: App) -> None:
    """Harbor's templates with their units, and what names can be compared with; for whoever has signed in."""
    found = await admin.found("/retentions/metadatas")
    templates = {one["rule_template"]: one for one in found["templates"]}
    assert set(templates) >= {
        "latestPushedK",
        "latestPulledN",
        "nDaysSinceLastPush",
        "nDaysSinceLastPull",
        "latestActiveK",
        "lastXDays",
        "always",
    }
    assert templates["latestPushedK"]["params"] == [{"type": "int", "unit": "COUNT", "required": True}]
    assert templates["lastXDays"]["params"][0]["unit"] == "DAYS"
    assert templates["always"]["params"] == []
    assert found["tag_selectors"][0]["decorations"] == ["matches", "excludes"]
    assert found["scope_selectors"][0]["decorations"] == ["repoMatches", "repoExcludes"]
    assert (await Api(app.client()).get("/retentions/metadatas")).status == 401


async def test_a_policy_is_made_changed_and_removed(admin: Api, app: App, project: int) -> None:
    """As it was written; the project names it, and the audit log tells of each."""
    place = await admin.made("/retentions", policy(project, rule(), cron="0 0 3 * * *"))
    number = int(place.removeprefix("/retentions/"))
    assert (await admin.found("/projects/demo"))["metadata"]["retention_id"] == str(number)
    found = await admin.found(place)
    assert found["trigger"]["settings"].pop("next_scheduled_time").endswith("T03:00:00Z")
    selectors = {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**", "extras": ""}]}
    assert found == {
        "id": number,
        "algorithm": "or",
        "rules": [{**rule(), "id": 1, "priority": 0, "scope_selectors": selectors}],
        "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 3 * * *"}, "references": {}},
        "scope": {"level": "project", "ref": project},
    }
    assert [(one["vendor_type"], one["cron"]) for one in await admin.found("/schedules")] == [
        ("RETENTION", "0 0 3 * * *")
    ]
    assert (await admin.put(place, policy(project, rule("always", None), rule(value=3)))).status == 200
    changed = await admin.found(place)
    assert [one["template"] for one in changed["rules"]] == ["always", "latestPushedK"]
    assert changed["trigger"]["settings"] == {"cron": ""}
    assert await admin.found("/schedules") == []
    assert (await admin.delete(place)).status == 200
    assert (await admin.get(place)).status == 404
    assert "retention_id" not in (await admin.found("/projects/demo"))["metadata"]
    told = [one for one in await recorded(app.stores.metadata) if (one.subject or "").startswith("retention:")]
    assert [(one.kind, one.project) for one in told] == [("create", "demo"), ("update", "demo"), ("delete", "demo")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"algorithm": "and"}, 400),
        ({"rules": [rule(action="remove")]}, 400),
        ({"rules": [rule("newest")]}, 400),
        ({"rules": [rule(value=-1)]}, 400),
        ({"rules": [rule(), rule()]}, 409),
        ({"rules": [rule(value=number) for number in range(16)]}, 400),
        ({"rules": [rule(tag_selectors=[])]}, 400),
        ({"trigger": {"kind": "Event", "settings": {"cron": ""}}}, 400),
        ({"trigger": {"kind": "Schedule", "settings": {"cron": "now and then"}}}, 400),
        ({"trigger": {"kind": "Schedule", "settings": {"cron": 5}}}, 400),
        ({"scope": {"level": "system", "ref": 1}}, 400),
        ({"scope": {"level": "project", "ref": 0}}, 400),
        ({"scope": {"level": "project", "ref": 999}}, 404),
    ],
)
async def test_policies_that_cannot_be(admin: Api, project: int, change: dict[str, Any], status: int) -> None:
    """Refused when made and when changed, and nothing is kept of them."""
    assert (await admin.post("/retentions", policy(project, rule()) | change)).status == status
    assert "retention_id" not in (await admin.found("/projects/demo"))["metadata"]
    place = await admin.made("/retentions", policy(project, rule()))
    before = await admin.found(place)
    assert (await admin.put(place, policy(project, rule("always", None)) | change)).status == status
    assert await admin.found(place) == before


async def test_a_project_has_one_policy(admin: Api, project: int) -> None:
    """A second one is refused; a policy cannot be moved to another project by changing it."""
    place = await admin.made("/retentions", policy(project, rule()))
    assert refusal(await admin.post("/retentions", policy(project, rule()))) == (400, "BAD_REQUEST")
    await admin.made("/projects", {"project_name": "other"})
    other = (await admin.found("/projects/other"))["project_id"]
    assert refusal(await admin.put(place, policy(other, rule()))) == (404, "NOT_FOUND")


async def test_a_run_and_what_it_did(admin: Api, app: App, project: int) -> None:
    """Asked for, looked at by repository and by tag, as text and in pages."""
    place = await admin.made("/retentions", policy(project, rule()))
    run = await admin.made(f"{place}/executions", {"dry_run": True})
    assert refusal(await admin.post(f"{place}/executions", {"dry_run": True})) == (409, "CONFLICT")
    (waiting,) = await admin.found(f"{place}/executions")
    assert (waiting["status"], waiting["trigger"], waiting["dry_run"]) == ("Pending", "MANUAL", True)
    number, policy_id = waiting["id"], waiting["policy_id"]
    assert run == f"{place}/executions/{number}"
    await perform(app, number, policy_id)
    (task,) = await admin.found(f"{run}/tasks")
    assert (task["repository"], task["total"], task["retained"]) == ("app", 2, 1)
    assert (task["status"], task["status_code"], task["execution_id"]) == ("Success", 3, number)
    log = await admin.get(f"{run}/tasks/{task['id']}")
    assert (log.status, log["content-type"]) == (200, "text/plain; charset=utf-8")
    first, removed, kept = log.body.decode().splitlines()
    assert first == "app: 2 looked at, 1 kept"
    assert removed.startswith("removed v1 sha256:")
    assert removed.endswith(" no rule keeps it")
    assert kept.endswith(" rule 1: the 1 most recently pushed")
    verdicts = f"{run}/tasks/{task['id']}/verdicts"
    assert [(one["tag"], one["kept"], one["rule"]) for one in await admin.found(verdicts)] == [
        ("v1", False, None),
        ("v2", True, 1),
    ]
    (second,) = await admin.found(f"{verdicts}?page=2&page_size=1")
    assert second["tag"] == "v2"
    (second,) = await admin.found(f"{verdicts}?after=1&page_size=1000")
    assert second["tag"] == "v2"
    assert await admin.found(f"{verdicts}?after=2000000") == []
    for path in (f"{place}/executions/999/tasks", f"{run}/tasks/999", f"{run}/tasks/999/verdicts"):
        assert (await admin.get(path)).status == 404


async def test_a_run_is_stopped(admin: Api, project: int) -> None:
    """By Harbor's word for it, and no other."""
    place = await admin.made("/retentions", policy(project, rule()))
    run = await admin.made(f"{place}/executions", {"dry_run": True})
    assert (await admin.send("PATCH", run, {"action": "pause"})).status == 422
    assert (await admin.send("PATCH", run, {"action": "stop"})).status == 200
    assert (await admin.found(f"{place}/executions"))[0]["status"] == "Stopped"
    assert (await admin.send("PATCH", f"{place}/executions/999", {"action": "stop"})).status == 404


async def test_runs_of_another_policy_are_not_there(admin: Api, project: int) -> None:
    """Whatever one does to them."""
    await admin.made("/projects", {"project_name": "other"})
    other = (await admin.found("/projects/other"))["project_id"]
    mine, theirs = [await admin.made("/retentions", policy(number, rule())) for number in (project, other)]
    run = (await admin.made(f"{theirs}/executions", {"dry_run": True})).removeprefix(theirs)
    assert await admin.found(f"{mine}/executions") == []
    assert (await admin.send("PATCH", f"{mine}{run}", {"action": "stop"})).status == 404
    assert (await admin.get(f"{mine}{run}/tasks")).status == 404


@pytest.mark.parametrize("settings", [{"delete_enabled": False}, {"read_only": lambda: True}])
async def test_where_nothing_may_be_deleted_a_run_is_refused(open_registry: Opener, settings: dict[str, Any]) -> None:
    """It says so at once; a dry run is not refused for that."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    admin = Api(app.basic("admin"))
    await admin.made("/projects", {"project_name": "demo"})
    number = (await admin.found("/projects/demo"))["project_id"]
    place = await admin.made("/retentions", policy(number, rule()))
    closed = await open_registry(signed_in=True, registry=settings)
    api = Api(closed.basic("admin"))
    assert refusal(await api.post(f"{place}/executions", {"dry_run": False})) == (405, "METHOD_NOT_ALLOWED")
    if "delete_enabled" in settings:
        await api.made(f"{place}/executions", {"dry_run": True})


async def perform(app: App, run: int, policy_id: int) -> None:
    """Do what a worker does about a run."""

    async def gate() -> None:
        return None

    async def settle(_progress: Progress) -> None:
        return None

    found = await job_runs.find(app.stores.metadata, run)
    assert found is not None
    retention = Retention(
        metadata=app.stores.metadata, settings=app.services.registry.settings, gate=gate, settle=settle
    )
    dry_run = bool(found.parameters["dry_run"])
    request = Request(run=run, policy_id=policy_id, dry_run=dry_run, actor=Actor(name="admin"))
    await retention.run(request, Unwatched())
