"""What pushes and pulls cost, counted on the disk and in the databases."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.metadata.tables import metadata as metadata_tables
from entrepot.metadata.work_tables import work_metadata as work_tables
from entrepot.oci import media_type
from entrepot.oci.digest import Digest
from tests.contracts.registry.conftest import Kit, sqlite
from tests.contracts.registry.pushing import Pusher
from tests.http.transport import AsgiClient
from tests.support.access_modes import basic, registry_with
from tests.support.app import App
from tests.support.databases import create_all
from tests.support.disks import CountingFs
from tests.support.manifests import image


def in_one_folder() -> Iterator[bytes]:
    """Give contents whose digests begin alike, so that no push is the first to use a folder."""
    return (content for content in map(b"%d".__mod__, itertools.count()) if Digest.of(content).encoded[:2] == "00")


async def test_a_push_of_n_layers_syncs_a_fixed_number_and_a_fixed_number_for_each_layer(tmp_path: Path) -> None:
    """Files and commits together: a + b·n, with b of three syncs of the disk and one commit."""
    disk, contents = CountingFs(), in_one_folder()
    with closing(FilesystemBlobStore(tmp_path / "blobs", fs=disk)) as store:
        async with sqlite(tmp_path) as (metadata, work):
            await create_all(metadata, metadata_tables)
            await create_all(work, work_tables)
            pusher = Pusher(Kit(metadata, work, store).registry())
            await pusher.image("warm", next(contents))

            async def syncs(layers: int) -> int:
                before = disk.calls["sync"] + metadata.statistics.commits
                await pusher.image(f"of-{layers}", *itertools.islice(contents, layers))
                return disk.calls["sync"] + metadata.statistics.commits - before

            one, two, three, nine = [await syncs(layers) for layers in (1, 2, 3, 9)]
    assert (two - one, three - two, nine - three) == (4, 4, 24)
    assert one <= 10


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost: statements and commits in the metadata (each a sync), and those in the work database."""

    statements: int
    commits: int
    work_statements: int = 0
    work_commits: int = 0


@dataclass(slots=True)
class Served:
    """The whole application, with accounts, and somebody signed in."""

    app: App
    client: AsgiClient
    signed_in: dict[str, str]
    looks_again: int = 0  #: by a password: one statement after each commit, so that a changed one is refused at once

    def spent(self) -> tuple[int, ...]:
        """Give what was spent so far."""
        metadata, work = self.app.stores.metadata.statistics, self.app.stores.work.statistics
        return metadata.statements, metadata.commits, work.statements, work.commits

    def since(self, before: tuple[int, ...]) -> Cost:
        """Give what was spent since."""
        return Cost(*(now - then for then, now in zip(before, self.spent(), strict=True)))

    async def pull(self, path: str) -> Cost:
        """Ask for something that is there."""
        before = self.spent()
        assert (await self.client.get(f"/v2/team/app/{path}", headers=self.signed_in)).status == 200
        return self.since(before)

    async def push(self, tag: str, layers: int) -> Cost:
        """Push an image as Docker does: each blob by POST, PATCH and PUT, then the manifest."""
        before = self.spent()
        contents = [f"{tag}, layer {number}".encode() for number in range(layers)]
        for content in (b"{}", *contents):
            await self._blob(content)
        put = await self.client.put(
            f"/v2/team/app/manifests/{tag}",
            headers={**self.signed_in, "Content-Type": media_type.OCI_MANIFEST},
            body=image(b"{}", *contents),
        )
        assert put.status == 201, put.body
        return self.since(before)

    async def _blob(self, content: bytes) -> None:
        started = await self.client.post("/v2/team/app/blobs/uploads/", headers=self.signed_in)
        path = urlsplit(started["Location"]).path
        assert (await self.client.patch(path, headers=self.signed_in, body=content)).status == 202
        done = await self.client.put(f"{path}?digest={Digest.of(content)}", headers=self.signed_in)
        assert done.status == 201, done.body


@pytest.fixture(params=["token", "password"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """Run a registry, warm, with somebody who signs in each way."""
    async with registry_with(tmp_path, None, {"ENTREPOT_ADMIN_PASSWORD": "the password of tests"}) as running:
        found = Served(running.app, running.client, basic("admin", "the password of tests"), looks_again=1)
        await found.push("warm", 1)
        if request.param == "token":
            asked = await running.client.get("/token?scope=repository:team/app:pull,push", headers=found.signed_in)
            found.looks_again = 0
            found.signed_in = {"Authorization": f"Bearer {json.loads(asked.body)['token']}"}
        await found.push("warm", 1)
        yield found


async def test_a_pull_is_one_statement_whoever_asks(served: Served) -> None:
    """Who may do what costs no further statement but a password's look, and nothing is written; again it is no more."""
    blob = f"blobs/{Digest.of(b'warm, layer 0')}"
    for path, first in (("manifests/warm", 1 + served.looks_again), (blob, 1)):
        assert await served.pull(path) == Cost(first, 0)
        assert await served.pull(path) in (Cost(1, 0), Cost(0, 0))


async def test_a_push_costs_what_it_cost_before_there_were_roles(served: Served) -> None:
    """Statements and commits of the whole of it, as measured: a + b·n; each blob asks twice for its project's limit."""
    one, two, nine = [await served.push(f"of-{layers}", layers) for layers in (1, 2, 9)]
    looks = served.looks_again
    assert one == Cost(71 + 3 * looks, 3, 12, 6)
    assert two == Cost(96 + 4 * looks, 4, 18, 9)
    assert nine == Cost(271 + 11 * looks, 11, 60, 30)
