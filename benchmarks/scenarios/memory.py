"""Memory and processor time while nobody asks, and memory while many slow clients pull and push large blobs."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from benchmarks import client, peers
from benchmarks.processes import PeakMemory, Server
from benchmarks.rounds import Outcome, Sample

_REPOSITORY = "bench/memory"
_SCOPE = f"repository:{_REPOSITORY}:pull,push"
_PULLS = 200
_PUSHES = 50
_SECONDS = 15.0
_PIECE = 64 * 1024
_PAUSE = 0.1


#: After this time a server has done what it does after its start; and so long it is watched being idle.
_SETTLE_SECONDS = 20.0
_WATCH_SECONDS = 30.0


def memory(folder: Path) -> list[Outcome]:
    """Idle with two workers and with one; then 200 throttled pulls and 50 pushes at once, of 20 MB and of 200 MB."""
    idle = [outcome for workers in (2, 1) for outcome in _idle(folder / f"idle-{workers}", workers)]
    return idle + [_measure(folder / str(megabytes), megabytes) for megabytes in (20, 200)]


def _idle(folder: Path, workers: int) -> list[Outcome]:
    """Measure all processes together before and after the API was used, and what they compute meanwhile."""
    folder.mkdir()
    size = {2: "<= 120 MB", 1: "<= 80 MB"}[workers]
    what = f"idle, {workers} worker{'s' * (workers > 1)}"
    before, after, cpu = (
        Outcome(scenario=f"memory of all processes, {what}", unit="MB", more_is_better=False, target=size),
        Outcome(scenario=f"the same once the API was used, {what}", unit="MB", more_is_better=False, target=size),
        Outcome(scenario=f"processor time, {what}", unit="% of a core", more_is_better=False, target="<= 0.2 %"),
    )
    with ExitStack() as stack:
        ours = stack.enter_context(peers.entrepot(folder / "ours", workers=workers))
        peer = stack.enter_context(peers.registry2(folder / "peer"))
        time.sleep(_SETTLE_SECONDS)
        for server in (ours, peer):
            before.samples[server.name] = [Sample(value=server.memory() / 1e6)]
        client.call(ours, "GET", "/api/v2.0/projects", b"")
        used = {server.name: server.cpu_seconds() for server in (ours, peer)}
        time.sleep(_WATCH_SECONDS)
        for server in (ours, peer):
            after.samples[server.name] = [Sample(value=server.memory() / 1e6)]
            share = (server.cpu_seconds() - used[server.name]) / _WATCH_SECONDS
            cpu.samples[server.name] = [Sample(value=share * 100)]
    return [before, after, cpu]


def _measure(folder: Path, megabytes: int) -> Outcome:
    folder.mkdir()
    name = f"memory of the largest process, {_PULLS} slow pulls, {_PUSHES} slow pushes of {megabytes} MB"
    outcome = Outcome(scenario=name, unit="MB", more_is_better=False, target="<= 150 MB, flat")
    with ExitStack() as stack:
        ours = stack.enter_context(peers.entrepot(folder / "ours", scope=_SCOPE))
        peer = stack.enter_context(peers.registry2(folder / "peer"))
        for server in (ours, peer):
            digest = client.push_blob(server, _REPOSITORY, os.urandom(megabytes * 1_000_000))
            with PeakMemory(server, largest=True) as sampled:
                asyncio.run(_load(server, digest, megabytes * 1_000_000))
            outcome.samples[server.name] = [Sample(value=sampled.peak / 1e6)]
            outcome.memory[server.name] = sampled.peak
    return outcome


async def _load(server: Server, digest: str, size: int) -> None:
    pulls = [_pull(server, digest) for _ in range(_PULLS)]
    locations = [_start_upload(server) for _ in range(_PUSHES)]
    pushes = [_push(server, location, size) for location in locations]
    await asyncio.gather(*pulls, *pushes)


def _start_upload(server: Server) -> str:
    started = client.call(server, "POST", f"/v2/{_REPOSITORY}/blobs/uploads/", b"")
    location = started["Location"] if "Location" in started else started["location"]
    return urlsplit(urljoin(server.url, location))._replace(scheme="", netloc="").geturl()


async def _open(server: Server, request: str, **headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port, limit=_PIECE)
    lines = [
        request,
        f"Host: {host.netloc}",
        *(f"{key}: {value}" for key, value in {**server.headers, **headers}.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    return reader, writer


async def _pull(server: Server, digest: str) -> None:
    reader, writer = await _open(server, f"GET /v2/{_REPOSITORY}/blobs/{digest} HTTP/1.1")
    end = asyncio.get_running_loop().time() + _SECONDS
    while asyncio.get_running_loop().time() < end and await reader.read(_PIECE):  # noqa: ASYNC110 - a slow client
        await asyncio.sleep(_PAUSE)
    writer.close()


async def _push(server: Server, location: str, size: int) -> None:
    _, writer = await _open(server, f"PATCH {location} HTTP/1.1", **{"Content-Length": str(size)})
    piece = os.urandom(_PIECE)
    end = asyncio.get_running_loop().time() + _SECONDS
    sent = 0
    while asyncio.get_running_loop().time() < end and sent + _PIECE <= size:
        writer.write(piece)
        await writer.drain()
        sent += _PIECE
        await asyncio.sleep(_PAUSE)
    writer.close()
