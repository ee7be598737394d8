"""What a question costs among ten thousand, a hundred thousand and a million images: processor time, not time.

The rows are inserted as a thousand repositories of a hundred projects; the first holds three in ten of all images.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import client, peers, seed
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave, per_ten_thousand

_SIZES: Final = (1_000_000, 10_000, 100_000)
_SECONDS: Final = 2
_ROUNDS: Final = 3
_FIRST: Final = "/api/v2.0/projects/p000/repositories/app0000/artifacts"
#: What is asked, by the names in the table. Three thousand images of the first repository are there at each size.
QUESTIONS: Final[Mapping[str, str]] = {
    "pull a manifest by tag": "/v2/p000/app0000/manifests/whole",
    "a page of 100 tags": "/v2/p000/app0000/tags/list?n=100&last=v0001000",
    "a page of 100 of the catalog": "/v2/_catalog?n=100&last=p050/app0550",
    "referrers": f"/v2/p000/app0000/referrers/sha256:{1:064x}",
    "100 repositories": "/api/v2.0/repositories?page_size=100&page=5",
    "repositories of a project": "/api/v2.0/projects/p000/repositories?page_size=100",
    "a search": "/api/v2.0/search?q=app00",
    "the latest 10 artifacts": _FIRST,
    "artifacts 901 to 1,000": f"{_FIRST}?page_size=100&page=10&with_tag=false",
    "the artifact of a tag": f"{_FIRST}?q=tags%3Dv0002000",
    "the latest artifacts of a project": "/api/v2.0/projects/p000/artifacts",
    "statistics": "/api/v2.0/statistics",
    "quota and usage of a project": "/api/v2.0/projects/p000/summary",
}


def growth(folder: Path) -> list[Outcome]:
    """Ask each question of a registry of each size; the others' processor time is to be two thirds of the largest's."""
    with ExitStack() as stack:
        servers = [_started(stack, folder, size) for size in _SIZES]
        return [_question(name, path, servers) for name, path in QUESTIONS.items()]


def _started(stack: ExitStack, folder: Path, size: int) -> Server:
    data = folder / f"images-{size}" / "data"
    seed.insert_images(seed.empty(data), size)
    server = stack.enter_context(peers.entrepot(data, workers=1))
    server.headers = {"Authorization": peers.basic("admin", peers.PASSWORD)}
    if size != max(_SIZES):
        server.name = f"{size:,}"
    return server


def _question(name: str, path: str, servers: list[Server]) -> Outcome:
    def measure(server: Server) -> Sample:
        before = server.cpu_seconds()
        load = client.wrk(server, path, connections=1, seconds=_SECONDS)
        cpu = per_ten_thousand(server, before, load.requests)
        return Sample(value=cpu / 10, cpu=cpu, errors=load.errors, extra={"p99_ms": load.p99_ms})

    outcome = Outcome(
        scenario=f"{name}, of 1,000,000 images", unit="CPU ms", more_is_better=False, target="0.67 (at most 1.5 x)"
    )
    return interleave(outcome, servers, measure, rounds=_ROUNDS)
