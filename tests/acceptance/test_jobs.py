"""Jobs of a running registry: by command on the folder and over the network, and when processes die or are replaced."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import PLACES, Result, Run, runner, runner_at
from tests.support.http_client import Client, eventually
from tests.support.server import Server

#: A scrub that has to do with every blob at once, and takes ten seconds for a megabyte.
SLOW_SCRUB = {"integrity": {"scrub": {"rate": 100_000, "age": "1ms", "interval": "1h"}}}


@pytest.fixture
def entrepot(tmp_path: Path) -> Run:
    """Give a function that runs a command in this process, with a home of its own."""
    return runner(tmp_path)


@pytest.fixture(params=PLACES)
def job(request: pytest.FixtureRequest, entrepot: Run) -> Iterator[Run]:
    """Give a function that runs `entrepot job` on the folder, or over HTTP as the administrator."""
    with Server({"auth": "accounts", "access": {"ldap": {"sync": {"enabled": False}}}}, workers=1) as server:
        run = runner_at(request.param, server, entrepot)
        yield lambda *arguments, **more: run("job", *arguments, **more)


def read(done: Result) -> Any:
    """Return what a command said as JSON."""
    return json.loads(done.stdout)


def test_the_commands_about_jobs(job: Run) -> None:
    """Start one and watch it to its end, read its log, list, set and reset schedules, hold back and let go, stop."""
    assert {"upload-purging", "purge-audit-log"} <= {kind["name"] for kind in read(job("kinds", "--json"))}
    eventually(lambda: len(read(job("list", "--status", "Success", "--json"))) >= 1)
    done = read(job("start", "upload-purging", "-p", "dry_run=true", "--watch", "--json"))
    assert (done["status"], done["result"], done["trigger"]) == ("Success", {"purged": 0, "dry_run": True}, "MANUAL")
    number = str(done["id"])
    assert "would purge 0 uploads" in job("log", number, "--follow").stdout
    assert read(job("show", number, "--json"))["steps"] == []
    assert "Success" in job("list", "--kind", "upload-purging").stdout
    (worker,) = read(job("workers", "--json"))
    assert worker["pid"] > 0

    job("pause", "purge-audit-log")
    assert "waits for a worker" in job("start", "purge-audit-log", "-p", "audit_retention_hour=48").stdout
    (waiting,) = read(job("list", "--status", "Pending", "--json"))
    queues = {queue["job_type"]: queue for queue in read(job("queues", "--json"))}
    assert (queues["PURGE_AUDIT_LOG"]["count"], queues["PURGE_AUDIT_LOG"]["paused"]) == (1, True)
    assert "pending" in job("start", "purge-audit-log", status=1).stderr
    assert "Stopped" in job("stop", str(waiting["id"])).stdout
    job("resume", "purge-audit-log")
    ended = job("start", "purge-audit-log", "-p", "audit_retention_hour=48", "--watch")
    assert "Success" in ended.stdout
    assert "removed 0 events" in ended.stderr

    job("schedule", "set", "purge-audit-log", "30 2 * * *", "--time-zone", "Asia/Shanghai")
    schedules = {entry["kind"]: entry for entry in read(job("schedule", "list", "--json"))}
    assert (schedules["purge-audit-log"]["origin"], schedules["upload-purging"]["origin"]) == (
        "person",
        "configuration",
    )
    assert schedules["purge-audit-log"]["next_time"][11:16] == "18:30"
    job("schedule", "reset", "purge-audit-log")
    assert "purge-audit-log" not in job("schedule", "list").stdout
    assert "write a cron line" in job("schedule", "set", "upload-purging", "sometimes", status=1).stderr
    assert "no kind of job" in job("start", "nonsense", status=1).stderr


@pytest.fixture(scope="module")
def scrubbed() -> Iterator[Server]:
    """A registry with two megabytes to read."""
    with Server({"auth": "accounts", **SLOW_SCRUB}, workers=1) as server:
        client = Client.of(server)
        client.push_image("demo/app", "v1", b"x" * 2_000_000)
        yield server


def test_without_a_directory_its_synchronisation_is_not_scheduled(scrubbed: Server, entrepot: Run) -> None:
    """It is in no list of schedules, and stands among the kinds without one."""

    def listed(*words: str) -> str:
        return entrepot("job", *words, "--data", str(scrubbed.data)).stdout

    eventually(lambda: "scrub" in listed("schedule", "list"))
    assert "directory-sync" not in listed("schedule", "list")
    kinds = listed("kinds").splitlines()
    of_scrub, of_directory = (next(line for line in kinds if name in line) for name in ("scrub", "directory-sync"))
    assert ("@every" in of_scrub, "@every" in of_directory) == (True, False)


def scrub(server: Server) -> dict[str, Any]:
    """Give the run of the scrub that was asked for last."""
    runs: list[dict[str, Any]] = Client.of(server).request("GET", "/api/v2.0/jobs?q=kind%3Dscrub").json()
    return runs[0]


def started(server: Server) -> None:
    """Wait until a scrub reads what was pushed: that of the schedule, or one that comes after it."""
    eventually(lambda: scrub(server)["status"] in ("Running", "Success"))
    if scrub(server)["status"] == "Success":
        body, headers = b'{"kind": "scrub"}', {"Content-Type": "application/json"}
        assert Client.of(server).request("POST", "/api/v2.0/jobs", body, headers).status == 201
    eventually(lambda: scrub(server)["status"] == "Running")


def test_a_restart_puts_runs_back_and_goes_on_with_them(scrubbed: Server) -> None:
    """As over an upgrade: SIGTERM interrupts the scrub, the next start goes on at once, and it counts as no failure."""
    started(scrubbed)
    number = scrub(scrubbed)["id"]
    assert scrubbed.stop() == 0
    scrubbed.start()
    eventually(lambda: scrub(scrubbed)["status"] == "Running", 10)
    run = scrub(scrubbed)
    assert (run["id"], run["attempt"], run["error"]) == (number, 1, None)


def test_a_killed_job_worker_is_replaced_and_its_run_goes_on(scrubbed: Server) -> None:
    """kill -9 in the middle of a scrub: the next process takes it up when the lease is over."""
    started(scrubbed)
    scrubbed.job_worker().kill()
    killed = time.monotonic()
    assert scrub(scrubbed)["status"] == "Running"
    eventually(lambda: scrub(scrubbed)["attempt"] == 2, 30)
    assert time.monotonic() - killed < 25
