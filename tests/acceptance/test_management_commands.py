"""People, rights, robots and keys by the command line: on the data folder, and over the network after a login."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.http_client import eventually
from tests.support.server import ADMIN_PASSWORD, Server

PASSWORD = "wonderland-is-far-away"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with accounts."""
    with Server() as running:
        yield running


@pytest.fixture(params=["folder", "server"])
def run(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Run:
    """Give a function that runs a command, on the folder or over HTTP as the administrator."""
    program = str(Path(sys.executable).parent / "entrepot")
    environ = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}

    def entrepot(*arguments: str, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, *arguments], input=stdin, env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == status, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    place = ["--data", str(server.data)]
    if request.param == "server":
        entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD)
        place = ["--server", server.url]
        assert (tmp_path / "entrepot" / "logins.json").stat().st_mode & 0o077 == 0
    return lambda *arguments, **more: entrepot(*arguments, *place, **more)


def listed(run: Run, *command: str) -> list[dict[str, object]]:
    """Return what a list command says as JSON."""
    found = json.loads(run(*command, "--json").stdout)
    assert isinstance(found, list)
    return found


def signs_in(server: Server, name: str, secret: str) -> bool:
    """Tell whether a name and a secret get past `GET /v2/`."""
    credentials = base64.b64encode(f"{name}:{secret}".encode()).decode()
    request = urllib.request.Request(f"{server.url}/v2/", headers={"Authorization": f"Basic {credentials}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        return False


def test_people_groups_members_and_why(run: Run) -> None:
    """An account is made, becomes a member, and `explain` names the grant that lets it push."""
    run("user", "create", "alice", "--email", "alice@example.org", "--stdin", stdin=PASSWORD)
    assert "alice" in {user["username"] for user in listed(run, "user", "list")}
    run("project", "create", "team")
    run("member", "add", "team", "alice", "--role", "developer")
    (alice,) = [member for member in listed(run, "member", "list", "team") if member["entity_name"] == "alice"]
    assert alice["role_name"] == "developer"
    yes = run("access", "explain", "alice", "push", "team/app")
    assert yes.stdout.startswith("yes: grant member: role developer on project team")
    no = run("access", "explain", "alice", "push", "other/app", status=1)
    assert "it is for another project" in no.stdout
    run("member", "set", "team", "alice", "--role", "guest")
    run("access", "explain", "alice", "push", "team/app", status=1)
    run("group", "create", "builders")
    run("member", "add", "team", "builders", "--group", "--role", "maintainer")
    run("member", "remove", "team", "alice")
    run("user", "remove", "alice")
    assert "alice" not in {user["username"] for user in listed(run, "user", "list")}


def test_robots_keys_and_roles(run: Run, server: Server) -> None:
    """A robot and a key sign in with what was printed; replaced or removed, they do not."""
    run("project", "create", "team")
    made = run("robot", "create", "ci", "--project", "team", "--allow", "repository:pull", "--allow", "repository:push")
    name, secret = made.stdout.split()
    assert name == "robot$team+ci"
    assert signs_in(server, name, secret)
    newer = run("robot", "rotate", name).stdout.strip()
    assert signs_in(server, name, newer)
    run("robot", "remove", name)
    assert listed(run, "robot", "list", "--project", "team") == []
    run("user", "create", "alice", "--email", "alice@example.org", "--stdin", stdin=PASSWORD)
    key = run("key", "create", "laptop", "--user", "alice", "--allow", "repository:pull", "--days", "3").stdout.strip()
    assert re.fullmatch(r"reg_\w{30,}", key)
    assert signs_in(server, "alice", key)
    assert [entry["name"] for entry in listed(run, "key", "list", "--user", "alice")] == ["laptop"]
    run("key", "remove", "laptop", "--user", "alice")
    run("role", "create", "releaser", "--allow", "repository:push", "--allow", "tag:*")
    assert {"resource": "tag", "action": "*"} in listed(run, "role", "show", "releaser")
    run("role", "remove", "releaser")


def test_what_cannot_be_done_is_said(run: Run) -> None:
    """Names that do not exist, passwords that are too short and permissions that there are not: one clear line each."""
    assert "there is no account nobody" in run("user", "remove", "nobody", status=1).stderr
    assert "12" in run("user", "create", "bob", "--email", "b@example.org", "--stdin", stdin="short", status=1).stderr
    assert "no permission" in run("role", "create", "x", "--allow", "moon:fly", status=1).stderr


def test_a_logout_ends_the_key(server: Server, tmp_path: Path) -> None:
    """After a logout neither this machine nor whoever copied the key is signed in."""
    program = str(Path(sys.executable).parent / "entrepot")
    environ = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}

    def entrepot(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], input=stdin, env=environ, capture_output=True, text=True, check=False, timeout=60
        )

    assert entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin="wrong").returncode == 1
    assert entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD).returncode == 0
    (login,) = json.loads((tmp_path / "entrepot" / "logins.json").read_text())
    assert signs_in(server, "admin", login["key"])
    assert entrepot("logout").returncode == 0
    assert json.loads((tmp_path / "entrepot" / "logins.json").read_text()) == []
    eventually(lambda: not signs_in(server, "admin", login["key"]), 10, what="the end of the key")
    refused = entrepot("user", "list", "--server", server.url)
    assert (refused.returncode, "entrepot login" in refused.stderr) == (1, True)
