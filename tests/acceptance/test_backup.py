"""Backups of a registry that serves, by the commands; the drill for the day when the machine is lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from benchmarks.seed import write_registry2_tree
from entrepot.oci.digest import Digest
from entrepot.registry.layout import blob_data
from tests.support.acknowledged import Ledger
from tests.support.http_client import Client, eventually
from tests.support.server import Server
from tests.support.writers import Writer, client_of

OPEN = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}, "storage": {"delete": {"enabled": True}}}
MIB = 1 << 20


def entrepot(*words: str | Path, code: int = 0) -> str:
    """Run a command; returns what it printed."""
    command = [str(Path(sys.executable).parent / "entrepot"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout if code == 0 or done.stdout else done.stderr


def as_json(*words: str | Path, code: int = 0) -> Any:
    """Run a command that answers in JSON."""
    return json.loads(entrepot(*words, "--json", code=code))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Make a key as the help says."""
    path = tmp_path / "backup.key"
    path.write_text(
        subprocess.run(["openssl", "rand", "-base64", "32"], capture_output=True, text=True, check=True).stdout
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def disk() -> Iterator[Path]:
    """Make a folder for millions of files, which memory has no room for."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@asynccontextmanager
async def under_load(server: Server, ledger: Ledger) -> AsyncIterator[None]:
    """Let four writers push, and somebody delete, during the block."""
    stop = asyncio.Event()
    async with client_of(server.url) as session:
        writers = [Writer(f"w{n}", ledger, Random(n), session).run(stop) for n in range(4)]
        running = asyncio.gather(*writers, _push_and_delete(server, stop))
        try:
            yield
        finally:
            stop.set()
            await running


async def _push_and_delete(server: Server, stop: asyncio.Event) -> None:
    """Give the collector something to do all the time."""
    client, number = Client.of(server), 0
    while not stop.is_set():
        number += 1
        digest = await asyncio.to_thread(client.push_image, "gone/soon", f"v{number}", os.urandom(50_000))
        await asyncio.to_thread(client.request, "DELETE", f"/v2/gone/soon/manifests/{digest}")


async def test_the_drill(tmp_path: Path, key: Path) -> None:
    """A backup is made under load; the machine is lost; elsewhere, every image that had been acknowledged pulls."""
    backups, elsewhere = tmp_path / "backups", tmp_path / "elsewhere"
    config = {**OPEN, "lifecycle": {"trash": "0", "grace": "5s"}}
    ledger = Ledger()
    with Server(config) as server:
        async with under_load(server, ledger):
            await asyncio.sleep(3)
            first = await asyncio.to_thread(as_json, "backup", "create", backups, "--key", key, "--data", server.data)
            await asyncio.sleep(1)
            manifests, tags = set(ledger.manifests), set(ledger.tags)
            begun = time.monotonic()
            info = await asyncio.to_thread(as_json, "backup", "create", backups, "--key", key, "--data", server.data)
            seconds = time.monotonic() - begun
        assert ledger.refused == []
        family = server.family()
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        server.wait(10)
        psutil.wait_procs(family, timeout=10)
        shutil.rmtree(server.data)
    assert info["lost"] == first["lost"] == []
    assert info["new_blobs"] < info["blobs"]
    begun = time.monotonic()
    restored = as_json("backup", "restore", backups, elsewhere, "--key", key)
    print(
        f"{info['blobs']} blobs, {info['bytes'] / MIB:.0f} MiB; {seconds:.1f} s to back up, "
        f"{time.monotonic() - begun:.1f} s to restore"
    )
    assert (restored["backup"], restored["restored"], restored["lost"]) == (info["id"], info["blobs"], [])
    assert entrepot("doctor", "--data", elsewhere)
    with Server(config, data=elsewhere) as server:
        async with client_of(server.url) as session:
            kept = Ledger(manifests=manifests)
            assert await kept.check(session) == []
            for repository, tag in sorted(tags):
                async with session.get(f"/v2/{repository}/manifests/{tag}") as answer:
                    assert answer.status == 200
                    document = json.loads(await answer.read())
                for part in (document["config"], *document["layers"]):
                    async with session.get(f"/v2/{repository}/blobs/{part['digest']}") as answer:
                        assert str(Digest.of(await answer.read())) == part["digest"]
        Client.of(server).push_image("life/goes-on", "v1", b"after the disaster")
    assert len(manifests) > 20


def test_a_storage_that_is_newer_than_its_backup(tmp_path: Path) -> None:
    """Only the database is lost: what was pushed after the backup is found in the storage, offered, and taken in."""
    backups = tmp_path / "backups"
    with Server(OPEN) as server:
        client = Client.of(server)
        client.push_image("team/app", "v1", b"before")
        client.push_image("team/app", "moving", b"before")
        assert as_json("backup", "create", backups, "--data", server.data)["blobs"] == 2
        client.push_image("team/app", "v2", b"after")
        client.push_image("team/app", "moving", b"after")
        client.push_image("new/app", "v1", b"after, and elsewhere")
        link = server.data / "docker/registry/v2/repositories/new/app/_manifests/tags/v1/current/link"
        eventually(link.exists, 20, "the links are written")
        assert server.stop() == 0
        refused = entrepot("backup", "restore", backups, server.data, code=1)
        assert "there is a registry in" in refused
        (server.data / "entrepot/metadata.db").unlink()
        assert "--keep-storage keeps them" in entrepot("backup", "restore", backups, server.data, code=1)

        copy = shutil.copytree(server.data, tmp_path / "copy")
        told = as_json("backup", "restore", backups, copy, "--keep-storage")
        assert (told["kept"], told["restored"]) == (2, 0)
        assert told["newer"]["differences"] >= 4
        entrepot("adopt", "--delta", copy)
        assert entrepot("doctor", "--data", copy)

        taken = as_json("backup", "restore", backups, server.data, "--keep-storage", "--take-newer")
        assert (taken["newer"]["manifests"], taken["newer"]["tags"]) == (2, 3), "two tags share one"
        server.start()
        for path in ("team/app/manifests/v1", "team/app/manifests/v2", "new/app/manifests/v1"):
            assert client.request("GET", f"/v2/{path}").status == 200
        moving = client.request("GET", "/v2/team/app/manifests/moving").json()
        assert moving["layers"][0]["digest"] == str(Digest.of(b"after"))
        assert client.request("GET", f"/v2/new/app/blobs/{Digest.of(b'after, and elsewhere')}").status == 200
        assert entrepot("doctor", "--data", server.data)


def test_a_storage_with_damage_gets_its_bytes_from_the_backup(tmp_path: Path) -> None:
    """What is right stays, what is wrong or missing comes from the backup."""
    backups = tmp_path / "backups"
    with Server(OPEN) as server:
        client = Client.of(server)
        for number in range(3):
            client.push_image("team/app", f"v{number}", b"layer %d" % number * 30_000)
        entrepot("backup", "create", backups, "--data", server.data)
        server.stop()
        (server.data / blob_data(Digest.of(b"layer 0" * 30_000))).unlink()
        (server.data / blob_data(Digest.of(b"layer 1" * 30_000))).write_bytes(b"LAYER 1" * 30_000)
        (server.data / "entrepot/metadata.db").unlink()
        told = as_json("backup", "restore", backups, server.data, "--keep-storage")
        assert (told["kept"], told["restored"], told["lost"]) == (2, 2, [])
        server.start()
        for number in range(3):
            digest = Digest.of(b"layer %d" % number * 30_000)
            assert client.request("GET", f"/v2/team/app/blobs/{digest}").body == b"layer %d" % number * 30_000


def test_what_is_wrong_is_said_in_words(tmp_path: Path, key: Path) -> None:
    """Missing and flipped pieces by name, a key that others can read, a folder that is none: each with exit code 1."""
    backups = tmp_path / "backups"
    with Server(OPEN) as server:
        Client.of(server).push_image("team/app", "v1", os.urandom(100_000))
        told = entrepot("backup", "create", backups, "--data", server.data, "--key", key)
        assert "2 blobs" in told
        assert "not encrypted" not in told
    assert "not encrypted" not in entrepot("backup", "list", backups, "--key", key)
    assert "all there and right" in entrepot("backup", "verify", backups, "--key", key)
    assert "give its file with --key" in entrepot("backup", "verify", backups, code=1)
    key.chmod(0o644)
    assert "chmod 600" in entrepot("backup", "list", backups, "--key", key, code=1)
    key.chmod(0o600)
    piece = max((backups / "blobs").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    with piece.open("r+b") as file:
        file.seek(5000)
        file.write(b"!")
    found = as_json("backup", "verify", backups, "--key", key, code=1)
    assert [fault["name"] for fault in found[0]["faults"]] == [str(piece.relative_to(backups))]
    for words in (["verify", backups], ["restore", backups, tmp_path / "new"]):
        assert piece.name in entrepot("backup", *words, "--key", key, code=1)
    assert not (tmp_path / "new/entrepot/metadata.db").exists()
    assert "there is no folder" in entrepot("backup", "list", tmp_path / "nowhere", code=1)
    assert entrepot("backup", "prune", backups, "--key", key, code=2)
    assert stat.S_IMODE(backups.stat().st_mode) == 0o700


def test_backups_by_a_schedule(tmp_path: Path, key: Path) -> None:
    """The configuration says where, when and how many; a run of the job makes one and removes what is too much."""
    backups = tmp_path / "backups"
    section = {"target": str(backups), "key": str(key), "schedule": "*/5 * * * * *", "keep": {"last": 1, "daily": 0}}
    section["keep"] = {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}
    with Server({**OPEN, "backup": section}) as server:
        Client.of(server).push_image("team/app", "v1", b"layer")
        for _ in range(2):
            before = {path.name for path in (backups / "backups").glob("*")}
            eventually(lambda before=before: _complete(backups) - before != set(), 90, "a backup by the schedule")
        eventually(lambda: len(_complete(backups)) == 1, 20, "the older one is removed")
        assert "the registry, and remove" not in server.logs()
    assert entrepot("backup", "verify", backups, "--key", key)


def _complete(backups: Path) -> set[str]:
    return {path.parent.name for path in (backups / "backups").glob("*/info")}


def test_a_folder_that_is_being_taken_over_is_not_backed_up_yet(tmp_path: Path) -> None:
    """What is not known yet would be missing from the backup without a word."""
    data = tmp_path / "data"
    write_registry2_tree(data, repositories=2, tags=2)
    entrepot("adopt", data)
    with closing(sqlite3.connect(data / "entrepot/metadata.db")) as database, database:
        changed = database.execute("UPDATE settings SET value = 'adopting' WHERE value = 'complete'")
        assert changed.rowcount == 1
    refused = entrepot("backup", "create", tmp_path / "backups", "--data", data, code=1)
    assert "still being taken over" in refused


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_manifests_come_back_within_a_quarter_of_an_hour(disk: Path) -> None:
    """R19: from a folder of registry:2 with as many images, adopted, backed up and restored."""
    data, backups = disk / "data", disk / "backups"
    write_registry2_tree(data, repositories=1000, tags=100)
    entrepot("adopt", data)
    begun = time.monotonic()
    info = as_json("backup", "create", backups, "--data", data)
    created = time.monotonic() - begun
    begun = time.monotonic()
    restored = as_json("backup", "restore", backups, disk / "elsewhere")
    seconds = time.monotonic() - begun
    print(f"{info['blobs']} blobs: {created:.0f} s to back up, {seconds:.0f} s to restore")
    assert (restored["restored"], restored["lost"]) == (200_000, [])
    assert seconds <= 15 * 60
    found = as_json("doctor", "--data", disk / "elsewhere")
    assert (found["manifests"], found["problems"]) == (100_000, [])
