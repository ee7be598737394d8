"""`entrepot doctor` and the scrub beside a registry that serves."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from entrepot.oci.digest import Digest
from entrepot.registry.layout import blob_data
from tests.support.acknowledged import Ledger
from tests.support.damage import flip_a_bit
from tests.support.http_client import Client, eventually
from tests.support.server import Server
from tests.support.writers import Writer, client_of

MIB = 1 << 20
CONFIG = {"auth": {"none": {}}, "storage": {"delete": {"enabled": True}}}
IMAGE = "team/app"


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with an image in it."""
    with Server(CONFIG) as running:
        Client.of(running).push_image(IMAGE, "v1", b"a layer" * 20_000)
        yield running


def doctor(server: Server, *options: str) -> tuple[int, dict[str, Any]]:
    """Make a check-up; returns the exit code and the report."""
    command = [str(Path(sys.executable).parent / "entrepot"), "doctor", "--data", str(server.data), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def found(report: dict[str, Any]) -> list[tuple[str, str]]:
    """List what a report says."""
    return [(problem["what"], problem["outcome"]) for problem in report["problems"]]


def rot(file: Path) -> None:
    """Flip a bit as a disk does it: the file system knows nothing of it."""
    before = file.stat()
    flip_a_bit(file, before.st_size // 2)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_a_busy_registry_is_sound(server: Server) -> None:
    """Check-ups beside writers who push, and with repair, find nothing wrong, and break nothing."""
    ledger, stop = Ledger(), asyncio.Event()
    async with client_of(server.url) as session:
        writers = [asyncio.create_task(Writer(f"w{n}", ledger, Random(n), session).run(stop)) for n in range(3)]
        ways: tuple[tuple[str, ...], ...] = ((), ("--repair",), ("--sample", "5%"), ())
        reports = [await asyncio.to_thread(doctor, server, *options) for options in ways]
        stop.set()
        await asyncio.gather(*writers)
    assert [(code, found(report)) for code, report in reports] == [(0, [])] * 4
    assert reports[-1][1]["blobs"] > reports[0][1]["blobs"]
    assert ledger.refused == []


def test_rot_is_found_repaired_and_healed(server: Server) -> None:
    """A bit that flipped without a trace is found by reading; the next push of the image heals it."""
    client = Client.of(server)
    layer = b"a layer" * 20_000
    path = f"/v2/{IMAGE}/blobs/{Digest.of(layer)}"
    rot(server.data / blob_data(Digest.of(layer)))
    code, report = doctor(server)
    assert (code, found(report)) == (1, [("blob damaged", "found")])
    assert IMAGE in report["problems"][0]["detail"]
    assert client.request("HEAD", path).status == 200, "it only looked"
    code, report = doctor(server, "--repair")
    assert (code, found(report)) == (1, [("blob damaged", "out of sight")])
    assert {client.request(method, path).status for method in ("GET", "HEAD")} == {404}
    client.push_image(IMAGE, "v1", layer)
    assert client.request("GET", path).body == layer
    assert doctor(server)[0] == 0


def test_the_scrub_finds_rot_by_itself() -> None:
    """A registry that scrubs all the time takes a rotten blob out of sight, counts it and tells."""
    config = {**CONFIG, "integrity": {"scrub": {"interval": "1s", "age": "0", "rate": 0}}}
    config["http"] = {"debug": {"addr": "127.0.0.1:0", "prometheus": {"enabled": True}}}
    with Server(config) as server:
        client = Client.of(server)
        layer = os.urandom(MIB)
        path = f"/v2/{IMAGE}/blobs/{client.push_blob(IMAGE, layer)}"
        rot(server.data / blob_data(Digest.of(layer)))
        eventually(lambda: client.request("HEAD", path).status == 404, 60, "rot found by the scrub")
        eventually(lambda: "blob damaged" in server.logs(), 10, "the log of it")
        metrics = Client(url=server.debug_url)
        wanted = 'entrepot_damage_found_total{by="scrub",kind="blob damaged"} 1'
        eventually(lambda: wanted.encode() in metrics.request("GET", "/metrics").body, 30, wanted)
        client.push_blob(IMAGE, layer)
        assert client.request("GET", path).body == layer


def test_registry2s_files_are_completed(server: Server) -> None:
    """A link that somebody removed is named, and written again."""
    link = server.data / f"docker/registry/v2/repositories/{IMAGE}/_manifests/tags/v1/current/link"
    eventually(link.exists, 20, "the link is written")
    assert doctor(server)[0] == 0
    link.unlink()
    code, report = doctor(server)
    assert (code, found(report)) == (1, [("tag not in the files", "found")])
    code, report = doctor(server, "--repair")
    assert (code, found(report)) == (0, [("tag not in the files", "repaired")])
    assert link.exists()


def test_a_damaged_manifest_comes_back_from_registry2s_file(server: Server) -> None:
    """Its bytes are in the folder twice; while they are damaged nobody gets them."""
    client = Client.of(server)
    digest = client.push_image(IMAGE, "v2", b"another layer")
    eventually((server.data / blob_data(Digest.parse(digest))).exists, 20, "the manifest's file is written")
    eventually(lambda: doctor(server)[0] == 0, 20, "the links are written")
    server.stop()
    with closing(sqlite3.connect(server.data / "entrepot/metadata.db")) as database, database:
        database.execute("UPDATE manifest_contents SET content = X'7B7D' WHERE digest = ?", (digest,))
    server.start()
    assert client.request("GET", f"/v2/{IMAGE}/manifests/v2").status == 404
    code, report = doctor(server, "--repair")
    assert (code, found(report)) == (0, [("manifest damaged", "repaired")])
    assert client.request("GET", f"/v2/{IMAGE}/manifests/v2").status == 200
    assert doctor(server)[0] == 0


def test_a_damaged_database_is_named(server: Server) -> None:
    """Whatever SQLite says of its file is in the report, with the way out; the rest is looked at as far as it goes."""
    server.stop()
    with closing(sqlite3.connect(server.data / "entrepot/metadata.db")) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'ix_tags_manifest_id'")
    code, report = doctor(server)
    assert code == 1
    assert "database damaged" in {what for what, _ in found(report)}
    assert "restore it from a backup" in report["problems"][0]["detail"]


def test_it_reads_200_mb_a_second_on_one_core(server: Server) -> None:
    """By the processor's time, whatever else the machine has to do."""
    client = Client.of(server)
    for _ in range(4):
        client.push_blob(IMAGE, os.urandom(100 * MIB))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, report = doctor(server)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert code == 0
    assert report["bytes_read"] > 400 * MIB
    assert report["bytes_read"] / 1e6 / cpu > 200, "start and walk included"
