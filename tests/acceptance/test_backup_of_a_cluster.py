"""Backups of a registry whose metadata are in PostgreSQL and whose blobs are in S3, and what leads back from them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import images
from tests.support.http_client import Client, eventually
from tests.support.object_stores import s3_values
from tests.support.postgres import PostgresServer
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import ADMIN_PASSWORD, SECRET_KEY, Server
from tests.support.tools import find_tool

ADMIN = f"admin:{ADMIN_PASSWORD}"
TYPE = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
OTHER_KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="


@dataclass
class Place:
    """A database and a bucket, and the configuration that names them."""

    database: str
    values: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """Give the sections of a configuration."""
        return {"storage": {"s3": self.values, "delete": {"enabled": True}}, **self.more}

    def server(self, **options: Any) -> Server:
        """Make a node."""
        return Server(self.config, database=self.database, workers=1, **options)


def entrepot(
    *words: str | Path, env: dict[str, str] | None = None, code: int = 0, config: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    where = [] if config is None else ["--config", str(config)]
    command = [str(Path(sys.executable).parent / "entrepot"), *where, *map(str, words)]
    environment = {**os.environ, "ENTREPOT_SECRET_KEY": SECRET_KEY, **(env or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def config_file(folder: Path, place: Place) -> Path:
    """Write a configuration for commands, which no server uses yet."""
    folder.mkdir(exist_ok=True)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump({"version": "0.1", "metadata": {"url": place.database}, **place.config}))
    path.chmod(0o600)
    return path


@contextmanager
def pushing(server: Server, layout: Path) -> Iterator[dict[str, str]]:
    """Let skopeo push beside the block; gives the tags that were acknowledged so far, with their digests."""
    acknowledged: dict[str, str] = {}
    stop = threading.Event()
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]

    def push() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"team/app{number % 3}"
            words = ["--dest-tls-verify=false", "--dest-creds", ADMIN, "--quiet", "--preserve-digests"]
            at = f"docker://{server.address}/{name}:n{number}"
            subprocess.run([find_tool("skopeo"), "copy", *words, f"oci:{layout}:latest", at], check=True, timeout=60)
            acknowledged[f"{name}:n{number}"] = digest
            Client.of(server).push_image("team/own", f"n{number}", os.urandom(200_000))

    running = threading.Thread(target=push)
    running.start()
    try:
        eventually(lambda: len(acknowledged) >= 2, 30, "two pushes")
        yield acknowledged
    finally:
        stop.set()
        running.join(60)


def digests(server: Server) -> dict[str, str]:
    """Pull every tag with every blob; gives the digests."""
    client, found = Client.of(server), {}
    for repository in client.request("GET", "/v2/_catalog?n=1000").json()["repositories"]:
        for tag in client.request("GET", f"/v2/{repository}/tags/list?n=10000").json()["tags"] or []:
            answer = client.request("GET", f"/v2/{repository}/manifests/{tag}", None, TYPE)
            assert answer.status == 200, (repository, tag, answer.status)
            found[f"{repository}:{tag}"] = str(answer.headers["docker-content-digest"])
            for part in (answer.json()["config"], *answer.json()["layers"]):
                head = client.request("HEAD", f"/v2/{repository}/blobs/{part['digest']}")
                assert (head.status, head.headers["content-length"]) == (200, str(part["size"]))
    return found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Make a key for backups."""
    path = tmp_path / "backup.key"
    path.write_bytes(subprocess.run(["openssl", "rand", "-base64", "32"], check=True, capture_output=True).stdout)
    path.chmod(0o600)
    return path


def test_a_cluster_is_lost_and_brought_back(
    postgres: PostgresServer, seaweedfs: SeaweedFs, tmp_path: Path, key: Path
) -> None:
    """Backed up into a bucket while skopeo pushes; then straight into an empty database and an empty bucket.

    With another secret key nothing is brought back, and no node starts on what is half done. Afterwards digests, use,
    the audit chain and every byte are right, and a job backs it up again.
    """
    images.busybox(tmp_path / "layout")
    target = "s3://{bucket}{rootdirectory}".format(**s3_values(seaweedfs))
    with postgres.database() as first, postgres.database() as second:
        lost, new = Place(first, s3_values(seaweedfs)), Place(second, s3_values(seaweedfs))
        with lost.server() as server:
            with pushing(server, tmp_path / "layout") as acknowledged:
                before = dict(acknowledged)
                config = server.folder / "config.yml"
                made = json.loads(
                    entrepot(
                        "backup", "create", target, "--key", key, "--json", config=config, env=server.environment()
                    ).stdout
                )
            assert made["lost"] == []
            server.kill()
        config = config_file(tmp_path / "new", new)
        restore = ("backup", "restore", target, "--key", key)
        refused = entrepot(*restore, config=config, env={"ENTREPOT_SECRET_KEY": OTHER_KEY}, code=1)
        assert "were sealed with the secret key" in refused.stderr
        half = entrepot("serve", "--listen", "127.0.0.1:0", config=config, code=1)
        assert "has not come to its end" in half.stdout + half.stderr
        restored = json.loads(entrepot(*restore, "--json", config=config).stdout)
        assert (restored["lost"], restored["restored"]) == ([], made["blobs"])
        new.more = {"backup": {"target": target, "key": str(key), "s3": new.values}}
        with new.server() as server:
            found = digests(server)
            assert before.items() <= found.items()
            assert_whole(server)
            server.run("--config", str(server.folder / "config.yml"), "job", "start", "backup", "--watch")
    listed = json.loads(entrepot("backup", "list", target, "--key", key, "--json", config=config).stdout)
    assert [(one["blobs"], one["new_blobs"]) for one in listed[1:]] == [(made["blobs"], 0)]


def assert_whole(server: Server) -> None:
    """Look at everything that can be looked at: rows, sums, every byte, and the seals of the audit log."""
    where = ("--config", str(server.folder / "config.yml"))
    server.run(*where, "doctor")
    server.run(*where, "audit", "verify")


@pytest.mark.full
def test_a_cluster_comes_back_by_way_of_a_folder(
    postgres: PostgresServer, seaweedfs: SeaweedFs, tmp_path: Path, key: Path
) -> None:
    """Into a folder with SQLite, which serves it all; from there into PostgreSQL and a bucket while it serves."""
    target, folder = str(tmp_path / "backups"), tmp_path / "folder"
    with postgres.database() as first, postgres.database() as second:
        lost, new = Place(first, s3_values(seaweedfs)), Place(second, s3_values(seaweedfs))
        with lost.server() as server:
            for number in range(3):
                Client.of(server).push_image("team/own", f"n{number}", os.urandom(9 << 20))
            before = digests(server)
            entrepot("backup", "create", target, "--key", key, config=server.folder / "config.yml")
            server.kill()
        entrepot("backup", "restore", target, folder, "--key", key)
        given = {"ENTREPOT_SECRET_KEY": SECRET_KEY}
        with Server({"storage": {"delete": {"enabled": True}}}, data=folder, env=given) as server:
            assert digests(server) == before
            assert_whole(server)
            moved = entrepot(
                "db",
                "move",
                "--json",
                config=server.folder / "config.yml",
                env={**server.environment(), "ENTREPOT_MOVE_TO": second},
            )
            assert json.loads(moved.stdout)
        both = {"s3": new.values, "also": {"filesystem": {"rootdirectory": str(folder)}}, "delete": {"enabled": True}}
        with Server({"storage": both}, database=second) as server:
            assert digests(server) == before
            said = server.run("--config", str(server.folder / "config.yml"), "storage", "move")
            assert "moved 4 blobs" in said
        with new.server() as server:
            assert digests(server) == before
            assert_whole(server)


@pytest.mark.full
def test_only_the_database_of_a_cluster_is_lost(
    postgres: PostgresServer, seaweedfs: SeaweedFs, tmp_path: Path, key: Path
) -> None:
    """The bucket stays: what was collected since comes from the backup, what was pushed since is named by `doctor`."""
    target, values = str(tmp_path / "backups"), s3_values(seaweedfs)
    soon = {"lifecycle": {"trash": "0s", "grace": "1s"}}
    with postgres.database() as first, postgres.database() as second:
        lost, new = Place(first, values, dict(soon)), Place(second, values, dict(soon))
        with lost.server() as server:
            config, client = server.folder / "config.yml", Client.of(server)
            client.push_image("team/own", "kept", b"kept")
            gone = client.push_image("team/own", "gone", b"deleted since")
            before = digests(server)
            entrepot("backup", "create", target, "--key", key, config=config)
            assert client.request("DELETE", f"/v2/team/own/manifests/{gone}").status == 202
            server.run("gc", "--now", "--config", str(config))
            since = client.push_image("team/own", "since", b"pushed since")
            server.kill()
        config = config_file(tmp_path / "new", new)
        restore = ("backup", "restore", target, "--key", key)
        assert "--keep-storage" in entrepot(*restore, config=config, code=1).stderr
        restored = json.loads(entrepot(*restore, "--keep-storage", "--json", config=config).stdout)
        assert (restored["restored"], restored["lost"]) == (1, [])
        found = json.loads(entrepot("doctor", "--json", config=config).stdout)
        assert (found["problems"], found["stray"]) == ([], 1)
        with new.server() as server:
            client = Client.of(server)
            assert digests(server) == before
            assert client.request("GET", f"/v2/team/own/manifests/{since}").status == 404
            assert client.push_image("team/own", "since", b"pushed since") == since
            assert_whole(server)


@pytest.mark.full
def test_a_backup_from_a_folder_comes_back_into_postgresql(postgres: PostgresServer, tmp_path: Path, key: Path) -> None:
    """Backed up with SQLite, brought back into PostgreSQL and a folder, with registry:2's files."""
    target, folder = str(tmp_path / "backups"), tmp_path / "folder"
    with Server({}, env={"ENTREPOT_SECRET_KEY": SECRET_KEY}) as server:
        Client.of(server).push_image("team/own", "one", b"layer")
        before = digests(server)
        entrepot("backup", "create", target, "--key", key, config=server.folder / "config.yml")
        server.kill()
    with postgres.database() as url:
        path = tmp_path / "config.yml"
        storage = {"filesystem": {"rootdirectory": str(folder)}}
        path.write_text(yaml.safe_dump({"version": "0.1", "metadata": {"url": url}, "storage": storage}))
        path.chmod(0o600)
        entrepot("backup", "restore", target, "--key", key, config=path)
        links = folder / "docker" / "registry" / "v2" / "repositories" / "team" / "own"
        assert (links / "_manifests" / "tags" / "one" / "current" / "link").exists()
        assert not list((folder / "entrepot").glob("*.db*"))
        with Server({}, data=folder, database=url) as server:
            assert digests(server) == before
            assert_whole(server)
