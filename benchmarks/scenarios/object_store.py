"""Ours on PostgreSQL and docker-registry, both with their blobs in the same SeaweedFS."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks import asking, client, peers
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave, per_ten_thousand
from benchmarks.scenarios.images import copy_image, host_of
from benchmarks.scenarios.layouts import write_layout
from tests.support.object_stores import s3_values
from tests.support.postgres import running_postgres
from tests.support.seaweedfs import BUCKET, SeaweedFs, running_seaweedfs
from tests.support.store_faults import StoreProxy, store_proxy

_REPOSITORY: Final = "bench/objects"
_SCOPE: Final = f"repository:{_REPOSITORY}:pull,push"
_SECONDS: Final = 3
_ROUNDS: Final = 3
_LAYERS: Final = 8
_LAYER_BYTES: Final = 15_000_000
_SMALL_LAYERS: Final = 5
_LARGE: Final = 500_000_000
_ALONE: Final = "the library alone"


def object_store(folder: Path) -> list[Outcome]:
    """A manifest by tag, pushes, their requests to the store, and 500 MB that pass through, in and out."""
    with ExitStack() as stack:
        seaweedfs = stack.enter_context(running_seaweedfs())
        database = stack.enter_context(running_postgres())
        found = []
        with store_proxy("s3", seaweedfs.port) as ours, store_proxy("s3", seaweedfs.port) as theirs:
            proxies = {peers.OURS: ours, peers.REGISTRY2: theirs}
            with database.database() as url, ExitStack() as counted:
                ports = {name: proxy.port for name, proxy in proxies.items()}
                servers = _servers(counted, folder / "counted", seaweedfs, url, ports)
                found.append(_requests(folder, servers, proxies))
        url = stack.enter_context(database.database())
        servers = _servers(stack, folder / "direct", seaweedfs, url, {})
        found += [_manifests(servers), _pushes(folder, servers)]
        return found + _streams(folder, servers[0], seaweedfs)


def _servers(
    stack: ExitStack, folder: Path, seaweedfs: SeaweedFs, database: str, ports: Mapping[str, int]
) -> list[Server]:
    """Start ours and docker-registry, each on a root of its own; bytes pass through both."""
    folder.mkdir()

    def storage(name: str, **more: Any) -> dict[str, Any]:
        values = s3_values(seaweedfs) | more
        if name in ports:
            values["regionendpoint"] = f"http://127.0.0.1:{ports[name]}"
        return {"s3": values, "delete": {"enabled": True}, "redirect": {"disable": True}}

    ours = peers.entrepot(folder / "ours", scope=_SCOPE, database=database, storage=storage(peers.OURS))
    theirs = peers.registry2(folder / "peer", storage=storage(peers.REGISTRY2, secure=False, v4auth=True))
    return [stack.enter_context(ours), stack.enter_context(theirs)]


def _requests(folder: Path, servers: list[Server], proxies: Mapping[str, StoreProxy]) -> Outcome:
    """Count what a push of an image of five small layers asks of the store."""
    counter = iter(range(1000))

    def measure(server: Server) -> Sample:
        write_layout(folder / "small", [os.urandom(1_000_000) for _ in range(_SMALL_LAYERS)])
        proxy = proxies[server.name]
        proxy.seen.clear()
        before = server.cpu_seconds()
        _push(server, folder / "small", f"small{next(counter)}")
        return Sample(value=float(len(proxy.seen)), cpu=server.cpu_seconds() - before)

    outcome = Outcome(
        scenario=f"requests to S3 for a push of {_SMALL_LAYERS} layers (CPU: s)",
        unit="requests",
        more_is_better=False,
        target=f"<= {3 + 3 * _SMALL_LAYERS}",
    )
    return interleave(outcome, servers, measure, rounds=_ROUNDS)


def _manifests(servers: list[Server]) -> Outcome:
    """GET a manifest by tag over 16 connections."""
    for server in servers:
        client.push_image(server, _REPOSITORY, "latest", os.urandom(1000))

    def measure(server: Server) -> Sample:
        before = server.cpu_seconds()
        load = client.wrk(server, f"/v2/{_REPOSITORY}/manifests/latest", connections=16, seconds=_SECONDS)
        cpu = per_ten_thousand(server, before, load.requests)
        return Sample(value=load.rate, cpu=cpu, errors=load.errors, extra={"p99_ms": load.p99_ms})

    outcome = Outcome(scenario="GET manifest by tag, PostgreSQL and S3", unit="requests/s", target=">= 8 x")
    return interleave(outcome, servers, measure, rounds=_ROUNDS)


def _pushes(folder: Path, servers: list[Server]) -> Outcome:
    """Push an image of 8 layers of 15 MB each with Skopeo."""
    counter = iter(range(1000))

    def measure(server: Server) -> Sample:
        write_layout(folder / "image", [os.urandom(_LAYER_BYTES) for _ in range(_LAYERS)])
        before = server.cpu_seconds()
        seconds = _push(server, folder / "image", f"large{next(counter)}")
        return Sample(value=seconds, cpu=server.cpu_seconds() - before)

    name = "push of a 120 MB image by skopeo, PostgreSQL and S3 (CPU: s)"
    outcome = Outcome(scenario=name, unit="s", more_is_better=False, target=">= 1.2 x")
    return interleave(outcome, servers, measure, rounds=_ROUNDS)


def _push(server: Server, layout: Path, tag: str) -> float:
    seconds = copy_image(server, f"oci:{layout}:x", f"docker://{host_of(server)}/{_REPOSITORY}:{tag}", "dest")
    shutil.rmtree(layout)
    return seconds


def _streams(folder: Path, ours: Server, seaweedfs: SeaweedFs) -> list[Outcome]:
    """500 MB through the registry, beside what the same library does without one."""
    file, alone = folder / "large", Server(_ALONE, "", ours.process)
    digest = ""

    def into(server: Server) -> Sample:
        nonlocal digest
        digest = _new_file(file)
        if server is alone:
            return _by_library("in", seaweedfs, file)
        before = server.cpu_seconds()
        seconds = client.curl_upload(server, _REPOSITORY, file, digest)
        return Sample(value=_LARGE / 1e6 / seconds, cpu=server.cpu_seconds() - before)

    inwards = Outcome(scenario="500 MB into S3 (CPU: s)", unit="MB/s", target=">= 0.8 of the library")
    interleave(inwards, [alone, ours], into, rounds=_ROUNDS)

    def out(server: Server) -> Sample:
        if server is alone:
            return _by_library("out", seaweedfs, file)
        before = server.cpu_seconds()
        path = f"/v2/{_REPOSITORY}/blobs/{digest}"
        load = asking.bodies(server, path, connections=1, seconds=1)
        cpu = (server.cpu_seconds() - before) / load.requests
        return Sample(value=load.bytes_per_second / 1e6, cpu=cpu)

    outwards = Outcome(scenario="500 MB out of S3 (CPU: s)", unit="MB/s", target=">= 0.8 of the library")
    return [inwards, interleave(outwards, [alone, ours], out, rounds=_ROUNDS)]


def _by_library(direction: str, seaweedfs: SeaweedFs, file: Path) -> Sample:
    command = [sys.executable, "-m", "benchmarks.alone", direction, seaweedfs.url, BUCKET, "alone", str(file)]
    used = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Sample(value=_LARGE / 1e6 / used["seconds"], cpu=used["cpu"])


def _new_file(file: Path) -> str:
    """Write 500 MB that no server has seen, random only as far as it must be."""
    base, hasher = os.urandom(1_000_000), hashlib.sha256()
    with file.open("wb") as out:
        for number in range(_LARGE // len(base)):
            piece = number.to_bytes(8, "big") + base[8:]
            hasher.update(piece)
            out.write(piece)
    return f"sha256:{hasher.hexdigest()}"
