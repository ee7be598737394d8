"""Runs of jobs and their schedules through the API, in shapes of our own."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.jobs.collection import GARBAGE_COLLECTION
from entrepot.metadata import clock
from entrepot.metadata.jobs import job_lines, job_steps
from entrepot.metadata.jobs.job_claims import Claim, beat, claim, end
from entrepot.metadata.jobs.job_runs import State
from tests.support.api import Api, refusal
from tests.support.app import JOB_KINDS, App
from tests.support.events import recorded

PURGE = {"kind": "upload-purging", "parameters": {"dry_run": True}}


async def begin(app: App, run: int) -> Claim:
    """Begin a run as a worker does."""
    taken = await app.stores.metadata.write(lambda tx: claim(tx, run, "worker-1", seconds=60))
    assert taken is not None
    return Claim(run=run, holder="worker-1", attempt=taken.attempt)


async def test_a_run_from_start_to_end(app: App, admin: Api) -> None:
    """Who starts it gets its number; its state, progress, lines, steps and result can be asked for."""
    assert await admin.made("/jobs", PURGE) == "/jobs/1"
    waiting = await admin.found("/jobs/1")
    assert {name: waiting[name] for name in ("kind", "status", "trigger", "actor", "parameters", "start_time")} == {
        "kind": "upload-purging",
        "status": "Pending",
        "trigger": "MANUAL",
        "actor": "admin",
        "parameters": {"dry_run": True},
        "start_time": None,
    }
    held, write = await begin(app, 1), app.stores.metadata.write
    await write(lambda tx: beat(tx, held, done=3, total=9, seconds=60))
    await write(lambda tx: job_lines.add(tx, 1, [(clock.now(), "one"), (clock.now(), "two")]))
    await write(lambda tx: job_steps.begin(tx, 1, "list"))
    await write(lambda tx: job_steps.end(tx, 1, "list", {"found": 2}))
    running = await admin.found("/jobs/1")
    assert (running["status"], running["done"], running["total"], running["attempt"]) == ("Running", 3, 9, 1)
    log = await admin.get("/jobs/1/log")
    assert [line.partition(" ")[2] for line in log.body.decode().splitlines()] == ["one", "two"]
    assert (log["content-type"], log["X-Last-Line"]) == ("text/plain; charset=utf-8", "2")
    assert (await admin.get("/jobs/1/log?after=1")).body.endswith(b" two\n")
    (step,) = await admin.found("/jobs/1/steps")
    assert (step["name"], step["result"]) == ("list", {"found": 2})
    await write(lambda tx: end(tx, held, State.SUCCEEDED, done=9, total=9, result={"purged": 2}, error=None))
    ended = await admin.found("/jobs/1")
    assert (ended["status"], ended["result"], ended["stopping"]) == ("Success", {"purged": 2}, False)
    assert ended["end_time"] >= ended["start_time"] >= ended["creation_time"]


async def test_starting_and_stopping_are_events(app: App, admin: Api) -> None:
    """The audit log tells who started what, with which parameters, and who stopped it."""
    await admin.made("/jobs", PURGE)
    assert (await admin.post("/jobs/1/stop")).status == 200
    assert (await admin.found("/jobs/1"))["status"] == "Stopped"
    assert (await admin.post("/jobs/1/stop")).status == 200
    events = [(e.kind, e.subject, e.actor, e.detail) for e in await recorded(app.stores.metadata)]
    assert events == [
        (
            "start",
            "job:upload-purging",
            "admin",
            {"parameters": {"dry_run": True}, "run": 1, "subject": ""},
        ),
        ("stop", "job:upload-purging", "admin", {"run": 1}),
    ]


async def test_a_running_run_is_asked_to_stop(app: App, admin: Api) -> None:
    """It runs on until its next step, and says that it will end there."""
    await admin.made("/jobs", PURGE)
    await begin(app, 1)
    assert (await admin.post("/jobs/1/stop")).status == 200
    run = await admin.found("/jobs/1")
    assert (run["status"], run["stopping"]) == ("Running", True)


async def test_one_run_of_a_kind_and_subject_at_a_time(admin: Api) -> None:
    """A second start is refused and says which run is in its way; another subject is another queue place."""
    await admin.made("/jobs", PURGE)
    answer = await admin.post("/jobs", PURGE)
    assert refusal(answer) == (409, "CONFLICT")
    assert b"run 1 of upload-purging is pending" in answer.body
    await admin.made("/jobs", {"kind": "replication", "subject": "project:1"})
    await admin.made("/jobs", {"kind": "replication", "subject": "project:2"})
    assert refusal(await admin.post("/jobs", {"kind": "replication", "subject": "project:2"})) == (409, "CONFLICT")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"kind": "nonsense"}, 404, "garbage-collection, purge-audit-log, replication, retention, upload-purging"),
        ({"kind": "upload-purging", "parameters": {"deep": True}}, 400, "no parameter 'deep'; there are: dry_run"),
        ({"kind": "upload-purging", "parameters": {"dry_run": 1}}, 400, "must be of type bool"),
        ({"kind": "purge-audit-log", "parameters": {"audit_retention_hour": 1}}, 400, "between 24 and 240000"),
        ({"kind": "upload-purging", "subject": "project:1"}, 400, "takes no subject"),
        ({"kind": "replication"}, 400, "of the form project:[0-9]+"),
        ({"kind": "replication", "subject": "project:x"}, 400, "of the form project:[0-9]+"),
        ({"kind": "replication", "subject": "project:1", "when": "now"}, 422, "when"),
        ({}, 422, "kind"),
    ],
)
async def test_what_cannot_be_started(admin: Api, body: dict[str, Any], status: int, says: str) -> None:
    """The answer says what is wrong and what there is."""
    answer = await admin.post("/jobs", body)
    assert (answer.status, says in answer.body.decode()) == (status, True), answer.body


async def test_the_list_is_filtered_sorted_and_paged(admin: Api) -> None:
    """Newest first; by kind, status and trigger."""
    for number in range(3):
        await admin.made("/jobs", {"kind": "replication", "subject": f"project:{number}"})
    await admin.made("/jobs", PURGE)
    await admin.post("/jobs/2/stop")
    assert [run["id"] for run in await admin.found("/jobs")] == [4, 3, 2, 1]
    assert [run["id"] for run in await admin.found("/jobs?q=kind=replication,status=Pending&sort=id")] == [1, 3]
    page = await admin.get("/jobs?page=2&page_size=3")
    assert ([run["id"] for run in page.json()], page["X-Total-Count"]) == ([1], "4")
    assert await admin.found("/jobs?q=trigger=SCHEDULE") == []


async def test_the_kinds_say_what_a_run_may_be_given(admin: Api) -> None:
    """With titles, parameters and what bounds their history."""
    kinds = await admin.found("/jobs/kinds")
    assert [kind["name"] for kind in kinds] == sorted(traits.name for traits in JOB_KINDS)
    purging = next(kind for kind in kinds if kind["name"] == "upload-purging")
    assert (purging["parameters"], purging["kept"], purging["kept_days"]) == ({"dry_run": False}, 100, 90)


async def test_what_is_not_there(admin: Api) -> None:
    """Runs that never were, or are too long ago."""
    for method, path in (("GET", ""), ("GET", "/log"), ("GET", "/steps"), ("POST", "/stop")):
        assert refusal(await admin.send(method, f"/jobs/9{path}")) == (404, "NOT_FOUND")


async def test_a_schedule_is_set_shown_changed_and_reset(app: App, admin: Api) -> None:
    """With a time zone and parameters; the audit log tells of each change."""
    path = "/jobs/schedules/garbage-collection"
    assert refusal(await admin.get(path)) == (404, "NOT_FOUND")
    body = {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "parameters": {"delete_untagged": True}}
    shown = (await admin.put(path, body)).json()
    assert shown == await admin.found(path)
    assert {name: shown[name] for name in ("cron", "time_zone", "origin", "parameters")} == {
        "cron": "30 2 * * *",
        "time_zone": "Europe/Berlin",
        "origin": "person",
        "parameters": {**GARBAGE_COLLECTION.parameters, "delete_untagged": True},
    }
    assert shown["next_time"][11:16] in ("00:30", "01:30")
    assert [schedule["kind"] for schedule in await admin.found("/jobs/schedules")] == ["garbage-collection"]
    assert (await admin.put(path, {"cron": ""})).json()["next_time"] is None
    assert (await admin.delete(path)).status == 200
    reset = await admin.found(path)
    assert (reset["cron"], reset["origin"]) == (GARBAGE_COLLECTION.schedule, "configuration")
    assert [(e.kind, e.subject) for e in await recorded(app.stores.metadata)] == [
        ("update", "schedule:garbage-collection"),
        ("update", "schedule:garbage-collection"),
        ("delete", "schedule:garbage-collection"),
    ]


async def test_schedules_of_several_subjects(admin: Api) -> None:
    """A kind with subjects has a schedule for each."""
    for number, cron in ((1, "@daily"), (2, "@every 6h")):
        answer = await admin.put("/jobs/schedules/replication", {"cron": cron, "subject": f"project:{number}"})
        assert answer.status == 200
    assert (await admin.found("/jobs/schedules/replication?subject=project:2"))["cron"] == "@every 6h"
    assert refusal(await admin.get("/jobs/schedules/replication")) == (404, "NOT_FOUND")
    assert (await admin.delete("/jobs/schedules/replication?subject=project:1")).status == 200
    assert [entry["subject"] for entry in await admin.found("/jobs/schedules?q=kind=replication")] == ["project:2"]
    assert refusal(await admin.delete("/jobs/schedules/replication?subject=project:1")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"cron": "every day"}, 400, "write a cron line of 5 fields"),
        ({"cron": "0 0 31 2 *"}, 400, "cannot be read"),
        ({"cron": "@every 1ms"}, 400, "shortest"),
        ({"cron": "@daily", "time_zone": "Mars"}, 400, "Europe/Berlin"),
        ({"cron": "@daily", "subject": "project:1"}, 400, "takes no subject"),
        ({"cron": "@daily", "parameters": {"dry_run": "no"}}, 400, "of type bool"),
        ({}, 422, "cron"),
    ],
)
async def test_what_is_no_schedule(admin: Api, body: dict[str, Any], status: int, says: str) -> None:
    """The answer says how to write one."""
    answer = await admin.put("/jobs/schedules/upload-purging", body)
    assert (answer.status, says in answer.body.decode()) == (status, True), answer.body


async def test_jobs_are_for_those_who_may(app: App, admin: Api, nobody: Api, anonymous: Api) -> None:
    """Looking, starting, scheduling and stopping each need their permission."""
    await admin.made("/jobs", PURGE)
    await app.account("watcher", ("*", "job:list,job:read"))
    watcher = Api(app.basic("watcher"))
    changes = [
        ("POST", "/jobs", PURGE),
        ("POST", "/jobs/1/stop", None),
        ("PUT", "/jobs/schedules/upload-purging", {"cron": "@daily"}),
        ("DELETE", "/jobs/schedules/upload-purging", None),
    ]
    looks = ["/jobs", "/jobs/kinds", "/jobs/1", "/jobs/1/log", "/jobs/1/steps", "/jobs/schedules"]
    for method, path, body in [*changes, *(("GET", path, None) for path in looks)]:
        assert refusal(await nobody.send(method, path, body)) == (403, "FORBIDDEN")
        assert refusal(await anonymous.send(method, path, body)) == (401, "UNAUTHORIZED")
    for path in looks:
        assert (await watcher.get(path)).status == 200
    for method, path, body in changes:
        assert refusal(await watcher.send(method, path, body)) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("right", "body"),
    [
        ("garbage-collection:create", {"kind": "garbage-collection"}),
        ("garbage-collection:create", PURGE),
        ("purge-audit:create", {"kind": "purge-audit-log"}),
        ("tag-retention:update", {"kind": "retention", "subject": "policy:1"}),
        ("trash:empty", {"kind": "garbage-collection", "parameters": {"empty_trash": True}}),
    ],
)
async def test_a_job_is_for_who_may_do_what_it_does(app: App, right: str, body: dict[str, Any]) -> None:
    """Starting jobs of any kind empties no trash, removes no tags and purges no log; a schedule does neither."""
    others = "job:create,job:update" + (",garbage-collection:create" if right == "trash:empty" else "")
    await app.account("runner", ("*", others))
    await app.account("keeper", ("*", f"{others},{right}"))
    runner, keeper = Api(app.basic("runner")), Api(app.basic("keeper"))
    schedule = {"cron": "@daily"} | {name: value for name, value in body.items() if name != "kind"}
    for method, path, asked in (("POST", "/jobs", body), ("PUT", f"/jobs/schedules/{body['kind']}", schedule)):
        assert refusal(await runner.send(method, path, asked)) == (403, "FORBIDDEN")
        assert (await keeper.send(method, path, asked)).status in (200, 201)
