"""Rules that keep tags, by the command line: on the data folder, over the network, and where no server runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from entrepot.cli.app import app
from tests.support.http_client import Client
from tests.support.server import ADMIN_PASSWORD, Server

Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with accounts and a project of five tags."""
    with Server({"auth": "accounts", "storage": {"delete": {"enabled": True}}}, workers=1) as running:
        client = Client.of(running)
        for tag in ("v1", "v2", "v3", "latest", "nightly"):
            client.push_image("team/app", tag, tag.encode())
        yield running


@pytest.fixture
def command(tmp_path: Path) -> Run:
    """Give a function that runs a command in this process, with a home of its own."""
    runner = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)})

    def run(*arguments: str, stdin: str = "", status: int = 0) -> Result:
        done = runner.invoke(app, arguments, input=stdin)
        assert done.exit_code == status, f"{arguments}: {done.output} {done.exception!r}"
        return done

    return run


def kept(run: Run, *arguments: str) -> dict[str, tuple[bool, int | None]]:
    """Return what a run decided about each tag: whether it is kept, and by which rule."""
    verdicts: list[dict[str, Any]] = json.loads(run("retention", *arguments, "--json").stdout)
    return {verdict["tag"]: (verdict["kept"], verdict["rule"]) for verdict in verdicts}


def test_rules_are_tried_and_applied(server: Server, command: Run) -> None:
    """Over the network: a dry run says what would go and why, a run removes it, and the history has both."""
    command("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD)

    def run(*arguments: str, **more: Any) -> Result:
        return command(*arguments, "--server", server.url, **more)

    assert "no retention rules" in run("retention", "show", "team", status=1).output
    run("retention", "add", "team", status=2)
    run("retention", "add", "team", "--always", "--latest-pushed", "3", status=2)
    run("retention", "add", "team", "--latest-pushed", "2", "--tags", "v*", "--untagged", "not")
    run("retention", "add", "team", "--always", "--tags", "latest", "--repositories", "app")
    run("retention", "add", "team", "--pushed-days", "7", "--untagged", "only")
    run("retention", "schedule", "team", "@daily")
    table = run("retention", "show", "team").stdout
    assert "the 2 most recently pushed" in table
    assert "only" in table
    assert "Applied by the schedule @daily." in table
    run("immutable", "add", "team", "--tags", "nightly")
    wanted = {"v1": (False, None), "v2": (True, 1), "v3": (True, 1), "latest": (True, 2), "nightly": (True, None)}
    assert kept(run, "run", "team", "--dry-run") == wanted
    (rule,) = json.loads(run("immutable", "list", "team", "--json").stdout)
    run("immutable", "disable", "team", str(rule["id"]))
    assert "2 went to the trash" in run("retention", "run", "team").stdout
    client = Client.of(server)
    assert client.request("GET", "/v2/team/app/tags/list").json()["tags"] == ["latest", "v2", "v3"]
    newest, dry = json.loads(run("retention", "history", "team", "--json").stdout)
    assert (newest["dry_run"], dry["dry_run"], newest["status"]) == (False, True, "Success")
    assert kept(run, "log", "team", str(dry["id"])) == wanted
    run("immutable", "enable", "team", str(rule["id"]))
    run("immutable", "remove", "team", str(rule["id"]))
    run("immutable", "disable", "team", str(rule["id"]), status=1)
    run("retention", "remove", "team", "9", status=2)
    run("retention", "remove", "team", "1")
    assert [one["template"] for one in json.loads(run("retention", "show", "team", "--json").stdout)["rules"]] == [
        "always",
        "nDaysSinceLastPush",
    ]
    run("retention", "remove", "team")
    run("retention", "show", "team", status=1)


def test_without_a_server_the_command_does_the_run(server: Server, command: Run) -> None:
    """On the folder beside a server, which does it; and after that has ended, by itself."""

    def run(*arguments: str, **more: Any) -> Result:
        return command(*arguments, "--data", str(server.data), **more)

    run("retention", "add", "team", "--pulled-days", "30")
    client = Client.of(server)
    client.request("GET", "/v2/team/app/manifests/v1")
    assert {tag for tag, (stays, _) in kept(run, "run", "team", "--dry-run").items() if stays} == {"v1"}
    server.stop()
    assert "4 went to the trash" in run("retention", "run", "team").stdout
    assert kept(run, "run", "team", "--dry-run") == {"v1": (True, 1)}
