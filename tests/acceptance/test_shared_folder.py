"""Two hosts with PostgreSQL and one folder over a network: it is slow, it keeps what it knows for a while, it fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.http_client import Client, eventually
from tests.support.postgres import running_postgres
from tests.support.remote_folder import RemoteFolder
from tests.support.server import Server, ServerFailed

KEY = "b3VyIHNlY3JldCBrZXkgb2YgMzIgYnl0ZXMhISEhISE="


@dataclass
class Site:
    """A database, and a folder that hosts mount."""

    url: str
    folder: Path
    stack: ExitStack

    def mount(self, name: str, **how: Any) -> RemoteFolder:
        """Let a host have the folder."""
        return self.stack.enter_context(RemoteFolder(self.folder, self.folder.with_name(name), **how))

    def host(self, name: str, data: Path) -> Server:
        """Give the node of a host, yet to be started."""
        config = {"auth": "accounts", "node": {"name": name}, "metadata": {"url": self.url}}
        server = Server(config, data=data, workers=1, env={"ENTREPOT_SECRET_KEY": KEY}, start=False)
        return self.stack.enter_context(server)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Give an address below which each test makes its own database."""
    with running_postgres() as server, server.database() as url:
        yield url


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a site whose parts end with the test."""
    with running_postgres() as server, server.database() as url, ExitStack() as stack:
        yield Site(url, tmp_path / "shared", stack)


def test_two_hosts_share_a_slow_folder(site: Site) -> None:
    """What one pushes the other serves at once, though it has looked in vain before; uploads go on at the other."""
    one, two = (site.host(name, site.mount(name, delay=0.01).path).start() for name in ("one", "two"))
    first, second = Client.of(one), Client.of(two)
    for number in range(10):
        data = Random(number).randbytes(200_000)
        digest = first.push_blob("team/app", data)
        assert second.request("GET", f"/v2/team/app/blobs/{digest}").body == data
        lost = Random(number + 100).randbytes(1000)
        assert second.request("HEAD", f"/v2/team/app/blobs/{digest_of(lost)}").status == 404
    begun = first.request("POST", "/v2/team/app/blobs/uploads/")
    data = os.urandom(600_000)
    for client, part in ((first, data[:200_000]), (second, data[200_000:400_000]), (first, data[400_000:])):
        begun = client.request("PATCH", begun.location, part)
        assert begun.status == 202, begun.body
    ended = second.request("PUT", f"{begun.location}{'&' if '?' in begun.location else '?'}digest={digest_of(data)}")
    assert ended.status == 201, ended.body
    assert first.request("GET", f"/v2/team/app/blobs/{digest_of(data)}").body == data
    assert {node["state"] for node in first.request("GET", "/api/v2.0/nodes").json()} == {"up"}


def digest_of(data: bytes) -> str:
    """Give the digest of bytes."""
    from tests.support.acknowledged import digest_of as of  # noqa: PLC0415 - the name is ours

    return of(data)


def test_a_folder_of_another_is_refused(site: Site, tmp_path: Path) -> None:
    """A node with the same database and a folder of its own does not start, and says what to do."""
    one = site.host("one", site.mount("one").path).start()
    eventually(lambda: probe_of(one) > 0)
    with pytest.raises(ServerFailed, match=r"what one has written to \S+ is not seen here within 3 s.*lookupcache"):
        site.host("stranger", tmp_path / "own").start()
    assert Client.of(one).request("GET", "/readyz").status == 200


def probe_of(server: Server) -> int:
    """Say how many signs of life the node has given."""
    return len(Client.of(server).request("GET", "/api/v2.0/nodes").json())


def test_one_that_sees_too_late_is_not_ready(site: Site) -> None:
    """A mount that keeps for a minute what is not there takes its host out of service, with the mount to choose."""
    one = site.host("one", site.mount("one").path).start()
    late = site.host("late", site.mount("late", unseen=60).path).start()
    eventually(lambda: Client.of(late).request("GET", "/readyz").status == 503, 40, what="the node to notice")
    assert Client.of(late).request("GET", "/readyz").json() == {"storage": "the storage does not work"}
    (shown,) = [node for node in Client.of(one).request("GET", "/api/v2.0/nodes").json() if node["name"] == "late"]
    assert "lookupcache=positive" in shown["trouble"]
    assert Client.of(one).request("GET", "/readyz").status == 200


def test_a_host_that_is_cut_off_is_not_ready_and_comes_back(site: Site) -> None:
    """While its folder fails a node is not ready and the other serves; nothing that was acknowledged is lost."""
    mounts = [site.mount(name) for name in ("one", "two")]
    one, two = (site.host(mount.path.name, mount.path).start() for mount in mounts)
    first, second = Client.of(one), Client.of(two)
    digests = {first.push_image("team/app", f"v{number}") for number in range(3)}
    mounts[1].steer(fails=True)
    eventually(lambda: second.request("GET", "/readyz").status == 503, 15, what="the node to notice")
    with_data = os.urandom(300_000)
    begun = time.monotonic()
    assert second.request("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(with_data)}", with_data).status >= 500
    assert time.monotonic() - begun < 10
    assert first.request("GET", "/readyz").status == 200
    digests.add(first.push_image("team/app", "v3"))
    mounts[1].steer(fails=False)
    eventually(lambda: second.request("GET", "/readyz").status == 200, 15, what="the node to come back")
    for number, digest in enumerate(sorted(digests)):
        for client in (first, second):
            assert client.request("GET", f"/v2/team/app/manifests/{digest}").status == 200, number
