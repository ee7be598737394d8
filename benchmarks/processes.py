"""Server processes under measurement."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

_START_SECONDS = 30.0
_SAMPLE_SECONDS = 0.1
_IDLE_SECONDS = 0.5
_IDLE_LOOKS = 20
_IDLE_SHARE = 0.05


@dataclass(slots=True)
class Server:
    """A running server and how to talk to it."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 0.0  #: from the command to the first answer

    def processes(self) -> list[psutil.Process]:
        """Return the server's process with all its children."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the processor time that all processes used so far."""
        total = 0.0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self, *, largest: bool = False) -> int:
        """Return the proportional set size of all processes, or of the largest one, in bytes."""
        sizes = [0]
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_full_info().pss)
        return max(sizes) if largest else sum(sizes)


class PeakMemory:
    """Samples a server's memory while it is entered; `peak` is the largest sum, in bytes."""

    def __init__(self, server: Server, *, largest: bool = False) -> None:
        self.peak = 0
        self._server = server
        self._largest = largest
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, self._server.memory(largest=self._largest))


def free_port() -> int:
    """Return a port of the loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Give a folder that is removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"entrepot-bench-{prefix}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    name: str, command: Sequence[str], url: str, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a server, wait until it answers, and stop it in the end."""
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=None if env is None else dict(env), start_new_session=True
        )
    server = Server(name, url, process)
    try:
        wait_for(server, log)
        server.ready_seconds = time.monotonic() - begun
        yield server
    finally:
        stop(process)


def wait_for(server: Server, log: Path) -> None:
    """Wait for the first answer of any status."""
    started = time.monotonic()
    while time.monotonic() - started < _START_SECONDS:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended at once: {log.read_text()[-2000:]}")
        if answers(server.url):
            return
        time.sleep(0.01)
    raise RuntimeError(f"{server.name} did not answer: {log.read_text()[-2000:]}")


def wait_until_idle(servers: Sequence[Server]) -> None:
    """Wait until servers have done what they do after a start, at most some seconds: it is not what is measured."""
    for _ in range(_IDLE_LOOKS):
        before = sum(server.cpu_seconds() for server in servers)
        time.sleep(_IDLE_SECONDS)
        if sum(server.cpu_seconds() for server in servers) - before <= _IDLE_SHARE * _IDLE_SECONDS:
            return


def answers(url: str) -> bool:
    """Tell whether a server answers, with whatever status."""
    try:
        with urllib.request.urlopen(f"{url}/v2/", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, politely first."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
