"""People, rights, robots and keys by the command line: on the data folder, and over the network after a login."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.access.second_factor.totp import STEP, Seed
from tests.support.commands import PLACES, Run, listed, runner, runner_at
from tests.support.http_client import eventually
from tests.support.server import ADMIN_PASSWORD, Server

PASSWORD = "wonderland-is-far-away"


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with accounts."""
    with Server() as running:
        yield running


@pytest.fixture
def entrepot(tmp_path: Path) -> Run:
    """Give a function that runs a command in this process, with a home of its own."""
    return runner(tmp_path)


@pytest.fixture(params=PLACES)
def run(request: pytest.FixtureRequest, server: Server, entrepot: Run, tmp_path: Path) -> Run:
    """Give a function that runs a command on the folder, or over HTTP as the administrator."""
    made = runner_at(request.param, server, entrepot)
    if request.param == "server":
        assert (tmp_path / "entrepot" / "logins.json").stat().st_mode & 0o077 == 0
    return made


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
    [alice] = [line.split() for line in run("user", "list").stdout.splitlines() if " alice " in line]
    assert {"local", "active"} <= set(alice)
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
    run("group", "add", "builders", "alice")
    assert [found["username"] for found in listed(run, "group", "members", "builders")] == ["alice"]
    assert [found["provider"] for found in listed(run, "group", "list")] == ["local"]
    run("access", "explain", "alice", "push", "team/app")
    run("group", "drop", "builders", "alice")
    run("access", "explain", "alice", "push", "team/app", status=1)
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
    trust = ("--issuer", "https://ci.example.org", "--audience", "https://registry.example.org")
    claims = ("--claim", "repository=acme/app", "--claim", "ref=refs/heads/release/*")
    run("robot", "create", "keyless", "--project", "team", "--allow", "repository:push", *trust, *claims)
    (keyless,) = [robot for robot in listed(run, "robot", "list", "--project", "team") if robot["name"] != name]
    (trusted,) = keyless["trust"]
    assert trusted["claims"] == {"repository": "acme/app", "ref": {"pattern": "refs/heads/release/*"}}
    run("robot", "remove", keyless["name"])
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


def test_rights_are_given_and_taken_back(run: Run) -> None:
    """A role of one's own reaches whom it is given to, where it is given, and is listed until it is taken back."""
    run("project", "create", "team")
    run("user", "create", "alice", "--email", "alice@example.org", "--stdin", stdin=PASSWORD)
    run("role", "create", "releaser", "--allow", "repository:push", "--allow", "tag:*")
    run("access", "give", "releaser", "--user", "alice", "--repositories", "team/web/**", "--tags", "v*", "--days", "9")
    run("access", "explain", "alice", "push", "team/web/app:v1")
    run("access", "explain", "alice", "push", "team/web/app:latest", status=1)
    given_to_all = run("access", "give", "guest", "--signed-in", "--project", "team").stdout
    assert given_to_all == "whoever is signed in has the role guest on project team.\n"
    run("access", "explain", "alice", "pull", "team/other")
    given = {grant["role_name"]: grant["id"] for grant in listed(run, "access", "list") if grant["origin"] == "given"}
    assert set(given) == {"releaser", "guest"}
    for number in given.values():
        run("access", "take", str(number))
    run("access", "explain", "alice", "pull", "team/other", status=1)
    run("member", "add", "team", "alice", "--role", "releaser")
    run("access", "explain", "alice", "push", "team/app")
    assert "name the account" in run("access", "explain", "", "pull", "team/other", status=2).stderr
    assert "one of --user" in run("access", "give", "guest", "--project", "team", status=2).stderr


def test_accounts_are_closed_and_helped(run: Run, server: Server) -> None:
    """Disabled and enabled, given another password, a link to set one, and freed of a lost second factor."""
    run("user", "create", "alice", "--email", "alice@example.org", "--stdin", stdin=PASSWORD)
    run("user", "disable", "alice")
    assert not signs_in(server, "alice", PASSWORD)
    run("user", "enable", "alice")
    eventually(lambda: signs_in(server, "alice", PASSWORD), 10, what="the open account")
    made = run("user", "password", "alice", "--generate").stdout.strip()
    eventually(lambda: signs_in(server, "alice", made), 10, what="the new password")
    address, _, token = run("user", "reset-link", "alice").stdout.strip().partition("?token=")
    assert address.removeprefix(server.url) == "/c/reset_password"
    post(server, "/users/reset_password", {"token": token, "new_password": PASSWORD})
    eventually(lambda: signs_in(server, "alice", PASSWORD), 10, what="the password of the link")
    begun = post(server, "/users/current/second_factor", {}, "alice", PASSWORD)
    code = Seed(secret=begun["secret"])._codes().generate(int(time.time()) // STEP * STEP).decode()
    post(server, "/users/current/second_factor/confirm", {"code": code}, "alice", PASSWORD)
    eventually(lambda: not signs_in(server, "alice", PASSWORD), 10, what="the second factor")
    run("user", "second-factor-off", "alice")
    eventually(lambda: signs_in(server, "alice", PASSWORD), 10, what="the password alone")


def post(server: Server, path: str, body: object, name: str = "", secret: str = "") -> dict[str, str]:
    """Ask the management API, as somebody or as nobody."""
    headers = {"Content-Type": "application/json"}
    if name:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()
    request = urllib.request.Request(f"{server.url}/api/v2.0{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"{}")


def test_the_audit_log_is_read(run: Run) -> None:
    """Newest first, narrowed by what was done, to whom and when; exported as JSON lines and as CSV."""
    run("user", "create", "alice", "--email", "alice@example.org", "--stdin", stdin=PASSWORD)
    run("user", "create", "bob", "--email", "bob@example.org", "--stdin", stdin=PASSWORD)
    found = listed(run, "audit", "list", "--kind", "create", "--subject", "user:")
    assert [entry["resource"] for entry in found[:2]] == ["bob", "alice"]
    (newest,) = listed(run, "audit", "list", "--kind", "create", "--subject", "user:", "-n", "1")
    assert newest["id"] == found[0]["id"]  # it may have been sealed meanwhile
    assert listed(run, "audit", "list", "--until", "2020-01-01") == []
    exported = run("audit", "export", "--subject", "user:bob", "--since", "2020-01-01").stdout.splitlines()
    assert [json.loads(line)["subject"] for line in exported] == ["user:bob"] * len(exported)
    assert run("audit", "export", "--format", "csv").stdout.startswith("id,")


def test_what_cannot_be_done_is_said(run: Run) -> None:
    """Names that do not exist, passwords that are too short and permissions that there are not: one clear line each."""
    assert "there is no account nobody" in run("user", "remove", "nobody", status=1).stderr
    assert "12" in run("user", "create", "bob", "--email", "b@example.org", "--stdin", stdin="short", status=1).stderr
    assert "no permission" in run("role", "create", "x", "--allow", "moon:fly", status=1).stderr


def test_a_logout_ends_the_key(server: Server, entrepot: Run, tmp_path: Path) -> None:
    """After a logout neither this machine nor whoever copied the key is signed in."""
    entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin="wrong", status=1)
    entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD)
    (login,) = json.loads((tmp_path / "entrepot" / "logins.json").read_text())
    assert signs_in(server, "admin", login["key"])
    entrepot("logout")
    assert json.loads((tmp_path / "entrepot" / "logins.json").read_text()) == []
    eventually(lambda: not signs_in(server, "admin", login["key"]), 10, what="the end of the key")
    assert "entrepot login" in entrepot("user", "list", "--server", server.url, status=1).stderr


def test_two_logins_within_a_second(server: Server, entrepot: Run) -> None:
    """Jobs that sign in as the same account at the same time each get a key."""
    for _ in range(3):
        entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD)
