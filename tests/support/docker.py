"""A Docker engine of its own, in either of its two image stores."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.container_storage import folder_of_sockets, unmount_below
from tests.support.places import Place
from tests.support.terminal import Terminal

#: Whether images live in containerd ("containerd") or in Docker's own overlay2 store ("classic").
STORES = ("classic", "containerd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A running engine, and a client with a home of its own."""

    socket: str
    store: str
    terminal: Terminal

    def run(self, *words: str | Path, given: str | None = None) -> str:
        """Run the client; it has to succeed."""
        return self.terminal.run("docker", "--host", self.socket, *words, given=given)

    def refused(self, *words: str | Path, given: str | None = None) -> str:
        """Run the client; it has to fail, and this is what it said."""
        return self.terminal.refused("docker", "--host", self.socket, *words, given=given)

    def login(self, place: Place) -> None:
        """Log in, where one can."""
        if place.login:
            name, password = place.login
            said = self.run("login", "--username", name, "--password-stdin", place.address, given=password)
            assert "Login Succeeded" in said

    def load(self, layout: Path, name: str) -> None:
        """Bring an image from a layout into the engine's store."""
        words = ("copy", "--quiet", "--dest-daemon-host", self.socket)
        self.terminal.run("skopeo", *words, f"oci:{layout}:latest", f"docker-daemon:{name}")

    def forget(self) -> None:
        """Remove every image."""
        if found := self.run("images", "--all", "--quiet").split():
            self.run("rmi", "--force", *set(found))
        assert self.run("images", "--all", "--quiet") == ""


@contextmanager
def docker_engine(terminal: Terminal, folder: Path, store: str) -> Iterator[str]:
    """Run an engine in a folder, and give its socket; nothing of it stays mounted."""
    folder.mkdir(parents=True)
    try:
        with folder_of_sockets() as sockets:
            yield from _running(terminal, folder, sockets, store)
    finally:
        unmount_below(folder)


def _running(terminal: Terminal, folder: Path, sockets: Path, store: str) -> Iterator[str]:
    settings = {"features": {"containerd-snapshotter": store == "containerd"}}
    (folder / "daemon.json").write_text(json.dumps(settings), encoding="utf-8")
    socket = f"unix://{sockets}/docker.sock"
    places = ("--data-root", folder / "data", "--exec-root", sockets, "--pidfile", folder / "docker.pid")
    # Without a bridge and firewall rules it needs nothing of the machine but a kernel.
    apart = ("--bridge=none", "--iptables=false", "--ip6tables=false")
    driver = () if store == "containerd" else ("--storage-driver=overlay2",)
    log = folder / "log"
    command = ("dockerd", "--config-file", folder / "daemon.json", "--host", socket, *places, *apart, *driver)
    with terminal.program(*command, log=log) as process:
        deadline = time.monotonic() + 60
        while terminal.status("docker", "--host", socket, "version") != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"dockerd does not answer:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield socket
