"""Reclaiming what was deleted, while pushes and pulls go on; and how long a deletion takes."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from benchmarks import client, peers, seed
from benchmarks.processes import Server
from benchmarks.rounds import ROUNDS, Outcome, Sample, interleave
from entrepot.registry.layout import OWN
from entrepot.registry.locks import COLLECTION, PROJECTION

_REPOSITORIES = 200
_TAGS = 100
_LARGER = 10
_DELETES_A_ROUND = 40
#: In this time registry:2's files follow a deletion.
_PROJECTION_SECONDS = 2.0
#: Seconds after which a lock is held by the process that stands still, and not by one that works.
_MOMENT = 0.5
_LET_THE_GRACE_END = """
    UPDATE blobs SET review_after = 1 WHERE id IN (
        SELECT subject_id FROM review_queue WHERE kind = 'blob' AND reason = 'manifest deleted');
    UPDATE review_queue SET review_after = 1 WHERE reason = 'manifest deleted';
"""
_DATABASES = ("metadata.db", "work.db")
_SCOPE = "repository:bench/live:pull,push"


def gc(folder: Path) -> list[Outcome]:
    """Delete 1 % of 20,000 tagged images (60,000 blobs) and collect, ours with writers and readers at work."""
    name = f"collection after 1 % of {_REPOSITORIES * _TAGS:,} images was deleted"
    outcome = Outcome(scenario=f"{name} (CPU: s)", unit="s", more_is_better=False, target="<= 1 s")
    statements = _statements(_REPOSITORIES * _TAGS)
    _collect_ours(folder / "ours", outcome, statements)
    peer = folder / "peer"
    seed.write_registry2_tree(peer, repositories=_REPOSITORIES, tags=_TAGS)
    with peers.registry2(peer) as server:
        _delete(server, 0)
    outcome.samples[peers.REGISTRY2] = [_garbage_collect(peer)] * len(outcome.samples[peers.OURS])
    return [outcome, statements]


def gc_large(folder: Path) -> list[Outcome]:
    """Delete as many of ten times as many images: the work is what was deleted, not what is stored."""
    images = _REPOSITORIES * _TAGS * _LARGER
    name = f"collection after {_REPOSITORIES} of {images:,} images were deleted (CPU: s)"
    outcome = Outcome(scenario=name, unit="s", more_is_better=False, target="as of 20,000")
    statements = _statements(images)
    _collect_ours(folder / "ours", outcome, statements, copies=_LARGER)
    return [outcome, statements]


def _statements(images: int) -> Outcome:
    return Outcome(
        scenario=f"statements of that collection, {images:,} images",
        unit="",
        more_is_better=False,
        target="the same at each",
    )


def delete_tag(folder: Path) -> list[Outcome]:
    """Delete tags one by one, in a repository of 1,000 and of 100,000."""
    return [_delete_tags(folder / str(count), count) for count in (1_000, 100_000)]


def _delete_tags(data: Path, count: int) -> Outcome:
    seed.insert_tags(data, count)
    numbers = itertools.count()
    with peers.entrepot(data, scope="repository:bench/tags:pull,push,delete") as ours:

        def measure(server: Server) -> Sample:
            before, times = server.cpu_seconds(), []
            for _ in range(_DELETES_A_ROUND):
                path = f"/v2/bench/tags/manifests/tag-{next(numbers):07d}"
                begun = time.monotonic()
                client.call(server, "DELETE", path)
                times.append((time.monotonic() - begun) * 1000)
            cpu = (server.cpu_seconds() - before) / _DELETES_A_ROUND * 10_000
            return Sample(value=statistics.median(times), cpu=cpu)

        name = f"deletion of a tag of {count:,}"
        return interleave(Outcome(scenario=name, unit="ms", more_is_better=False, target="<= 5 ms"), [ours], measure)


def _collect_ours(data: Path, outcome: Outcome, statements: Outcome, *, copies: int = 1) -> None:
    """Collect round after round, each time after as many deletions."""
    seed.write_registry2_tree(data, repositories=_REPOSITORIES, tags=_TAGS)
    subprocess.run([_program(), "adopt", "--json", str(data)], check=True, capture_output=True)
    # What is deleted has files; what is only there besides needs none, and would take a quarter of an hour to make.
    seed.multiply(data, copies)
    expected = _REPOSITORIES
    with _serving(data) as server, _busy(server):
        for number in range(ROUNDS):
            _delete(server, number)
            time.sleep(_PROJECTION_SECONDS)
            with _held(_collector(server), data):
                took = _collect(data)
            if (took["blobs"], took["files"]) != (2 * expected, expected):
                raise RuntimeError(f"collected {took}, not {expected} images of a config and a layer")
            outcome.samples.setdefault(peers.OURS, []).append(Sample(value=took["seconds"], cpu=took["cpu"]))
            statements.samples.setdefault(peers.OURS, []).append(Sample(value=took["statements"]))


@contextmanager
def _serving(data: Path) -> Iterator[Server]:
    """Serve a folder to its administrator, without a trash."""
    os.environ["REGISTRY_LIFECYCLE_TRASH"] = "0s"
    try:
        with peers.entrepot(data, scope=_SCOPE) as server:
            server.headers = {"Authorization": peers.basic("admin", peers.PASSWORD)}
            yield server
    finally:
        del os.environ["REGISTRY_LIFECYCLE_TRASH"]


@contextmanager
def _busy(server: Server) -> Iterator[None]:
    """Push and pull small images all the time."""
    stop = threading.Event()
    client.push_image(server, "bench/live", "first", b"first")

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            client.push_image(server, "bench/live", f"t{number % 10}", b"%d" % number)

    def read() -> None:
        while not stop.is_set():
            client.call(server, "GET", "/v2/bench/live/manifests/first", Accept=client.MANIFEST_TYPE)

    threads = [threading.Thread(target=work, daemon=True) for work in (write, read)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _collector(server: Server) -> psutil.Process:
    """Return the process in which the server's own collector runs, beside its other jobs."""
    children = psutil.Process(server.process.pid).children()
    return next(child for child in children if child.cmdline()[3:5] == ["entrepot.serving.process", "job"])


@contextmanager
def _held(process: psutil.Process, data: Path) -> Iterator[None]:
    """Let a process stand still, so that another one is measured doing its work: not while all wait for it."""
    try:
        process.suspend()
        while not _is_free(data / OWN):
            process.resume()
            time.sleep(_MOMENT)
            process.suspend()
        yield
    finally:
        process.resume()


def _is_free(own: Path) -> bool:
    """Tell whether somebody else can write to the databases, and have the turns."""
    gates = [f"{name}.{gate}" for name in _DATABASES for gate in ("turn", "lock")]
    try:
        for name in _DATABASES:
            with closing(sqlite3.connect(own / name, timeout=_MOMENT, isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE")
        for name in (*gates, COLLECTION, PROJECTION):
            _take_for_a_moment(own / name)
    except (sqlite3.OperationalError, BlockingIOError):
        return False
    return True


def _take_for_a_moment(lock: Path) -> None:
    """Take the lock of a file, waiting no longer than one waits for a process that works."""
    deadline = time.monotonic() + _MOMENT
    with lock.open("a") as file:
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.001)


def _delete(server: Server, number: int) -> None:
    """Delete one image of each of the repositories that were adopted."""
    for repository in range(_REPOSITORIES):
        path = f"/v2/team{repository % 20}/app{repository}/manifests"
        headers = client.call(server, "HEAD", f"{path}/v{number}", Accept=client.MANIFEST_TYPE)
        digest = next(value for key, value in headers.items() if key.lower() == "docker-content-digest")
        client.call(server, "DELETE", f"{path}/{digest}")


def _collect(data: Path) -> dict[str, float]:
    """Let the grace of what was deleted be over, and collect."""
    with sqlite3.connect(data / "entrepot/metadata.db", timeout=30) as database:
        database.executescript(_LET_THE_GRACE_END)
    command = [sys.executable, "-m", "benchmarks.collecting", str(data)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _garbage_collect(data: Path) -> Sample:
    """Let docker-registry collect; nobody may push meanwhile."""
    command = ["docker-registry", "garbage-collect", str(data.parent / "registry2.yml")]
    begun, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Sample(value=time.monotonic() - begun, cpu=cpu)


def _program() -> str:
    return str(Path(sys.executable).with_name("entrepot"))
