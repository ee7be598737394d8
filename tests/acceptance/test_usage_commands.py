"""`entrepot usage`, on the folder of a running server and over the network after a login."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from entrepot.cli.app import app
from entrepot.oci.media_type import OCI_MANIFEST
from tests.support.http_client import Client
from tests.support.manifests import digest_of, image
from tests.support.server import ADMIN_PASSWORD, Server

SHARED, OWN = b"shared layer " * 1000, b"own layer " * 1000
Entrepot = Callable[..., str]


def push(server: Server, tag: str, *layers: bytes) -> None:
    """Push an image of some layers to team/app."""
    client = Client.of(server)
    for content in (b"{}", *layers):
        client.push_blob("team/app", content)
    headers = {"Content-Type": OCI_MANIFEST}
    done = client.request("PUT", f"/v2/team/app/manifests/{tag}", image(b"{}", *layers), headers)
    assert done.status == 201, done


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry with accounts and two images that share a layer, analysed."""
    with Server() as running:
        push(running, "v1", SHARED, OWN)
        push(running, "v2", SHARED)
        done = CliRunner().invoke(app, ["job", "start", "analysis", "--watch", "--data", str(running.data)])
        assert done.exit_code == 0, done.output
        yield running


@pytest.fixture
def runner(tmp_path: Path) -> Entrepot:
    """Give a function that runs a command in this process, with a home of its own."""
    program = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)})

    def run(*arguments: str, stdin: str = "") -> str:
        done = program.invoke(app, arguments, input=stdin)
        assert done.exit_code == 0, f"{arguments}: {done.output} {done.exception!r}"
        return done.stdout

    return run


@pytest.fixture
def remote(server: Server, runner: Entrepot) -> Entrepot:
    """Give a function that runs a command over HTTP as the administrator."""
    runner("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD)
    return lambda *arguments: runner(*arguments, "--server", server.url)


@pytest.fixture(params=["folder", "server"])
def entrepot(request: pytest.FixtureRequest, server: Server, runner: Entrepot) -> Entrepot:
    """Give a function that runs a command on the folder, or over HTTP."""
    if request.param == "server":
        over_http: Entrepot = request.getfixturevalue("remote")
        return over_http
    return lambda *arguments: runner(*arguments, "--data", str(server.data))


def found(entrepot: Entrepot, *command: str) -> Any:
    """Return what a command says as JSON."""
    return json.loads(entrepot("usage", *command, "--json"))


def test_from_all_projects_down_to_tags(entrepot: Entrepot) -> None:
    """Projects, the repositories of one, the tags of one of these; tables for people say the same."""
    (project,) = [one for one in found(entrepot, "show") if one["name"] == "team"]
    (repository,) = found(entrepot, "show", "team")
    tags = found(entrepot, "show", "team/app")
    assert project["analysed"]["stored_bytes"] == repository["analysed"]["stored_bytes"]
    assert [tag["name"] for tag in tags] == ["v1", "v2"]
    assert tags[1]["sizes"]["unique_bytes"] < len(SHARED) < tags[0]["sizes"]["stored_bytes"]
    table = entrepot("usage", "show", "team/app")
    assert "UNIQUE" in table
    assert "v2" in table
    assert "stored for images" in entrepot("usage", "disk")


def test_the_largest(remote: Entrepot) -> None:
    """Images and layers, of all and of a project."""
    assert found(remote, "top", "--count", "1")[0]["tags"] == ["v1"]
    assert found(remote, "top", "layers", "--project", "team")[0]["digest"] == digest_of(SHARED)
    assert digest_of(OWN) in remote("usage", "top", "layers")


def test_what_would_be_free(remote: Entrepot) -> None:
    """The layer of its own, and not the shared one; both with the whole repository or project."""
    told = found(remote, "would-free", "team/app:v1")
    assert told["disk"]["blob_bytes"] == len(OWN)
    assert told["disk"]["shared_bytes"] >= len(SHARED)
    everything = found(remote, "would-free", "--project", "team")
    assert everything["disk"]["blob_bytes"] >= len(SHARED) + len(OWN)
    assert everything["disk"] == found(remote, "would-free", "--repository", "team/app")["disk"]
    said = remote("usage", "would-free", "team/app:v1", "team/app:none")
    assert "would be free on the disk" in said
    assert "team/app:none stays: there is no such tag" in said


def test_the_past_and_the_days_to_come(remote: Entrepot) -> None:
    """Today is known, of a project and of the disk; for a forecast that is not enough."""
    (today,) = found(remote, "history", "--project", "team")["points"]
    assert today["stored_bytes"] > len(SHARED) + len(OWN)
    assert today["day"] in remote("usage", "history", "--project", "team")
    assert today["day"] in remote("usage", "history")
    assert found(remote, "forecast", "--project", "team")["outlook"] == "unlimited"
    assert "has no limit" in remote("usage", "forecast", "--project", "team")
    assert "not enough history: 1 day of 7" in remote("usage", "forecast")


def test_duplicates(remote: Entrepot) -> None:
    """Before somebody looked the command says how; what is too small to be worth it is left out after."""
    said = remote("usage", "duplicates")
    if "Nobody has looked yet" in said:
        remote("job", "start", "duplicates", "--watch")
        said = remote("usage", "duplicates")
    assert "About 0 bytes of 0 bytes in 0 layers" in said
    assert found(remote, "duplicates")["least_bytes"] == 65536
