"""Pulling: manifests, blobs, ranges."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import asking, client, peers
from benchmarks.client import Load
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave, per_ten_thousand
from tests.support.postgres import running_postgres

REPOSITORY = "bench/image"
_SCOPE = f"repository:{REPOSITORY}:pull,push"
_SECONDS = 4
_LARGE = 100_000_000
_CUTS = 320
_RANGES = Path(__file__).parent.parent / "ranges.lua"


def _sample(server: Server, before: float, load: Load, value: float) -> Sample:
    cpu = per_ten_thousand(server, before, load.requests)
    return Sample(value=value, cpu=cpu, errors=load.errors, extra={"p99_ms": load.p99_ms})


def pull_manifest(folder: Path) -> list[Outcome]:
    """GET a manifest by tag over 16 connections; beside it a file of nginx, and the server that ours runs on alone.

    Ours writes its access log and asks for a token, the others do neither.
    """
    static = folder / "static"
    static.mkdir()
    (static / "latest").write_bytes(os.urandom(600))
    with ExitStack() as stack:
        ours = stack.enter_context(peers.entrepot(folder / "ours", scope=_SCOPE))
        peer = stack.enter_context(peers.registry2(folder / "peer"))
        for server in (ours, peer):
            client.push_image(server, REPOSITORY, "latest", os.urandom(1000))
        limits = [stack.enter_context(peers.nginx(static)), stack.enter_context(peers.bare(folder / "bare"))]

        def measure(server: Server) -> Sample:
            path = "/latest" if server in limits else f"/v2/{REPOSITORY}/manifests/latest"
            before = server.cpu_seconds()
            load = client.wrk(server, path, connections=16, seconds=_SECONDS)
            return _sample(server, before, load, load.rate)

        target = "0.38 s of CPU for 10,000"
        outcome = Outcome(scenario="GET manifest by tag, 16 connections", unit="requests/s", target=target)
        return [interleave(outcome, [ours, peer, *limits], measure)]


def pull_postgresql(folder: Path) -> list[Outcome]:
    """GET a manifest by tag with the metadata in SQLite and in PostgreSQL, which runs on the same processors."""
    with ExitStack() as stack:
        database = stack.enter_context(stack.enter_context(running_postgres()).database())
        sqlite = stack.enter_context(peers.entrepot(folder / "sqlite", scope=_SCOPE))
        server = peers.entrepot(folder / "server", scope=_SCOPE, database=database, name=peers.ON_POSTGRESQL)
        ours = [sqlite, stack.enter_context(server)]
        for each in ours:
            client.push_image(each, REPOSITORY, "latest", os.urandom(1000))
        found = []
        for connections in (16, 64):

            def measure(server: Server, connections: int = connections) -> Sample:
                before = server.cpu_seconds()
                path = f"/v2/{REPOSITORY}/manifests/latest"
                load = client.wrk(server, path, connections=connections, seconds=_SECONDS)
                return _sample(server, before, load, load.rate)

            name = f"GET manifest by tag, {connections} connections, PostgreSQL"
            outcome = Outcome(scenario=name, unit="requests/s", target="<= 1.6 x SQLite's CPU")
            found.append(interleave(outcome, ours, measure))
        return found


def small_blob(folder: Path) -> list[Outcome]:
    """HEAD and GET a blob of 1 kB over 16 connections."""
    with ExitStack() as stack:
        ours = stack.enter_context(peers.entrepot(folder / "ours", scope=_SCOPE))
        peer = stack.enter_context(peers.registry2(folder / "peer"))
        content = os.urandom(1000)
        digests = {server.name: client.push_blob(server, REPOSITORY, content) for server in (ours, peer)}
        found = []
        for method, tool in (("HEAD", asking.heads), ("GET", client.wrk)):

            def measure(server: Server, tool: Callable[..., Load] = tool) -> Sample:
                before = server.cpu_seconds()
                path = f"/v2/{REPOSITORY}/blobs/{digests[server.name]}"
                load = tool(server, path, connections=16, seconds=_SECONDS)
                return _sample(server, before, load, load.rate)

            name = f"{method} blob of 1 kB, 16 connections"
            outcome = Outcome(scenario=name, unit="requests/s", target=">= 15 x")
            found.append(interleave(outcome, [ours, peer], measure))
        return found


def _three_servers(stack: ExitStack, folder: Path) -> tuple[list[Server], dict[str, str]]:
    """Start ours, registry:2 and nginx over the same large blob; return them with the path of the blob on each."""
    ours = stack.enter_context(peers.entrepot(folder / "ours", scope=_SCOPE))
    peer = stack.enter_context(peers.registry2(folder / "peer"))
    content = os.urandom(_LARGE)
    digest = client.digest_of(content)
    for server in (ours, peer):
        client.push_blob(server, REPOSITORY, content)
    static = stack.enter_context(peers.nginx(folder / "ours" / "docker/registry/v2/blobs/sha256"))
    encoded = digest.removeprefix("sha256:")
    blob = f"/v2/{REPOSITORY}/blobs/{digest}"
    paths = {ours.name: blob, peer.name: blob, static.name: f"/{encoded[:2]}/{encoded}/data"}
    return [ours, peer, static], paths


def large_blob(folder: Path) -> list[Outcome]:
    """GET a blob of 100 MB over 4 connections."""
    with ExitStack() as stack:
        servers, paths = _three_servers(stack, folder)

        def measure(server: Server) -> Sample:
            before = server.cpu_seconds()
            load = asking.bodies(server, paths[server.name], connections=4, seconds=_SECONDS)
            return _sample(server, before, load, load.bytes_per_second / 1e6)

        outcome = Outcome(scenario="GET blob of 100 MB, 4 connections", unit="MB/s", target=">= 1.3 x, >= 1.0 x nginx")
        return [interleave(outcome, servers, measure)]


def ranges(folder: Path) -> list[Outcome]:
    """GET 64 KiB from random places of a blob of 100 MB."""
    with ExitStack() as stack:
        servers, paths = _three_servers(stack, folder)

        def measure(server: Server) -> Sample:
            before = server.cpu_seconds()
            load = client.wrk(server, paths[server.name], connections=16, seconds=_SECONDS, script=_RANGES)
            return _sample(server, before, load, load.rate)

        outcome = Outcome(scenario="random ranges of 64 KiB, 16 connections", unit="requests/s", target=">= 3 x")
        return [interleave(outcome, servers, measure)]


def cut_ranges(folder: Path) -> list[Outcome]:
    """Open-ended ranges, 8 at a time, each cut by the client after 1 MB, as lazy pullers do."""
    with ExitStack() as stack:
        servers, paths = _three_servers(stack, folder)

        def measure(server: Server) -> Sample:
            before = server.cpu_seconds()
            starts = [number * 200_000 for number in range(_CUTS)]
            load = asking.cut_ranges(server, paths[server.name], starts, connections=8, at_most=1_000_000)
            return _sample(server, before, load, load.rate)

        outcome = Outcome(scenario="open-ended ranges, 8 at once, cut after 1 MB", unit="requests/s", target=">= 3 x")
        return [interleave(outcome, servers, measure)]
