"""`entrepot repo`, `tag` and `image`: what people do most, on the data folder and over the network."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import PLACES, Run, listed, runner, runner_at
from tests.support.http_client import Client
from tests.support.server import Server

DELETES = {"auth": "accounts", "storage": {"delete": {"enabled": True}}}
PROGRAM = Path(sys.executable).parent / "entrepot"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry in which things may be deleted."""
    with Server(DELETES, workers=1) as running:
        yield running


@pytest.fixture(params=PLACES)
def run(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Run:
    """Give a function that runs commands on the folder, or over HTTP as the administrator."""
    return runner_at(request.param, server, runner(tmp_path))


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """Give the name of a project of the test's own."""
    return f"{request.function.__name__.split('_')[2]}-{request.node.callspec.id}"


def test_from_repositories_to_an_image_and_away(run: Run, server: Server, project: str) -> None:
    """Listed, shown by tag, digest and the beginning of one, copied under another name, and removed piece by piece."""
    client = Client.of(server)
    app = f"{project}/app"
    one, two = client.push_image(app, "v1", b"one"), client.push_image(app, "v2", b"two")
    client.request(
        "POST",
        f"/api/v2.0/projects/{project}/repositories/app/artifacts/{one}/tags",
        b'{"name":"stable"}',
        {"Content-Type": "application/json"},
    )
    assert [each["name"] for each in listed(run, "repo", "list", project)] == [app]
    assert run("repo", "show", app).stdout.startswith("repository:  ")
    assert [each["digest"] for each in listed(run, "image", "list", app)] == [two, one]
    assert {each["tag"] for each in listed(run, "tag", "list", app)} == {"v1", "v2", "stable"}
    for name in (f"{app}:v1", f"{app}@{one}", f"{app}@{one[:19]}", f"registry.example.org:5000/{app}:stable"):
        assert one in run("image", "show", name).stdout
    run("image", "copy", f"{app}:v1", f"{project}/other:first")
    assert {each["tag"] for each in listed(run, "tag", "list", f"{project}/other")} == {"first", "v1", "stable"}
    run("tag", "remove", f"{app}:stable")
    assert {each["tag"] for each in listed(run, "tag", "list", app)} == {"v1", "v2"}
    run("tag", "restore", f"{app}:stable")
    asked = run("image", "remove", f"{app}:v1", stdin="n\n", status=1)
    assert "also the tags stable" in asked.stderr
    assert "with 2 tags" in run("image", "remove", f"{app}:v1", stdin="y\n").stdout
    assert [each["digest"] for each in listed(run, "image", "list", app)] == [two]
    assert "entrepot" in run("repo", "remove", app).stdout
    assert [each["name"] for each in listed(run, "repo", "list", project)] == [f"{project}/other"]


def test_names_that_name_nothing_are_told(run: Run, server: Server, project: str) -> None:
    """A repository where an image is meant and the other way round, and what is not there."""
    Client.of(server).push_image(f"{project}/app", "v1")
    assert "names an image" in run("repo", "show", f"{project}/app:v1", status=2).stderr
    assert "names no tag" in run("tag", "remove", f"{project}/app", status=1).stderr
    assert "names nothing" in run("image", "show", "/", status=2).stderr
    assert "no image whose digest begins" in run("image", "show", f"{project}/app@sha256:00", status=1).stderr
    assert run("image", "show", f"{project}/app:v9", status=1).stderr.startswith("error: ")
    assert "There is no image." in run("image", "list", "--project", project, "--untagged").stdout


def test_lists_of_images_fit_a_terminal(server: Server, tmp_path: Path) -> None:
    """Eighty columns: short digests, whole words, no line that is broken by the terminal; long lists say how many."""
    client = Client.of(server)
    for number in range(25):
        client.push_image("fits/a-repository-with-a-rather-long-name-of-its-own", f"v{number}", b"%d" % number)
    place = ("--data", str(server.data))
    for command in (("image", "list"), ("tag", "list", "fits/a-repository-with-a-rather-long-name-of-its-own")):
        shown = terminal(*command, *place, home=tmp_path)
        lines = shown.splitlines()
        assert max(map(len, lines)) <= 80, shown
        assert any("sha256:" in line for line in lines)
    assert terminal("tag", "list", "fits/a-repository-with-a-rather-long-name-of-its-own", *place, home=tmp_path)[
        :8
    ] == ("25 tags:")


def test_nobody_gets_one_line_and_no_log(server: Server, tmp_path: Path) -> None:
    """Somebody without rights on the folder is told so in a line or two, without a log or a traceback."""
    program = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(PROGRAM))
    command = (*program, "project", "list", "--data", str(server.data))
    done = subprocess.run(
        command, env={**os.environ, "HOME": "/nonexistent"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 2, done.stderr


def terminal(*command: str, home: Path) -> str:
    """Run a command in a terminal of 80 columns; returns what it showed."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "80", "XDG_CONFIG_HOME": str(home)}
    subprocess.run([PROGRAM, *command], stdout=theirs, stderr=subprocess.DEVNULL, env=environ, check=True)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:
        pass  # the end of a terminal whose other side is closed
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")
