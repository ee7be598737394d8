"""The machine's clock jumps under a running registry: no data go for it, people are told, and it ends by itself.

The wall clock is libfaketime's, which reads its offset from a file; CLOCK_BOOTTIME is the kernel's own.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.http_client import Client, eventually
from tests.support.server import Server
from tests.support.tools import find_tool

GRACE = 5
CONFIG = {
    "auth": "accounts",
    "storage": {
        "delete": {"enabled": True},
        "maintenance": {"uploadpurging": {"enabled": True, "age": "1h", "interval": "1s", "dryrun": False}},
    },
    "lifecycle": {"grace": f"{GRACE}s", "trash": "1h"},
    "audit": {"retention": "48h"},
}


@dataclass(frozen=True)
class WallClock:
    """The clock of a server, which a test sets."""

    file: Path

    def ahead(self, days: int) -> None:
        """Set it so many days ahead of the right time."""
        written = self.file.with_suffix(".new")
        written.write_text(f"+{days}d\n" if days else "+0\n")
        written.replace(self.file)

    def environment(self, library: Path) -> dict[str, str]:
        """Return what lets a process follow it."""
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    """A clock that is right."""
    made = WallClock(tmp_path / "offset")
    made.ahead(0)
    return made


@pytest.fixture
def server(wall_clock: WallClock) -> Iterator[Server]:
    """A registry that goes by it, and keeps what was deleted for an hour."""
    (library,) = find_tool("faketime").parents[1].glob("lib/*/faketime/libfaketime.so.1")
    with Server(CONFIG, workers=1, env=wall_clock.environment(library)) as running:
        yield running


def sign_in(client: Client, name: str, password: str) -> int:
    """Try a password; return the answer's status."""
    basic = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    return Client(url=client.url, headers={"Authorization": basic}).request("GET", "/api/v2.0/users/current").status


def for_seconds(seconds: float, check: Callable[[], bool]) -> None:
    """Require that something stays true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert check()
        time.sleep(0.3)


def test_a_clock_ten_days_ahead_takes_nothing_away(server: Server, wall_clock: WallClock) -> None:
    """Trash, fresh blobs and open uploads stay until the clock agrees again, or somebody says that it is right."""
    client = Client.of(server)
    user = {"username": "dora", "password": "A-long-enough-1", "email": "d@example.org", "realname": "Dora"}
    headers = {"Content-Type": "application/json"}
    assert client.request("POST", "/api/v2.0/users", json.dumps(user).encode(), headers).status == 201
    digest = client.push_image("a/b", "gone")
    assert client.request("DELETE", f"/v2/a/b/manifests/{digest}").status == 202
    upload = client.request("POST", "/v2/a/b/blobs/uploads/").location
    assert client.request("PATCH", upload, b"half of it").status == 202
    blob = f"/v2/a/b/blobs/{client.push_blob('a/b', b'acknowledged a moment ago')}"
    wall_clock.ahead(10)

    def all_is_there() -> bool:
        statuses = [client.request("GET", blob).status, client.request("GET", upload).status]
        return statuses == [200, 204] and len(client.request("GET", "/api/v2.0/trash").json()) == 1

    server.wait_for_log("level=error msg=.the clock is 10 days ahead of what it should say")
    for _ in range(6):
        assert sign_in(client, "dora", "mistyped") in {401, 429}
    for_seconds(GRACE + 3, all_is_there)
    assert client.request("GET", "/readyz").json() == {"clock": "in doubt; nothing is removed for its age"}
    assert "10 days ahead" in server.run("clock", "show", "--data", str(server.data))
    alerts = client.request("GET", "/api/v2.0/auditlog-exts?q=operation=alert").json()
    assert len(alerts) == 1
    wall_clock.ahead(0)
    server.wait_for_log("the clock agrees again")
    eventually(lambda: sign_in(client, "dora", user["password"]) == 200, 10, "whoever mistyped a password gets in")
    eventually(lambda: client.request("GET", blob).status == 404, 30, "collection goes on")
    assert client.request("GET", "/readyz").json() == {}
    wall_clock.ahead(10)
    assert server.run("clock", "accept", "--data", str(server.data)) == "The clock is believed.\n"
    eventually(lambda: client.request("GET", "/api/v2.0/trash").json() == [], 30, "the trash is emptied")


@pytest.mark.full
def test_a_jump_while_it_is_stopped_is_noticed_at_the_start(server: Server, wall_clock: WallClock) -> None:
    """A stop is no jump; ten days more than CLOCK_BOOTTIME counted are one, for commands as for the server."""
    client = Client.of(server)
    digest = client.push_image("a/b", "gone")
    assert client.request("DELETE", f"/v2/a/b/manifests/{digest}").status == 202
    server.stop()
    time.sleep(3)
    server.start()
    assert "It is believed." in server.run("clock", "show", "--data", str(server.data))
    server.stop()
    wall_clock.ahead(10)
    assert "10 days ahead" in server.run("clock", "show", "--data", str(server.data))
    server.start()
    server.wait_for_log("level=error msg=.the clock is 10 days ahead of what it should say")
    client = Client.of(server)
    for_seconds(5, lambda: len(client.request("GET", "/api/v2.0/trash").json()) == 1)
    server.stop()
    wall_clock.ahead(0)
    server.start()
    server.wait_for_log("the clock agrees again")
