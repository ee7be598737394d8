"""Asking for tokens, as every client does before it pulls or pushes."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from benchmarks import client, peers
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave, per_ten_thousand

REPOSITORY = "bench/image"
_PATH = f"/token?service=entrepot&account=admin&scope=repository:{REPOSITORY}:pull,push"
_SECONDS = 4


def tokens(folder: Path) -> list[Outcome]:
    """GET a token over 16 connections with a password, and with an API key, that were right a moment ago."""
    with peers.entrepot(folder / "ours", scope=f"repository:{REPOSITORY}:pull,push", workers=1) as ours:
        client.push_image(ours, REPOSITORY, "latest", b"layer")
        found = []
        for kind, secret in (("password", peers.PASSWORD), ("API key", _key(ours))):
            ours.headers = {"Authorization": peers.basic("admin", secret)}
            name = f"GET /token, remembered {kind}"
            outcome = Outcome(scenario=name, unit="requests per CPU s", target=">= 2,000/s per core")
            found.append(interleave(outcome, [ours], _measure))
        return found


def _measure(server: Server) -> Sample:
    """Count what one core does: all processes of the server take part, so this is less than one worker's rate."""
    before = server.cpu_seconds()
    load = client.wrk(server, _PATH, connections=16, seconds=_SECONDS)
    cpu = per_ten_thousand(server, before, load.requests)
    return Sample(value=10_000 / cpu, cpu=cpu, errors=load.errors, extra={"rate": load.rate, "p99_ms": load.p99_ms})


def _key(server: Server) -> str:
    headers = {"Authorization": peers.basic("admin", peers.PASSWORD), "Content-Type": "application/json"}
    url = f"{server.url}/api/v2.0/users/current/keys"
    request = urllib.request.Request(url, data=b'{"name": "bench"}', method="POST", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["secret"])
