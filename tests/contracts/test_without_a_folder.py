"""A registry whose blobs lie in an object store, put together as for real: on PostgreSQL, and on SQLite in a folder.

The store is in memory and stands for any: what is tried is that nothing else needs a folder.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.bootstrap import storage
from entrepot.bootstrap.check_up import check_up
from entrepot.bootstrap.collection import collect
from entrepot.bootstrap.commands import change_password, operator
from entrepot.bootstrap.job_worker import jobs
from entrepot.bootstrap.storage import Objects, Storage
from entrepot.bootstrap.web import web
from entrepot.config import Config, load
from entrepot.lifecycle.collection.full_collection import Request, Result
from entrepot.telemetry.progress import Unwatched
from tests.http.matrix.deployed import QuietRuntime
from tests.http.pushing import push_image
from tests.http.transport import AsgiClient
from tests.support.databases import registry_database
from tests.support.postgres import PostgresServer
from tests.support.server import SECRET_KEY

PASSWORD = "the harbour master's own"


class NotedRuntime(QuietRuntime):
    """A worker's surroundings, which keep what the person who started it is shown."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@dataclass
class Place:
    """A configuration without a folder of blobs, and the store that it leads to."""

    config: Config
    folder: Path
    store: MemoryBlobStore = field(default_factory=MemoryBlobStore)
    nodes: int = 0

    def runtime(self) -> NotedRuntime:
        """Give the surroundings of one more node."""
        self.nodes += 1
        shared = self.folder / f"node-{self.nodes}"
        shared.mkdir(mode=0o700)
        return NotedRuntime(shared)

    @asynccontextmanager
    async def chosen(self, *_: object) -> AsyncIterator[Storage]:
        """Stand in for the opener of the object store."""
        yield Storage(store=self.store, objects=Objects(path_of=lambda key: f"/{key}"))


@pytest.fixture(params=["postgresql", "sqlite"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """Give the configuration, in a working folder that is empty."""
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    monkeypatch.setenv("ENTREPOT_ADMIN_PASSWORD", PASSWORD)
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            metadata = {"folder": str(tmp_path / "state")}
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            metadata = {"url": await stack.enter_async_context(registry_database(server))}
            monkeypatch.setenv("ENTREPOT_SECRET_KEY", SECRET_KEY)
        document = {
            "version": "0.1",
            "auth": "accounts",
            "metadata": metadata,
            "storage": {"s3": {"region": "eu-west-1", "bucket": "images"}, "delete": {"enabled": True}},
        }
        (tmp_path / "config.yml").write_text(yaml.safe_dump(document))
        made = Place(load(tmp_path / "config.yml", {}).config, tmp_path)
        monkeypatch.setattr(storage, "_chosen", made.chosen)
        yield made
        assert not list((tmp_path / "working").iterdir())


def admin(application: object) -> AsgiClient:
    """Give the administrator's client of a node."""
    return signed_in(application, PASSWORD)


def signed_in(application: object, password: str) -> AsgiClient:
    """Give a client with the administrator's name and a password."""
    encoded = base64.b64encode(f"admin:{password}".encode()).decode()
    return AsgiClient(application, headers={"Authorization": f"Basic {encoded}"})


async def test_what_is_pushed_to_one_node_is_pulled_from_another(place: Place) -> None:
    """Two nodes have the database and the store in common, and nothing else; a token of one opens the other."""
    async with web(place.config, place.runtime()) as first, web(place.config, place.runtime()) as second:
        body = await push_image(admin(first), "v1", b"layer", name="team/app")
        pulled = await admin(second).get("/v2/team/app/manifests/v1")
        assert (pulled.status, pulled.body) == (200, body)
        asked = await admin(first).get("/token?service=entrepot&scope=repository:team/app:pull")
        bearer = AsgiClient(second, headers={"Authorization": f"Bearer {asked.json()['token']}"})
        assert (await bearer.get("/v2/team/app/manifests/v1")).status == 200
        for path in ("/projects", "/health", "/systeminfo/volumes", "/jobs/kinds", "/configurations", "/statistics"):
            assert (await admin(second).get(f"/api/v2.0{path}")).status == 200, path


async def test_the_first_password_is_shown_once_by_one_node(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a variable one is made up by whoever makes the account; a command sets another."""
    monkeypatch.delenv("ENTREPOT_ADMIN_PASSWORD")
    first, second = place.runtime(), place.runtime()
    async with web(place.config, first) as application, web(place.config, second):
        assert len(first.notes) == 1
        assert not second.notes
        password = first.notes[0].split(" is ")[1].split(" ")[0]
        assert (await signed_in(application, password).get("/v2/")).status == 200
        assert await change_password(place.config, "admin", PASSWORD)
        assert (await admin(application).get("/v2/")).status == 200


async def test_every_job_is_known_and_collects(place: Place) -> None:
    """The job worker runs without a folder: what was deleted goes from the store, and what is left is whole."""
    async with web(place.config, place.runtime()) as application:
        client = admin(application)
        await push_image(client, "v1", b"to go", name="team/app")
        await push_image(client, "v2", b"to stay", name="team/app")
        assert (await client.delete("/v2/team/app/manifests/v1")).status == 202
        stop = asyncio.Event()
        async with jobs(place.config, place.runtime()) as run:
            working = asyncio.create_task(run(stop))
            try:
                for kind in ("garbage-collection", "scrub", "upload-purging", "analysis", "usage-history"):
                    await _succeeds(client, kind)
            finally:
                stop.set()
                await working
        report = await check_up(place.config, Unwatched(), repair=False, sample=1.0)
        assert report.open == 0, report
        assert (await client.get("/v2/team/app/manifests/v2")).status == 200


async def _succeeds(client: AsgiClient, kind: str) -> None:
    """Run a job, unless it runs already, and wait for its success."""
    headers = {"Content-Type": "application/json"}
    asked = await client.post("/api/v2.0/jobs", headers=headers, body=f'{{"kind": "{kind}"}}'.encode())
    assert asked.status in (201, 409), asked.body
    async with asyncio.timeout(30):
        while True:
            found = (await client.get(f"/api/v2.0/jobs?q=kind%3D{kind}")).json()[0]
            assert found["status"] != "Error", found
            if found["status"] == "Success":
                return
            await asyncio.sleep(0.05)


async def test_commands_work_beside_the_nodes(place: Place) -> None:
    """An operator collects, looks and lists with the configuration alone."""
    async with web(place.config, place.runtime()) as application:
        await push_image(admin(application), "v1", b"layer", name="team/app")
        await collect(place.config, Request(dry_run=True), Unwatched(), Result())
        async with operator(place.config, "op") as local:
            listed = await AsgiClient(local).get("/api/v2.0/projects")
            assert [project["name"] for project in listed.json()] == ["team"]
