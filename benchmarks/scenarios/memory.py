"""Memory while many slow clients pull and push large blobs."""

from __future__ import annotations

import asyncio
import os
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


def memory(folder: Path) -> list[Outcome]:
    """200 throttled pulls and 50 throttled pushes at once, of blobs of 20 MB and of 200 MB."""
    return [_measure(folder / str(megabytes), megabytes) for megabytes in (20, 200)]


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
