"""What changes in a directory is in force here by itself: no sign-in and no command has to come first."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_client import Client, eventually
from tests.support.server import Server
from tests.support.slapd import Slapd, group_dn, password_of, slapd, user_dn

#: Seconds between two runs here, in place of the three minutes of the default.
INTERVAL = 10
#: A run, and what workers remember of accounts and rights.
PATIENCE = 60.0


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Slapd]:
    """Run OpenLDAP with a few people and groups."""
    with slapd(tmp_path / "slapd") as server:
        yield server


@pytest.fixture
def server(directory: Slapd) -> Iterator[Server]:
    """Run a registry that synchronises with it."""
    section = directory.section(sync={"interval": f"{INTERVAL}s"})
    with Server({"auth": "accounts", "access": {"ldap": section}}) as running:
        yield running


def basic(name: str, secret: str) -> dict[str, str]:
    """Return an Authorization header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def ask(server: Server, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Ask the management API, as the administrator unless told otherwise."""
    encoded = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    answer = Client.of(server).request(method, f"/api/v2.0{path}", encoded, sent)
    assert answer.status < 300, (method, path, answer)
    return json.loads(answer.body) if answer.body else None


def statuses(server: Server, path: str, headers: Mapping[str, str]) -> set[int]:
    """Ask often enough to meet both workers."""
    client = Client(url=server.url, headers=dict(headers))
    return {client.request("GET", path).status for _ in range(12)}


def test_who_leaves_the_directory_or_a_group_is_out_by_itself(server: Server, directory: Slapd) -> None:
    """Keys of somebody who was removed are refused, and the right of a group ends with the place in it."""
    Client.of(server).push_image("team/app", "1")
    group = {"group_name": "devs", "group_type": 1, "ldap_group_dn": group_dn("devs")}
    ask(server, "POST", "/projects/team/members", {"role_id": 3, "member_group": group})
    keys = {}
    for name in ("alice", "bob"):
        own = basic(name, password_of(name))
        keys[name] = basic(name, ask(server, "POST", "/users/current/keys", {"name": "laptop"}, own)["secret"])
        assert statuses(server, "/v2/team/app/manifests/1", keys[name]) == {200}
    directory.modify(f"dn: {group_dn('devs')}\nchangetype: modify\ndelete: member\nmember: {user_dn('alice')}\n")
    directory.delete(user_dn("bob"))

    def out() -> bool:
        reads = statuses(server, "/v2/team/app/manifests/1", keys["alice"])
        return reads == {401} and statuses(server, "/v2/", keys["bob"]) == {401}

    eventually(out, PATIENCE, what="the end of what the directory took away")
    assert statuses(server, "/v2/", keys["alice"]) == {200}
    assert statuses(server, "/v2/", basic("bob", password_of("bob"))) <= {401, 429}
