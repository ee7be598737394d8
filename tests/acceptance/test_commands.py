"""The commands an administrator runs beside a registry that serves."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import runner
from tests.support.http_client import Client, eventually
from tests.support.server import ADMIN_PASSWORD, Server

MANIFEST = "/v2/team/app/manifests/v1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry with accounts, and an image in it."""
    with Server(env={"REGISTRY_ACCESS_TOKEN_REFRESH": "true"}) as running:
        Client.of(running).push_image("team/app", "v1")
        yield running


def entrepot(server: Server, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command on the folder of a registry."""
    command = [str(Path(sys.executable).parent / "entrepot"), *arguments, "--data", str(server.data)]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)


def all_answer(client: Client, path: str, status: int) -> bool:
    """Say whether each of many requests, which reach every worker, has this status."""
    return {client.request("GET", path).status for _ in range(12)} == {status}


def test_a_project_is_made_public_and_private_again(server: Server) -> None:
    """`project set` counts for everybody within 6 seconds, `project list` tells; nobody who is unknown may push."""
    anonymous = Client(url=server.url)
    assert all_answer(anonymous, MANIFEST, 401)
    assert entrepot(server, "project", "set", "team", "--public").stdout == "team is public: everybody may pull.\n"
    assert entrepot(server, "project", "set", "team").returncode == 2
    eventually(lambda: all_answer(anonymous, MANIFEST, 200), 10, what="a public project")
    assert anonymous.request("POST", "/v2/team/app/blobs/uploads/").status == 401
    listed = json.loads(entrepot(server, "project", "list", "--json").stdout)
    assert [(project["name"], project["visibility"]) for project in listed] == [("team", "public")]
    assert entrepot(server, "project", "set", "team", "--private").returncode == 0
    eventually(lambda: all_answer(anonymous, MANIFEST, 401), 10, what="a private project")


def test_a_project_that_set_makes_is_told(server: Server) -> None:
    """A name that was mistyped makes a project; whoever did it can see that."""
    done = entrepot(server, "project", "set", "taem", "--internal")
    assert done.stdout == "taem is created, and internal: people who are signed in may pull.\n"
    assert entrepot(server, "project", "set", "taem", "--internal", "--public").returncode == 2


def test_a_project_is_shown_to_people_and_to_programs(server: Server) -> None:
    """A line for each thing that is known of it, in words; the record as the API gives it with --json."""
    shown = entrepot(server, "project", "show", "team").stdout
    lines = [line.split() for line in shown.splitlines()]
    for line in (["name:", "team"], ["visibility:", "private"], ["repositories:", "1"]):
        assert line in lines
    assert "{" not in shown
    record = json.loads(entrepot(server, "project", "show", "team", "--json").stdout)
    assert record["metadata"]["visibility"] == "private"


def test_a_change_in_a_folder_that_a_variable_names_says_which(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`REGISTRY_*` count as they do for `serve`; what was changed is told, since no option names it."""
    monkeypatch.setenv("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", str(server.data))
    assert runner(tmp_path)("project", "set", "named", "--private").stderr == f"(in {server.data})\n"
    assert "named" in entrepot(server, "project", "list").stdout


def test_a_repository_is_no_project(server: Server) -> None:
    """Who names a repository, or nothing that could be a project, is told what to name instead."""
    refused = entrepot(server, "project", "set", "team/app", "--public")
    assert (refused.returncode, "its project is 'team'" in refused.stderr) == (1, True)
    assert entrepot(server, "project", "set", "Not-A-Name", "--public").returncode == 1


def test_a_folder_without_a_registry_is_named(tmp_path: Path) -> None:
    """A command does not make a registry where there is none."""
    command = [str(Path(sys.executable).parent / "entrepot"), "project", "list", "--data", str(tmp_path / "none")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "there is no registry in" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_a_new_admin_password(server: Server) -> None:
    """`admin password` counts without a restart: the new one signs in, the old one and its tokens do not."""

    def signed(password: str) -> Client:
        word = base64.b64encode(f"admin:{password}".encode()).decode()
        return Client(url=server.url, headers={"Authorization": f"Basic {word}"})

    old, new = signed(ADMIN_PASSWORD), signed("another password of the admin")
    granted = old.request("GET", "/token?service=entrepot&offline_token=true&scope=repository:team/app:pull,push")
    bearer = Client(url=server.url, headers={"Authorization": f"Bearer {granted.json()['token']}"})
    assert all_answer(bearer, MANIFEST, 200)
    short = entrepot(server, "admin", "password", "--stdin", given="short\n")
    assert (short.returncode, "at least 12 characters" in short.stderr) == (1, True)
    changed = entrepot(server, "admin", "password", "--stdin", given="another password of the admin\n")
    assert (changed.returncode, changed.stdout) == (0, "The password of admin is changed.\n")
    assert all_answer(new, MANIFEST, 200)
    eventually(lambda: old.request("GET", MANIFEST).status in (401, 429), 6, what="the old password refused")
    assert bearer.request("POST", "/v2/team/app/blobs/uploads/").status == 401
    eventually(lambda: all_answer(bearer, MANIFEST, 401), 31, what="reading with the old token refused")
    form = f"grant_type=refresh_token&service=entrepot&client_id=x&refresh_token={granted.json()['refresh_token']}"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert Client(url=server.url).request("POST", "/token", form.encode(), kind).status == 401
