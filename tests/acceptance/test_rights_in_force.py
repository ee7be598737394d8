"""A changed right is in force on every worker: several web processes, and a connection to each of them."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.http_client import Client, eventually
from tests.support.server import Server

WORKERS = 3
#: Seconds within which a change must be in force everywhere.
PROMISED = 30.0
PASSWORD = "wonderland-is-far-away"
MANIFEST = "/v2/team/app/manifests/1"


@dataclass
class Everywhere:
    """A registry, and one connection to each of its workers, kept open."""

    server: Server
    connections: list[http.client.HTTPConnection] = field(default_factory=list)

    def connect(self) -> None:
        """Connect again and again until each worker has a connection."""
        found: dict[int, http.client.HTTPConnection] = {}
        for _ in range(200):
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            worker = self._worker_of(connection)
            if found.setdefault(worker, connection) is not connection:
                connection.close()
            if len(found) == WORKERS:
                break
        assert len(found) == WORKERS, found
        self.connections = list(found.values())

    def _worker_of(self, connection: http.client.HTTPConnection) -> int:
        port = connection.sock.getsockname()[1]
        for worker in self.server.web_workers():
            if any(found.raddr and found.raddr.port == port for found in worker.net_connections("tcp")):
                return worker.pid
        raise LookupError(f"no worker has the connection from port {port}")

    def statuses(self, method: str, path: str, headers: Mapping[str, str]) -> list[int]:
        """Send a request to each worker."""
        return [self._status(connection, method, path, headers) for connection in self.connections]

    def _status(
        self, connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]
    ) -> int:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management API as the administrator."""
        client = Client.of(self.server)
        encoded = None if body is None else json.dumps(body).encode()
        answer = client.request(method, f"/api/v2.0{path}", encoded, {"Content-Type": "application/json"})
        assert answer.status < 300, (method, path, answer)
        return json.loads(answer.body) if answer.body else answer.headers.get("location", "")


@pytest.fixture
def everywhere() -> Iterator[Everywhere]:
    """Run a registry with a private project and an image in it."""
    with Server(workers=WORKERS) as server:
        Client.of(server).push_image("team/app", "1")
        eventually(lambda: len(server.web_workers()) == WORKERS, what="all workers")
        found = Everywhere(server)
        found.connect()
        yield found
        for connection in found.connections:
            connection.close()


@dataclass(kw_only=True)
class Person:
    """Somebody who may pull, with everything that signs them in."""

    name: str
    id: int
    member: int
    key: int
    credentials: list[dict[str, str]]  #: password, API key, and a token for the repository


def basic(name: str, secret: str) -> dict[str, str]:
    """Return an Authorization header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def make(everywhere: Everywhere, name: str) -> Person:
    """Make an account that is a guest of the project."""
    profile = {"username": name, "email": f"{name}@example.org", "realname": name, "password": PASSWORD, "comment": ""}
    number = int(everywhere.admin("POST", "/users", profile).rpartition("/")[2])
    member = everywhere.admin("POST", "/projects/team/members", {"role_id": 3, "member_user": {"user_id": number}})
    key = everywhere.admin("POST", f"/users/{number}/keys", {"name": "laptop"})
    asked = Client(url=everywhere.server.url, headers=basic(name, key["secret"]))
    token = asked.request("GET", "/token?service=entrepot&scope=repository:team/app:pull,push").json()["token"]
    return Person(
        name=name,
        id=number,
        member=int(member.rpartition("/")[2]),
        key=key["id"],
        credentials=[basic(name, PASSWORD), basic(name, key["secret"]), {"Authorization": f"Bearer {token}"}],
    )


def pulls(everywhere: Everywhere, person: Person, *, without: int = -1) -> set[int]:
    """Pull at each worker with each credential but one; give the statuses."""
    tried = [headers for number, headers in enumerate(person.credentials) if number != without]
    return {status for headers in tried for status in everywhere.statuses("GET", MANIFEST, headers)}


def test_a_right_that_was_taken_is_gone_on_every_worker(everywhere: Everywhere) -> None:
    """A membership ended, a role that may less, an account removed or a password changed: within thirty seconds."""
    people = {name: make(everywhere, name) for name in ("anna", "bert", "cleo", "dora")}
    for person in people.values():
        assert pulls(everywhere, person) == {200}
        assert pulls(everywhere, person) == {200}
    begun = time.monotonic()
    everywhere.admin("DELETE", f"/projects/team/members/{people['anna'].member}")
    everywhere.admin("DELETE", f"/users/{people['bert'].id}")
    everywhere.admin("DELETE", f"/users/{people['cleo'].id}/keys/{people['cleo'].key}")
    everywhere.admin("PUT", f"/users/{people['dora'].id}/password", {"new_password": f"{PASSWORD}-now"})

    def gone() -> bool:
        cleo, dora = people["cleo"], people["dora"]
        return (
            pulls(everywhere, people["anna"]) == {401}
            and pulls(everywhere, people["bert"]) <= {401, 429}
            and pulls(everywhere, cleo, without=0) == {401}
            and pulls(everywhere, dora, without=1) <= {401, 429}
        )

    eventually(gone, PROMISED, what="the end of what was taken, on every worker")
    assert time.monotonic() - begun < PROMISED
    assert everywhere.statuses("GET", MANIFEST, people["cleo"].credentials[0]) == [200] * WORKERS


def test_writes_stop_at_once_on_every_worker(everywhere: Everywhere) -> None:
    """Whatever a worker remembers of pulls, the first push after the change is refused."""
    person = make(everywhere, "anna")
    everywhere.admin("PUT", f"/projects/team/members/{person.member}", {"role_id": 2})
    start = "/v2/team/app/blobs/uploads/"
    for headers in person.credentials[:2]:
        assert everywhere.statuses("POST", start, headers) == [202] * WORKERS
        assert everywhere.statuses("GET", MANIFEST, headers) == [200] * WORKERS
    everywhere.admin("PUT", f"/projects/team/members/{person.member}", {"role_id": 3})
    for headers in person.credentials:
        assert everywhere.statuses("POST", start, headers) == [401] * WORKERS


def test_a_right_that_was_given_works_at_once_on_every_worker(everywhere: Everywhere) -> None:
    """Also at workers that refused the same pull a moment before."""
    person = make(everywhere, "anna")
    everywhere.admin("DELETE", f"/projects/team/members/{person.member}")
    eventually(lambda: pulls(everywhere, person) == {401}, PROMISED, what="the refusal")
    everywhere.admin("POST", "/projects/team/members", {"role_id": 3, "member_user": {"user_id": person.id}})
    assert pulls(everywhere, person) == {200}
