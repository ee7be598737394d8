"""A disk that runs low is cleaned up by the registry itself, while pushes and pulls go on.

The test mounts a small tmpfs, which takes root's rights.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.bootstrap.retention import disks_of
from entrepot.config import load
from entrepot.registry import layout
from entrepot.system.volumes import volume_of
from tests.support.http_client import Client, eventually
from tests.support.mounts import free_bytes, small_disk
from tests.support.server import Server

MIB = 1 << 20
SIZE = 96 * MIB
CONFIG = {
    "auth": "accounts",
    "storage": {"delete": {"enabled": True}},
    "lifecycle": {"grace": "1s", "trash": "168h", "watermark": {"low": 20, "high": 40}},
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MiB."""
    with small_disk(tmp_path / "disk", f"size={SIZE}") as folder:
        yield folder


@pytest.fixture
def server(disk: Path) -> Iterator[Server]:
    """A registry on it that cleans up below 20 % of free space, and up to 40 %."""
    with Server(CONFIG, data=disk / "data", workers=1) as running:
        yield running


def percent(disk: Path) -> float:
    """Say how much of the disk is free."""
    return 100 * free_bytes(disk) / SIZE


def push(client: Client, tag: str, mebibytes: int) -> None:
    """Push an image that nothing else shares its bytes with."""
    client.push_image("team/app", tag, os.urandom(mebibytes * MIB))


def tags_of(client: Client) -> list[str]:
    """Say which tags there are."""
    found: list[str] = client.request("GET", "/v2/team/app/tags/list").json()["tags"]
    return found


def test_the_disk_is_cleaned_up_while_pushes_go_on(server: Server, disk: Path) -> None:
    """Filled to 95 %: the trash goes first, then what the scheduled policy does not keep; pushes go on all the time."""
    client = Client.of(server)
    for number in range(3):
        push(client, f"old-{number}", 4)
        assert client.request("DELETE", f"/v2/team/app/manifests/old-{number}").status == 202
    number = 0
    while percent(disk) > 25:
        push(client, f"v{number:02}", 2)
        number += 1
    assert client.request("GET", "/api/v2.0/audit-logs?q=operation=alert").json() == []
    project = client.request("GET", "/api/v2.0/projects/team").json()["project_id"]
    keep = {
        "template": "latestPushedK",
        "params": {"latestPushedK": 5},
        "tag_selectors": [{"decoration": "matches", "pattern": "v*"}],
        "scope_selectors": {"repository": [{"decoration": "repoMatches", "pattern": "app"}]},
    }
    policy = {
        "rules": [keep],
        "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 0 1 1 *"}},
        "scope": {"level": "project", "ref": project},
    }
    body = json.dumps(policy).encode()
    made = client.request("POST", "/api/v2.0/retentions", body, {"Content-Type": "application/json"})
    assert made.status == 201, made
    while percent(disk) > 5:
        push(client, f"v{number:02}", 2)
        number += 1
    fullest = percent(disk)

    def is_clean() -> bool:
        client.push_image("team/other", "while-cleaning", b"the same again")
        return percent(disk) >= 40

    eventually(is_clean, 60)
    assert fullest <= 5
    left = tags_of(client)
    assert len(left) <= 6, left
    assert f"v{number - 1:02}" in left
    assert client.request("GET", f"/v2/team/app/manifests/v{number - 1:02}").status == 200
    alerts = client.request("GET", "/api/v2.0/auditlog-exts?q=operation=alert").json()
    assert len(alerts) >= 1
    (run,) = client.request("GET", f"{made.headers['location']}/executions").json()
    assert (run["trigger"], run["status"]) == ("EVENT", "Success")


def test_the_disk_of_the_blobs_is_looked_at_where_it_is_another(disk: Path, tmp_path: Path) -> None:
    """Linked from the root as the start advises: the blobs' own disk counts, and that of the databases beside it."""
    root = tmp_path / "root"
    for name in (layout.BLOBS, layout.UPLOADS):
        link = root / name
        link.parent.mkdir(parents=True)
        (disk / link.name).mkdir()
        link.symlink_to(disk / link.name)
    disks = disks_of(load(None, {}, data=root).config)
    assert [one.name for one in disks] == ["blobs", "metadata"]
    blobs, metadata = [asyncio.run(one.space()) for one in disks]
    assert blobs.total == asyncio.run(volume_of(root)).total == SIZE
    assert metadata.total != SIZE
