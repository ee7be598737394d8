"""containerd pulls, pushes and runs by its own client, `ctr`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.container_storage import unmount_below
from tests.support.layout import digest_in
from tests.support.network import Network
from tests.support.places import REFUSAL, Place
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal, open_terminal

CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{folder}/containerd.sock"
[ttrpc]
address = "{folder}/containerd.sock.ttrpc"
"""


class Ctr:
    """ctr, for one registry."""

    def __init__(self, terminal: Terminal, socket: Path, place: Place) -> None:
        self.terminal = terminal
        self.place = place
        self._socket = socket
        self._plain = ("--plain-http",) if place.plain else ()

    def run(self, *words: str | Path) -> str:
        """Run a command that reaches no registry."""
        return self.terminal.run("ctr", "--address", self._socket, *words)

    def pull(self, name: str, *options: str) -> None:
        """Pull an image."""
        self.run("images", "pull", *self._plain, *self._login(), *options, self.named(name))

    def push(self, name: str, source: str, *options: str) -> None:
        """Push a local image under a name."""
        self.run("images", "push", *self._plain, *self._login(), *options, self.named(name), source)

    def pull_refused(self, name: str, *login: str) -> str:
        """Fail to pull, and give what it said."""
        words = ("images", "pull", *self._plain, *login, self.named(name))
        return self.terminal.refused("ctr", "--address", self._socket, *words)

    def digest(self, name: str) -> str:
        """Look up the digest of a local image."""
        return self.run("images", "list", f"name=={name}").splitlines()[1].split()[2]

    def forget(self) -> None:
        """Remove every image and its content."""
        for name in self.run("images", "list", "--quiet").split():
            self.run("images", "remove", "--sync", name)
        assert self.run("content", "list", "--quiet") == ""

    def named(self, name: str) -> str:
        """Give the whole name of an image in the registry."""
        return f"{self.place.address}/{name}"

    def _login(self) -> tuple[str, ...]:
        return ("--user", ":".join(self.place.login)) if self.place.login else ()


@pytest.fixture(scope="module")
def socket(network: Network, trust: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the socket of a containerd of our own."""
    folder = tmp_path_factory.mktemp("containerd")
    (folder / "config.toml").write_text(CONFIG.format(folder=folder), encoding="utf-8")
    terminal = open_terminal(folder / "home", network, trust)
    found = folder / "containerd.sock"
    try:
        with terminal.program("containerd", "--config", folder / "config.toml", log=folder / "log") as process:
            deadline = time.monotonic() + 30
            while terminal.status("ctr", "--address", found, "version") != 0:
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.1)
            yield found
    finally:
        unmount_below(folder)


@pytest.fixture
def ctr(terminal: Terminal, socket: Path, place: Place) -> Iterator[Ctr]:
    """Give ctr, holding no image."""
    made = Ctr(terminal, socket, place)
    yield made
    made.forget()


def provide(terminal: Terminal, place: Place, layout: Path, name: str) -> None:
    """Put an image into the registry by another client."""
    skopeo = Skopeo(terminal, place)
    skopeo.login()
    skopeo.to_registry(layout, name)


def test_an_image_is_pulled_run_and_pushed(ctr: Ctr, busybox: Path) -> None:
    """A pulled image runs; pushed under another name, forgotten and pulled again it has the same digest."""
    provide(ctr.terminal, ctr.place, busybox, "ctr/hello:1")
    ctr.pull("ctr/hello:1")
    assert ctr.digest(ctr.named("ctr/hello:1")) == digest_in(busybox)
    assert ctr.run("run", "--rm", ctr.named("ctr/hello:1"), f"hello-{ctr.place.kind}") == "hello"
    ctr.push("ctr/copied/hello:1", ctr.named("ctr/hello:1"))
    ctr.forget()
    ctr.pull("ctr/copied/hello:1")
    assert ctr.digest(ctr.named("ctr/copied/hello:1")) == digest_in(busybox)


def test_an_index_is_moved_whole(ctr: Ctr, multi_architecture: Path) -> None:
    """All architectures of an index are pulled and pushed, under one digest."""
    provide(ctr.terminal, ctr.place, multi_architecture, "ctr/multi:1")
    ctr.pull("ctr/multi:1", "--all-platforms")
    ctr.push("ctr/copied/multi:1", ctr.named("ctr/multi:1"))
    ctr.forget()
    ctr.pull("ctr/copied/multi:1", "--all-platforms")
    assert ctr.digest(ctr.named("ctr/copied/multi:1")) == digest_in(multi_architecture)


def test_a_large_image_is_moved(terminal: Terminal, socket: Path, login_place: Place, debian: Path) -> None:
    """A Debian of five layers is pulled and pushed under one digest."""
    ctr = Ctr(terminal, socket, login_place)
    provide(terminal, login_place, debian, "ctr/debian:13")
    ctr.pull("ctr/debian:13")
    ctr.push("ctr-copied/debian:13", ctr.named("ctr/debian:13"))
    ctr.forget()
    ctr.pull("ctr-copied/debian:13")
    assert ctr.digest(ctr.named("ctr-copied/debian:13")) == digest_in(debian)
    ctr.forget()


def test_who_is_not_known_is_refused(terminal: Terminal, socket: Path, login_place: Place, busybox: Path) -> None:
    """Nothing is pulled without a login or with a wrong password."""
    provide(terminal, login_place, busybox, "ctr/guarded:1")
    ctr = Ctr(terminal, socket, login_place)
    assert REFUSAL.search(ctr.pull_refused("ctr/guarded:1"))
    assert REFUSAL.search(ctr.pull_refused("ctr/guarded:1", "--user", "admin:wrong"))
