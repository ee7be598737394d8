"""`make cluster`, as somebody tries it who has just read of it: push, pull, kill any process by its pid, go on."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

import psutil
import pytest

from tests.support.http_client import Client, eventually
from tests.support.layout import Layout, digest_in, small_layer
from tests.support.open_folders import let_others_in
from tests.support.tools import ROOT, find_tool

_PART = re.compile(r"^  (\S+) +pid (\d+) +\S+$", re.MULTILINE)
_ADDRESS = re.compile(r"^  address +http://(\S+)$", re.MULTILINE)
_PASSWORD = re.compile(r"^  sign in .* -p (\S+)$", re.MULTILINE)
#: So long somebody tries again what failed, as the only database, store or balancer was killed.
_PATIENCE_SECONDS = 60.0
QUICK = ("node-1", "postgres", "haproxy", "valkey", "node-3")
#: SeaweedFS takes 20 seconds to start on a folder that it has used.
ALL = (*QUICK, "seaweedfs", "node-2")


@dataclass
class Cluster:
    """What the terminal shows, and what is read there."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        """All that it has said."""
        return "".join(self.lines)

    def read(self) -> None:
        """Read on, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def address(self) -> str:
        """Where the registry is."""
        return _ADDRESS.findall(self.output)[0]

    @property
    def password(self) -> str:
        """How one signs in."""
        return _PASSWORD.findall(self.output)[0]

    def pids(self) -> dict[str, int]:
        """Say which process is which, by what was said last."""
        found = {name: int(pid) for name, pid in _PART.findall(self.output)}
        again = re.findall(
            r"^(\S+) \(pid \d+\) has ended and is started again as pid (\d+)$", self.output, re.MULTILINE
        )
        return found | {name: int(pid) for name, pid in again}

    def press_ctrl_c(self) -> None:
        """End it as a terminal does, which tells all processes of the command."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(60)

    def await_text(self, text: str, seconds: float) -> None:
        """Wait until it says something."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)


@contextmanager
def make_cluster() -> Iterator[Cluster]:
    """Run it in a folder that PostgreSQL's user reaches, and end it by Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-cluster-"))
    let_others_in(folder)
    command = ["make", "--no-print-directory", "-C", ROOT, "cluster", f"DATA={folder}/cluster"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0)
    cluster = Cluster(process)
    reader = threading.Thread(target=cluster.read, daemon=True)
    reader.start()
    try:
        yield cluster
    finally:
        cluster.press_ctrl_c()
        reader.join(10)
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(folder)


def copy(*words: str | Path) -> int:
    """Run Skopeo's copy, again while it fails; returns how often it was repeated."""
    command = [find_tool("skopeo"), "copy", "--quiet", *words]
    deadline, repeated = time.monotonic() + _PATIENCE_SECONDS, 0
    while (done := subprocess.run(command, text=True, check=False, capture_output=True, timeout=120)).returncode:
        assert time.monotonic() < deadline, done.stderr
        repeated += 1
        time.sleep(0.5)
    return repeated


class Customer:
    """Pushes an image, pulls it again, and begins anew, all the while; what fails is kept."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.rounds = self.repeated = 0
        self.pushed: dict[str, str] = {}
        self.failed: BaseException | None = None
        self._cluster, self._folder = cluster, folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._round()
                self.rounds += 1
        except BaseException as error:  # noqa: BLE001 - told where the test can see it
            self.failed = error

    def _round(self) -> None:
        source, back = self._folder / f"pushed{self.rounds}", self._folder / f"pulled{self.rounds}"
        layout = Layout(source)
        digest = layout.tag(layout.image([small_layer(layout, {"data": Random(self.rounds).randbytes(3_000_000)})]))
        name = f"docker://{self._cluster.address}/library/hello:{self.rounds}"
        login = f"admin:{self._cluster.password}"
        self.repeated += copy("--dest-tls-verify=false", "--dest-creds", login, f"oci:{source}:latest", name)
        self.repeated += copy("--src-tls-verify=false", "--src-creds", login, name, f"oci:{back}:latest")
        assert digest_in(back) == digest
        self.pushed[str(self.rounds)] = digest


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victims", [QUICK, pytest.param(ALL, marks=pytest.mark.full)], ids=["quick", "all"])
def test_any_process_may_be_killed_while_clients_push_and_pull(victims: tuple[str, ...], tmp_path: Path) -> None:
    """What is shown is all one needs: sign in, push, pull, `kill -9` each of the processes; Ctrl-C leaves none."""
    with make_cluster() as cluster:
        cluster.await_text("Ctrl-C ends it all", 180)
        login = base64.b64encode(f"admin:{cluster.password}".encode()).decode()
        client = Client(url=f"http://{cluster.address}", headers={"Authorization": f"Basic {login}"})
        assert {node["state"] for node in client.request("GET", "/api/v2.0/nodes").json()} == {"up"}
        assert set(cluster.pids()) == {"postgres", "valkey", "seaweedfs", "node-1", "node-2", "node-3", "haproxy"}
        with Customer(cluster, tmp_path) as customer:
            eventually(lambda: customer.rounds > 0 or customer.failed is not None, 60)
            for victim in victims:
                pid, rounds = cluster.pids()[victim], customer.rounds
                os.kill(pid, signal.SIGKILL)
                eventually(lambda v=victim, p=pid: cluster.pids()[v] != p, 20, what=f"another {victim}")
                eventually(lambda r=rounds: customer.rounds > r + 1 or customer.failed is not None, 120, what=victim)
        for tag, digest in customer.pushed.items():
            found = client.request("GET", f"/v2/library/hello/manifests/{tag}", headers={"Accept": "*/*"})
            assert found.headers["docker-content-digest"] == digest
        killed = ", ".join(victims)
        print(f"{customer.rounds} images there and back, {customer.repeated} copies repeated; killed: {killed}")
        processes = [psutil.Process(pid) for pid in cluster.pids().values()]
        cluster.press_ctrl_c()
        assert not psutil.wait_procs(processes, timeout=5)[1]
