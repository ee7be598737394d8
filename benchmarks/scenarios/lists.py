"""Pages of long lists: the answer's time must not depend on how much is stored."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from benchmarks import client, peers, seed
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave, per_ten_thousand

_SECONDS = 3


def lists(folder: Path) -> list[Outcome]:
    """A page of 100 tags of 1,000 and of 100,000; a page of the catalog of 100,000 repositories."""
    return [
        _tags(folder, 1_000),
        _tags(folder, 100_000),
        _catalog(folder, 100_000),
    ]


def _tags(folder: Path, count: int) -> Outcome:
    data = folder / f"tags-{count}"
    seed.insert_tags(data, count)
    path = f"/v2/bench/tags/tags/list?n=100&last=tag-{count // 2:07d}"
    return _page(f"page of 100 tags of {count:,}", data, path, "repository:bench/tags:pull")


def _catalog(folder: Path, count: int) -> Outcome:
    data = folder / f"catalog-{count}"
    seed.insert_repositories(data, count)
    path = f"/v2/_catalog?n=100&last=bench/r{count // 2:07d}"
    return _page(f"catalog page of 100 of {count:,}", data, path, "registry:catalog:*")


def audit(folder: Path) -> list[Outcome]:
    """A page of 100 of the audit log, the newest and one person's, of 1,000 and of 10,000,000 events."""
    found = []
    for count in (1_000, 10_000_000):
        data = folder / f"events-{count}"
        seed.insert_events(data, count)
        for what, query in (("", ""), (" of one person", "&q=username=user7")):
            path = f"/api/v2.0/auditlog-exts?page_size=100{query}"
            found.append(_page(f"audit page of 100 of {count:,}{what}", data, path, "", target="the same at each"))
    return found


def _page(name: str, data: Path, path: str, scope: str, target: str = "<= 5 ms") -> Outcome:
    """Load one page; without a scope, as the administrator by name and password."""
    with ExitStack() as stack:
        ours = stack.enter_context(peers.entrepot(data, scope=scope))
        if not scope:
            ours.headers = {"Authorization": peers.basic("admin", peers.PASSWORD)}

        def measure(server: Server) -> Sample:
            before = server.cpu_seconds()
            load = client.wrk(server, path, connections=4, seconds=_SECONDS)
            cpu = per_ten_thousand(server, before, load.requests)
            return Sample(value=load.p99_ms, cpu=cpu, errors=load.errors, extra={"rate": load.rate})

        outcome = Outcome(scenario=f"{name}: p99", unit="ms", more_is_better=False, target=target)
        return interleave(outcome, [ours], measure)
