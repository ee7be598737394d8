"""A week in the life of a registry: registry:2's volume is adopted, and pushed to, cleaned up and collected every day.

A day is as long as its work takes: the trash keeps things for five seconds, the grace is one. Beside the registry a
model of dictionaries says what has to be there in the end, and how many bytes that is.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.seed import write_registry2_tree
from tests.support.acknowledged import OCI_MANIFEST, digest_of
from tests.support.http_client import Client, eventually
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.sharing import Shelf
from tests.support.tools import find_tool
from tests.support.writers import image_manifest

DAYS = 7
CONFIG = {
    "auth": "accounts",
    "log": {"accesslog": {"disabled": True}},
    "storage": {"delete": {"enabled": True}},
    "lifecycle": {"trash": "5s", "grace": "1s"},
}
#: What may be used for tags that no retention keeps.
TEMPORARY = "tmp-"
#: A selector that excludes says with this that things without a tag are not excluded.
NOT_UNTAGGED = '{"untagged":false}'


@dataclass(slots=True)
class Life:
    """Somebody who uses the registry, and remembers what must be there."""

    client: Client
    random: Random
    shelf: Shelf = field(default_factory=lambda: Shelf([]))  #: what is kept
    tags: dict[tuple[str, str], str] = field(default_factory=dict)  #: digests by repository and tag

    @classmethod
    def on(cls, tree: Path, server: Server, seed: int) -> Life:
        """Read from registry:2's own files what it had."""
        life = cls(Client.of(server), Random(seed))
        root = tree / "docker/registry/v2"
        for link in (root / "repositories").rglob("current/link"):
            digest, tag = link.read_text(), link.parts[-3]
            repository = str(link.relative_to(root / "repositories")).partition("/_manifests")[0]
            body = (root / "blobs/sha256" / digest[7:9] / digest[7:] / "data").read_bytes()
            life.shelf.kept[repository, digest] = body
            life.tags[repository, tag] = digest
        return life

    def push(self, repository: str, tag: str) -> None:
        """Push an image with a layer of its own and one of another image of the repository."""
        mine = self.random.randbytes(self.random.randint(10, 2000))
        shared = self._some_layer(repository)
        config = self.client.push_blob(repository, json.dumps({"made": self.random.random()}).encode())
        layers = [(self.client.push_blob(repository, mine), len(mine)), shared]
        size = len(self.client.request("GET", f"/v2/{repository}/blobs/{config}").body)
        body = image_manifest((config, size), layers)
        put = self.client.request("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})
        assert put.status == 201, put
        self.shelf.kept[repository, digest_of(body)] = body
        self.tags[repository, tag] = digest_of(body)

    def delete(self, repository: str, digest: str) -> dict[tuple[str, str], str]:
        """Delete an image; returns the tags that went with it."""
        assert self.client.request("DELETE", f"/v2/{repository}/manifests/{digest}").status == 202
        gone = {key: named for key, named in self.tags.items() if key[0] == repository and named == digest}
        self.tags = {key: named for key, named in self.tags.items() if key not in gone}
        return gone

    def delete_for_good(self, repository: str, digest: str) -> None:
        """Delete an image that nobody will miss."""
        self.delete(repository, digest)
        del self.shelf.kept[repository, digest]

    def delete_and_restore(self, repository: str, digest: str) -> None:
        """Delete an image by mistake, and bring it back."""
        gone = self.delete(repository, digest)
        project = repository.partition("/")[0]
        found = self.ask("GET", f"/projects/{project}/trash?q=digest={digest}")
        assert self.ask("POST", f"/trash/{found[0]['id']}/restore", {})["manifests"] == 1
        self.tags |= gone

    def untag(self, repository: str, tag: str) -> None:
        """Delete a tag; its manifest stays."""
        assert self.client.request("DELETE", f"/v2/{repository}/manifests/{tag}").status == 202
        del self.tags[repository, tag]

    def pull(self, repository: str, tag: str) -> None:
        """Pull a manifest, which is the one that the tag names."""
        answer = self.client.request("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": OCI_MANIFEST})
        assert (answer.status, answer.headers["docker-content-digest"]) == (200, self.tags[repository, tag])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management API."""
        data = None if body is None else json.dumps(body).encode()
        answer = self.client.request(method, f"/api/v2.0{path}", data, {"Content-Type": "application/json"})
        assert answer.status in {200, 201, 202}, answer
        return answer.json() if answer.body else None

    def day(self, share: float) -> None:
        """Use the registry for a day: so large a share of what is tagged is touched in each of the ways."""
        for repository, tag in self._some(share):
            self.pull(repository, tag)
            self.push(repository, f"new-{self.random.randrange(10**9)}")
        for repository, tag in self._some(share):
            self.push(repository, tag)
        for repository, _ in self._some(share):
            self.push(repository, f"{TEMPORARY}{self.random.randrange(10**9)}")
        for repository, tag in self._some(share):
            if (repository, tag) in self.tags:
                self.delete_for_good(repository, self.tags[repository, tag])
        for repository, tag in self._some(share / 2):
            self.delete_and_restore(repository, self.tags[repository, tag])
        for repository, tag in self._some(share / 2):
            self.untag(repository, tag)

    def clean_up(self) -> None:
        """Let retention remove the tags that are temporary, and the images that have no other."""
        for project in sorted({repository.partition("/")[0] for repository, _ in self.tags}):
            place = self._retain_all_but_temporary(project)
            self.ask("POST", f"{place}/executions", {"dry_run": False})
            eventually(lambda place=place: self._has_run(place), 60, what=f"an end of {place}")  # type: ignore[misc]
        for key in [key for key in self.tags if key[1].startswith(TEMPORARY)]:
            digest = self.tags.pop(key)
            if (key[0], digest) not in {(repository, named) for (repository, _), named in self.tags.items()}:
                del self.shelf.kept[key[0], digest]

    def _has_run(self, place: str) -> bool:
        return bool(self.ask("GET", f"{place}/executions")[0]["status"] == "Success")

    def _retain_all_but_temporary(self, project: str) -> str:
        """Make a policy; return its path."""
        number = self.ask("GET", f"/projects/{project}")["project_id"]
        all_but = {"kind": "doublestar", "decoration": "excludes", "pattern": f"{TEMPORARY}**", "extras": NOT_UNTAGGED}
        everywhere = {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}
        rule = {
            "action": "retain",
            "template": "always",
            "params": {},
            "tag_selectors": [all_but],
            "scope_selectors": {"repository": [everywhere]},
        }
        body = json.dumps({"algorithm": "or", "rules": [rule], "scope": {"level": "project", "ref": number}}).encode()
        made = self.client.request("POST", "/api/v2.0/retentions", body, {"Content-Type": "application/json"})
        assert made.status == 201, made
        return made.location.removeprefix("/api/v2.0")

    def _some(self, share: float) -> list[tuple[str, str]]:
        return self.random.sample(sorted(self.tags), max(1, int(len(self.tags) * share)))

    def _some_layer(self, repository: str) -> tuple[str, int]:
        digests = [key for key in self.shelf.kept if key[0] == repository]
        layer = json.loads(self.shelf.kept[self.random.choice(digests)])["layers"][0]
        return layer["digest"], layer["size"]


def stored(server: Server) -> dict[str, int]:
    """List the files among the blobs by digest, with their sizes."""
    found = {}
    for path in (server.data / "docker/registry/v2/blobs").glob("*/*/*/data"):
        with suppress(FileNotFoundError):
            found[f"{path.parts[-4]}:{path.parts[-2]}"] = path.stat().st_size
    return found


def pull_all(server: Server, repository: str, folder: Path) -> set[str]:
    """Pull every tag of a repository by Skopeo, each byte checked; returns the tags."""
    source = ("--src-tls-verify=false", "--src-creds", f"admin:{ADMIN_PASSWORD}", "--src", "docker", "--dest", "dir")
    command = [find_tool("skopeo"), "sync", *source, f"{server.address}/{repository}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return {path.name.partition(":")[2] for path in folder.iterdir()}


@pytest.fixture(params=[(4, 50), pytest.param((200, 100), marks=[pytest.mark.full, pytest.mark.timeout(7200)])])
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Life]]:
    """Give a registry on a volume of registry:2, and who uses it."""
    repositories, tags = request.param
    write_registry2_tree(tmp_path / "volume", repositories=repositories, tags=tags)
    with Server(CONFIG, data=tmp_path / "volume", workers=1) as server:
        life = Life.on(tmp_path / "volume", server, seed=repositories)
        server.wait_for_log("the folder is adopted", 300)
        yield server, life


def test_a_week_of_life(life: tuple[Server, Life], tmp_path: Path) -> None:
    """In the end nothing is wrong, the disk holds what the model holds, and everything kept or undeleted pulls."""
    server, user = life
    before = sum(stored(server).values())
    begun = time.monotonic()
    for _ in range(DAYS):
        user.day(0.02)
    user.clean_up()
    model = user.shelf.files()
    eventually(lambda: stored(server).keys() <= model.keys(), 300, what="an end of the collection")
    size, wanted = sum(stored(server).values()), sum(model.values())
    print(f"{len(user.shelf.kept)} images, {before} -> {size} bytes, {time.monotonic() - begun:.0f} s")
    assert abs(size - wanted) <= wanted / 100
    server.run("doctor", "--data", str(server.data))
    for repository in sorted({repository for repository, _ in user.shelf.kept}):
        expected = {tag for name, tag in user.tags if name == repository}
        assert pull_all(server, repository, tmp_path / repository.replace("/", "-")) == expected
    for (repository, digest), body in user.shelf.kept.items():
        for part in (f"manifests/{digest}", *(f"blobs/{blob}" for blob in Shelf([], {("", ""): body}).files())):
            if part.startswith("manifests/") or part.partition("/")[2] != digest:
                assert user.client.request("HEAD", f"/v2/{repository}/{part}").status == 200, part
