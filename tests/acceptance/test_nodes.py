"""Nodes of one registry: shown, drained, in roles of their own, killed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import PLACES, Run, runner, runner_at
from tests.support.http_client import Client, eventually
from tests.support.server import Server

JSON = {"Content-Type": "application/json"}


def node(data: Path, name: str, role: str = "all") -> Server:
    """Give a node that is yet to be started."""
    return Server({"auth": "accounts", "node": {"name": name, "role": role}}, data=data, workers=1, start=False)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Start two nodes that do everything."""
    one, two = node(tmp_path / "data", "one"), node(tmp_path / "data", "two")
    with one, two:
        one.start()
        yield one, two.start()


def states(server: Server) -> dict[str, str]:
    """Ask a node for the state of each."""
    return {each["name"]: each["state"] for each in Client.of(server).request("GET", "/api/v2.0/nodes").json()}


def metric(server: Server, line: str) -> bool:
    """Tell whether the metrics of a node have a line."""
    return line in Client(url=server.debug_url).request("GET", "/metrics").body.decode().splitlines()


@pytest.mark.parametrize("place", PLACES)
def test_nodes_are_listed_and_drained_by_command(place: str, nodes: tuple[Server, Server], tmp_path: Path) -> None:
    """A drained node is not ready, serves all the same, does no jobs, and stays so over a restart, until undrained."""
    one, two = nodes
    run: Run = runner_at(place, one, runner(tmp_path))
    eventually(lambda: states(one) == {"one": "up", "two": "up"})
    shown = json.loads(run("node", "show", "two", "--json").stdout)[0]
    assert (shown["role"], shown["address"], shown["drained"]) == ("all", two.url, False)
    assert run("node", "list").stdout.splitlines()[0].split()[:3] == ["NODE", "STATE", "ROLE"]
    assert "there is no node" in run("node", "drain", "three", status=1).stderr
    eventually(lambda: metric(one, 'entrepot_nodes{state="up"} 2.0') or metric(two, 'entrepot_nodes{state="up"} 2.0'))
    assert metric(one, f'entrepot_node_info{{node="one",role="all",version="{shown["version"]}"}} 1.0')

    assert "node undrain two" in run("node", "drain", "two").stdout
    client = Client.of(two)
    eventually(lambda: client.request("GET", "/readyz").status == 503, 3)
    assert client.request("GET", "/readyz").json() == {"drained": "taken out of service by an operator"}
    assert client.request("GET", "/healthz").status == 200
    client.push_image("team/app", "one")
    assert Client.of(one).request("GET", "/readyz").status == 200
    eventually(lambda: len(json.loads(run("job", "workers", "--json").stdout)) == 1, what="one worker for both")
    assert two.stop() == 0
    two.start()
    assert client.request("GET", "/readyz").status == 503
    assert json.loads(run("node", "show", "two", "--json").stdout)[0]["state"] == "drained"

    run("node", "undrain", "two")
    eventually(lambda: client.request("GET", "/readyz").status == 200, 3)
    eventually(lambda: len(json.loads(run("job", "workers", "--json").stdout)) == 2, what="a worker for each")


@pytest.mark.full
def test_one_that_ends_goes_and_one_that_is_killed_is_lost(nodes: tuple[Server, Server]) -> None:
    """An orderly end takes the row along; one that was killed is lost after 20 seconds, and itself again after."""
    one, two = nodes
    eventually(lambda: states(one) == {"one": "up", "two": "up"})
    assert two.stop() == 0
    assert states(one) == {"one": "up"}
    two.start()
    eventually(lambda: states(one) == {"one": "up", "two": "up"})
    two.kill()
    eventually(lambda: states(one) == {"one": "up", "two": "lost"}, 30)
    two.start()
    eventually(lambda: states(one) == {"one": "up", "two": "up"})


def test_requests_and_jobs_have_nodes_of_their_own(tmp_path: Path) -> None:
    """A web node has no job worker, a jobs node no port; together they are a registry, and the files are written."""
    web, jobs = node(tmp_path / "data", "web-1", "web"), node(tmp_path / "data", "jobs-1", "jobs")
    with web, jobs:
        web.start()
        assert web.children("job") == []
        Client.of(web).push_image("team/app", "one")
        links = tmp_path / "data/docker/registry/v2/repositories/team/app/_manifests/tags/one/current/link"
        assert not links.exists()
        jobs.start()
        assert jobs.url == "none"
        assert jobs.children("web") == []
        eventually(links.exists, what="what the job worker writes")
        eventually(lambda: states(web) == {"web-1": "up", "jobs-1": "up"})
        debug = Client(url=jobs.debug_url)
        assert debug.request("GET", "/healthz").status == 200
        assert debug.request("GET", "/debug/health").status == 200
        assert jobs.stop() == 0
        assert states(web) == {"web-1": "up"}


def test_schedules_run_once_whichever_node_dies(tmp_path: Path) -> None:
    """Three nodes follow a schedule of each second while one after the other is killed: no second has two runs."""
    made = [node(tmp_path / "data", f"node-{number}") for number in range(3)]
    with ExitStack() as stack:
        for server in made:
            stack.enter_context(server)
            server.start()
        witness = Client.of(made[2])
        body = b'{"cron": "* * * * * *"}'
        assert witness.request("PUT", "/api/v2.0/jobs/schedules/upload-purging", body, JSON).status == 200
        for victim in made[:2]:
            time.sleep(3)
            victim.kill()
        before = len(scheduled(witness))
        eventually(lambda: len(scheduled(witness)) > before + 2, 30, what="runs of the one that is left")
        runs = scheduled(witness)
        assert [when for when, count in Counter(run["creation_time"][:19] for run in runs).items() if count > 1] == []
        assert {run["status"] for run in runs} <= {"Success", "Running", "Pending"}


def scheduled(client: Client) -> list[dict[str, Any]]:
    """List the runs that a schedule asked for."""
    found = client.request("GET", "/api/v2.0/jobs?q=kind%3Dupload-purging&page_size=100").json()
    return [run for run in found if run["trigger"] == "SCHEDULE"]
