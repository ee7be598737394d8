"""`/system/gc`, `/system/purgeaudit`, `/jobservice` and `/schedules`, as Harbor's clients use them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from entrepot.metadata import clock
from entrepot.metadata.jobs import job_lines, job_workers
from entrepot.metadata.jobs.job_claims import claim
from entrepot.metadata.jobs.job_workers import Worker
from entrepot.web.api.jobs.harbor_jobs import HARBORS
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.events import recorded

DAILY = {"type": "Daily", "cron": "0 0 0 * * *"}
PURGE = {"audit_retention_hour": 720, "include_event_types": "create,delete,pull", "dry_run": True}


@pytest.mark.parametrize("kind", [{}, {"type": ""}, {"type": None}])
async def test_a_schedule_without_a_type_is_its_cron_line(admin: Api, kind: dict[str, Any]) -> None:
    """Harbor's swagger asks for no type; without a line there is nothing to set."""
    body = {"schedule": {**kind, "cron": "0 30 4 * * *"}, "parameters": PURGE}
    assert (await admin.post("/system/purgeaudit/schedule", body)).status == 201
    shown = (await admin.found("/system/purgeaudit/schedule"))["schedule"]
    assert (shown["type"], shown["cron"]) == ("Custom", "0 30 4 * * *")
    assert refusal(await admin.put("/system/purgeaudit/schedule", {"schedule": kind})) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("path", ["/system/gc", "/system/purgeaudit"])
async def test_a_run_is_started_by_its_schedule_with_type_manual(admin: Api, path: str) -> None:
    """As Harbor's page does it: Location is the run's place, where it can be asked for, read and stopped."""
    location = await admin.made(f"{path}/schedule", {"schedule": {"type": "Manual"}, "parameters": {"dry_run": True}})
    assert location == f"{path}/1"
    run = await admin.found(location)
    assert (run["id"], run["job_status"], run["job_kind"], run["deleted"]) == (1, "Pending", "MANUAL", False)
    assert (run["job_name"], run["schedule"]["type"]) == (
        {"/system/gc": "GARBAGE_COLLECTION", "/system/purgeaudit": "PURGE_AUDIT_LOG"}[path],
        "Manual",
    )
    assert json.loads(run["job_parameters"])["dry_run"] is True
    assert await admin.found(path) == [run]
    assert (await admin.put(location)).status == 200
    assert (await admin.found(location))["job_status"] == "Stopped"
    log = await admin.get(f"{location}/log")
    assert (log.status, log["content-type"], log.body) == (200, "text/plain; charset=utf-8", b"")


async def test_a_run_is_started_directly(admin: Api) -> None:
    """With or without a body; a second one is refused while the first has not ended."""
    assert (await admin.post("/system/gc")).status == 201
    assert refusal(await admin.post("/system/gc", {"parameters": {}})) == (409, "CONFLICT")
    assert await admin.made("/system/purgeaudit", {"parameters": PURGE}) == "/system/purgeaudit/2"


async def test_each_place_shows_its_own_kind(app: App, admin: Api) -> None:
    """A run of another kind is not there, whatever one does to it."""
    await admin.made("/system/gc", {})
    for method, path in (("GET", ""), ("PUT", ""), ("GET", "/log")):
        assert refusal(await admin.send(method, f"/system/purgeaudit/1{path}")) == (404, "NOT_FOUND")
    assert await admin.found("/system/purgeaudit") == []
    assert (await admin.found("/system/gc/1"))["job_status"] == "Pending"


async def test_a_schedule_as_terraform_sets_and_reads_it(app: App, admin: Api) -> None:
    """Nothing at first, then what was set, then nothing again; numbers and texts come back as they were sent."""
    assert (await admin.found("/system/purgeaudit/schedule"))["schedule"]["type"] == "None"
    body = {"schedule": DAILY, "parameters": {**PURGE, "include_operations": "create", "additionalProp1": True}}
    assert (await admin.post("/system/purgeaudit/schedule", body)).status == 201
    shown = await admin.found("/system/purgeaudit/schedule")
    assert (shown["schedule"]["type"], shown["schedule"]["cron"]) == ("Daily", "0 0 0 * * *")
    assert shown["schedule"]["next_scheduled_time"].endswith("T00:00:00Z")
    assert json.loads(shown["job_parameters"]) == {**PURGE, "include_operations": "create"}
    body["schedule"] = {"type": "Custom", "cron": "0 30 4 * * *"}
    assert (await admin.put("/system/purgeaudit/schedule", body)).status == 200
    custom = (await admin.found("/system/purgeaudit/schedule"))["schedule"]
    assert (custom["type"], custom["cron"]) == ("Custom", "0 30 4 * * *")
    assert (await admin.put("/system/purgeaudit/schedule", {"schedule": {"type": "None"}})).status == 200
    none = await admin.found("/system/purgeaudit/schedule")
    assert (none["schedule"]["type"], none["schedule"]["cron"], none["id"]) == ("None", "", 0)


@pytest.mark.parametrize(("kind", "line"), [("Hourly", "0 0 * * * *"), ("Weekly", "0 0 0 * * 0")])
async def test_the_types_of_schedules_need_no_cron_line(admin: Api, kind: str, line: str) -> None:
    """They come back under their names."""
    assert (await admin.post("/system/gc/schedule", {"schedule": {"type": kind}})).status == 201
    shown = (await admin.found("/system/gc/schedule"))["schedule"]
    assert (shown["type"], shown["cron"]) == (kind, line)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"schedule": {"type": "Custom"}}, 400),
        ({"schedule": {"type": "Custom", "cron": "nonsense"}}, 400),
        ({"schedule": DAILY, "parameters": {"workers": "many"}}, 400),
        ({"schedule": {"type": "Sometimes"}}, 422),
        ({}, 422),
    ],
)
async def test_what_is_no_schedule(admin: Api, body: dict[str, Any], status: int) -> None:
    """It is refused and changes nothing."""
    for method in ("POST", "PUT"):
        assert (await admin.send(method, "/system/gc/schedule", body)).status == status
    assert (await admin.found("/system/gc/schedule"))["schedule"]["type"] == "None"


async def test_queues_are_listed_paused_resumed_and_emptied(app: App, admin: Api) -> None:
    """By Harbor's names; each change is an event."""
    await admin.made("/system/gc", {})
    queues = {queue["job_type"]: queue for queue in await admin.found("/jobservice/queues")}
    assert set(queues) == {"SCHEDULER", "UPLOAD_PURGING", *HARBORS}
    assert (queues["REPLICATION"]["count"], queues["REPLICATION"]["paused"]) == (0, False)
    assert (queues["GARBAGE_COLLECTION"]["count"], queues["GARBAGE_COLLECTION"]["paused"]) == (1, False)
    assert (await admin.put("/jobservice/queues/GARBAGE_COLLECTION", {"action": "pause"})).status == 200
    assert [queue["job_type"] for queue in await admin.found("/jobservice/queues") if queue["paused"]] == [
        "GARBAGE_COLLECTION"
    ]
    assert (await admin.put("/jobservice/queues/GARBAGE_COLLECTION", {"action": "resume"})).status == 200
    assert (await admin.put("/jobservice/queues/all", {"action": "stop"})).status == 200
    assert (await admin.found("/system/gc/1"))["job_status"] == "Stopped"
    assert [(e.kind, e.subject) for e in await recorded(app.stores.metadata)][1:] == [
        ("update", "queue:garbage-collection"),
        ("update", "queue:garbage-collection"),
        ("stop", "job:garbage-collection"),
    ]
    assert refusal(await admin.put("/jobservice/queues/NONSENSE", {"action": "stop"})) == (404, "NOT_FOUND")
    assert (await admin.put("/jobservice/queues/all", {"action": "explode"})).status == 422


async def test_a_job_by_an_id_as_harbor_makes_them_is_not_found(admin: Api) -> None:
    """24 characters: no run of ours has such a name, and it is no mistake in the request."""
    for method, path in (("PUT", ""), ("GET", "/log")):
        answer = await admin.send(method, f"/jobservice/jobs/5f9d8e7c6b5a493827160504{path}")
        assert refusal(answer) == (404, "NOT_FOUND")


async def test_all_schedules_are_held_back_and_let_go(admin: Api, nobody: Api) -> None:
    """By the queue of the scheduler; whoever signs in may know."""
    assert await nobody.found("/schedules/all/paused") == {"paused": False}
    await admin.put("/jobservice/queues/SCHEDULER", {"action": "pause"})
    assert await nobody.found("/schedules/all/paused") == {"paused": True}
    await admin.put("/jobservice/queues/all", {"action": "resume"})
    assert await nobody.found("/schedules/all/paused") == {"paused": False}
    assert refusal(await nobody.get("/schedules/gc/paused")) == (400, "BAD_REQUEST")


async def test_the_schedules_in_force_are_listed(admin: Api) -> None:
    """With what they are about; one out of force is none."""
    await admin.post("/system/gc/schedule", {"schedule": DAILY})
    await admin.post("/system/purgeaudit/schedule", {"schedule": {"type": "None"}})
    await admin.put("/jobs/schedules/retention", {"cron": "@daily", "subject": "policy:7"})
    answer = await admin.get("/schedules")
    assert [(entry["vendor_type"], entry["vendor_id"], entry["cron"]) for entry in answer.json()] == [
        ("GARBAGE_COLLECTION", 0, "0 0 0 * * *"),
        ("RETENTION", 7, "@daily"),
    ]
    assert answer["X-Total-Count"] == "2"


async def test_workers_and_what_they_do(app: App, admin: Api) -> None:
    """Each with its process; a run shows where it runs, and is stopped or read by its number."""
    me = Worker(id="abc", host="registry-1", pid=212, started_at=clock.now(), concurrency=3)
    await app.stores.work.write(lambda tx: job_workers.beat(tx, me))
    (pool,) = await admin.found("/jobservice/pools")
    assert (pool["worker_pool_id"], pool["host"], pool["pid"], pool["concurrency"]) == ("abc", "registry-1", 212, 3)
    assert pool["heartbeat_at"] >= pool["start_at"][:19]
    await admin.made("/system/gc", {})
    await app.stores.metadata.write(lambda tx: claim(tx, 1, "abc", seconds=60))
    await app.stores.metadata.write(lambda tx: job_lines.add(tx, 1, [(clock.now(), "marking")]))
    for pool_id in ("abc", "all"):
        (worker,) = await admin.found(f"/jobservice/pools/{pool_id}/workers")
        assert (worker["job_id"], worker["job_name"], worker["pool_id"]) == ("1", "GARBAGE_COLLECTION", "abc")
    assert refusal(await admin.get("/jobservice/pools/xyz/workers")) == (404, "NOT_FOUND")
    assert (await admin.get("/jobservice/jobs/1/log")).body.endswith(b" marking\n")
    assert (await admin.put("/jobservice/jobs/1")).status == 200
    assert (await admin.found("/jobs/1"))["stopping"] is True
    for job in ("9", "abc", "99999999999999999999", "-1", "²"):
        assert refusal(await admin.get(f"/jobservice/jobs/{job}/log")) == (404, "NOT_FOUND")


async def test_every_running_job_is_stopped(app: App, admin: Api) -> None:
    """`all` in place of a number."""
    await admin.made("/system/gc", {})
    await admin.made("/system/purgeaudit", {})
    await app.stores.metadata.write(lambda tx: claim(tx, 1, "abc", seconds=60))
    assert (await admin.put("/jobservice/jobs/all")).status == 200
    assert [run["stopping"] for run in await admin.found("/jobs?sort=id")] == [True, False]


async def test_each_place_asks_for_its_permission(app: App, admin: Api, nobody: Api, anonymous: Api) -> None:
    """Harbor's resources: garbage-collection, purge-audit and jobservice-monitor."""
    await admin.made("/system/gc", {})
    asked = {
        "garbage-collection:list": ("GET", "/system/gc", None),
        "garbage-collection:read": ("GET", "/system/gc/1", None),
        "garbage-collection:create": ("POST", "/system/gc/schedule", {"schedule": DAILY}),
        "garbage-collection:update": ("PUT", "/system/gc/schedule", {"schedule": DAILY}),
        "garbage-collection:stop": ("PUT", "/system/gc/1", None),
        "purge-audit:create": ("POST", "/system/purgeaudit", {}),
        "jobservice-monitor:list": ("GET", "/jobservice/queues", None),
        "jobservice-monitor:stop": ("PUT", "/jobservice/jobs/1", None),
    }
    for permission, (method, path, body) in asked.items():
        assert refusal(await nobody.send(method, path, body)) == (403, "FORBIDDEN")
        assert refusal(await anonymous.send(method, path, body)) == (401, "UNAUTHORIZED")
        name = permission.replace(":", "-")
        await app.account(name, ("*", permission))
        assert (await Api(app.basic(name)).send(method, path, body)).status in (200, 201)


async def test_starting_needs_its_permission_through_the_schedule_too(app: App) -> None:
    """Who may change a schedule alone starts nothing by PUT with the type Manual."""
    await app.account("planner", ("*", "garbage-collection:update"))
    answer = await Api(app.basic("planner")).put("/system/gc/schedule", {"schedule": {"type": "Manual"}})
    assert refusal(answer) == (403, "FORBIDDEN")


async def test_emptying_the_trash_needs_its_own_permission(app: App) -> None:
    """Whoever may collect garbage empties no trash with it, at once or by a schedule."""
    await app.account("collector", ("*", "garbage-collection:create,garbage-collection:update"))
    await app.account("emptier", ("*", "garbage-collection:create,garbage-collection:update,trash:empty"))
    collector, emptier = Api(app.basic("collector")), Api(app.basic("emptier"))
    emptying = {"parameters": {"empty_trash": True}}
    for method, path, body in (
        ("POST", "/system/gc", emptying),
        ("POST", "/system/gc/schedule", {"schedule": DAILY, **emptying}),
        ("PUT", "/system/gc/schedule", {"schedule": DAILY, **emptying}),
    ):
        assert refusal(await collector.send(method, path, body)) == (403, "FORBIDDEN")
        assert (await emptier.send(method, path, body)).status in (200, 201)
    assert (await collector.put("/system/gc/schedule", {"schedule": DAILY})).status == 200
