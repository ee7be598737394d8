"""`entrepot trash` and `entrepot tag`: on the data folder of a running registry, and over the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import PLACES, Run, listed, runner, runner_at
from tests.support.http_client import OCI_MANIFEST, Client
from tests.support.server import Server

DELETES = {"auth": "accounts", "storage": {"delete": {"enabled": True}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A project of a test's own, somebody who pushes to it, and the commands."""

    project: str
    client: Client
    run: Run

    @property
    def app(self) -> str:
        """The repository that is pushed to."""
        return f"{self.project}/app"

    def named(self, tag: str) -> str | None:
        """Return the digest behind a tag; None when there is none."""
        found = self.client.request("HEAD", f"/v2/{self.app}/manifests/{tag}", headers={"Accept": OCI_MANIFEST})
        return found.headers["docker-content-digest"] if found.status == 200 else None

    def delete(self, path: str) -> None:
        """Delete something, as any client does."""
        assert self.client.request("DELETE", path).status in {200, 202}

    def trash(self) -> Any:
        """List what lies in the project's trash."""
        return self.client.request("GET", f"/api/v2.0/projects/{self.project}/trash").json()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry in which things may be deleted."""
    with Server(DELETES, workers=1) as running:
        yield running


@pytest.fixture(params=PLACES)
def shelf(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Shelf:
    """Give a project, used by commands on the folder, or over HTTP as the administrator."""
    project = f"{request.param}-{request.function.__name__.rpartition('_')[2]}"
    run = runner_at(request.param, server, runner(tmp_path))
    return Shelf(project=project, client=Client.of(server), run=run)


def test_the_trash_is_listed_restored_purged_and_emptied(shelf: Shelf) -> None:
    """What was deleted is named by number; a taken tag moves only when asked; what is purged stays away."""
    one = shelf.client.push_image(shelf.app, "v1", b"one")
    shelf.delete(f"/v2/{shelf.app}/manifests/{one}")
    (item,) = listed(shelf.run, "trash", "list", "--project", shelf.project)
    assert (item["kind"], item["digest"], item["tags"], item["deleted_by"]) == ("manifest", one, ["v1"], "admin")
    assert f"{shelf.app}@{one}" in shelf.run("trash", "list", "--project", shelf.project).stdout
    said = shelf.run("trash", "restore", str(item["id"])).stdout
    assert said == f"{shelf.app} is restored.\nSet again: v1\n"
    assert (shelf.named("v1"), shelf.trash()) == (one, [])

    shelf.delete(f"/v2/{shelf.app}/manifests/{one}")
    two = shelf.client.push_image(shelf.app, "v1", b"two")
    aside = shelf.run("trash", "restore", str(shelf.trash()[0]["id"])).stdout
    assert "Taken meanwhile, and left as they are: v1" in aside
    assert shelf.named("v1") == two
    shelf.delete(f"/v2/{shelf.app}/manifests/v1")
    shelf.client.push_image(shelf.app, "v1", b"three")
    assert "Set again: v1" in shelf.run("trash", "restore", str(shelf.trash()[0]["id"]), "--replace").stdout
    assert shelf.named("v1") == two

    shelf.delete(f"/v2/{shelf.app}/manifests/{two}")
    number = str(shelf.trash()[0]["id"])
    assert "Aborted" in shelf.run("trash", "purge", number, stdin="n\n", status=1).stderr
    shelf.run("trash", "purge", number, "--reason", "a token leaked", "--yes")
    assert "error" in shelf.run("trash", "restore", number, status=1).stderr
    shelf.delete(f"/v2/{shelf.app}/manifests/{one}")
    assert "1 manifest gone" in shelf.run("trash", "empty", "--project", shelf.project, stdin="y\n").stdout
    assert shelf.trash() == []


def test_a_project_comes_back(shelf: Shelf) -> None:
    """With its repository and tags, by the number of the project."""
    digest = shelf.client.push_image(shelf.app, "v1", b"one")
    shelf.delete(f"/api/v2.0/projects/{shelf.project}?force=true")
    assert shelf.named("v1") is None
    (project,) = [item for item in listed(shelf.run, "trash", "list") if item["project"] == shelf.project][:1]
    assert project["kind"] == "project"
    assert f"{shelf.project} is restored." in shelf.run("trash", "restore", str(project["id"])).stdout
    assert shelf.named("v1") == digest


def test_a_tag_is_put_back(shelf: Shelf) -> None:
    """Its moves are listed, also when it is deleted; it is put back to what it named before, then, or to a digest."""
    tag = f"{shelf.app}:latest"
    one, two = (shelf.client.push_image(shelf.app, "latest", layer) for layer in (b"one", b"two"))
    assert f"{tag} names {one}." in shelf.run("tag", "restore", tag).stdout
    assert shelf.named("latest") == one
    shelf.run("tag", "restore", tag, two)
    shelf.delete(f"/v2/{shelf.app}/manifests/latest")
    moves = listed(shelf.run, "tag", "history", tag)
    assert [(move["action"], move["digest"]) for move in moves[:1] + moves[-1:]] == [("deleted", two), ("set", one)]
    assert moves[-1]["actor"] == "admin"
    shelf.run("tag", "restore", tag, "--at", moves[-1]["time"])
    assert shelf.named("latest") == one
    shelf.delete(f"/v2/{shelf.app}/manifests/{two}")
    shelf.run("tag", "restore", tag, two)
    assert shelf.named("latest") == two


def test_what_cannot_be_done_is_said(shelf: Shelf) -> None:
    """A number that there is not, a name without a tag and a tag without a past: one clear line each."""
    shelf.client.push_image(shelf.app, "v1", b"one")
    assert "error" in shelf.run("trash", "restore", "999999", status=1).stderr
    assert "team/app:v1" in shelf.run("tag", "history", shelf.app, status=1).stderr
    nosuch = shelf.run("tag", "history", f"{shelf.app}:nosuch", status=1)
    assert "no moves of" in nosuch.stderr
    assert shelf.run("tag", "restore", f"{shelf.app}:v1", status=1).stderr.startswith("error: ")
