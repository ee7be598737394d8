"""Podman and Buildah build, push, pull and run; the first with each kind of registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.container_storage import container_storage
from tests.support.layers import assert_opened_as_built
from tests.support.places import REFUSAL, Place
from tests.support.terminal import Terminal


class Engine:
    """Podman or Buildah, for one registry."""

    def __init__(self, terminal: Terminal, place: Place, program: str) -> None:
        self.terminal = terminal
        self.place = place
        self._program = program
        self.verify = f"--tls-verify={str(not place.plain).lower()}"

    def run(self, *words: str | Path) -> str:
        """Run a command that reaches no registry."""
        return self.terminal.run(self._program, *words)

    def login(self) -> None:
        """Log in, where one can."""
        if self.place.login:
            name, password = self.place.login
            words = ("login", self.verify, "--username", name, "--password-stdin", self.place.address)
            self.terminal.run(self._program, *words, given=password)

    def login_refused(self, name: str, password: str) -> str:
        """Fail to log in, and give what it said."""
        words = ("login", self.verify, "--username", name, "--password-stdin", self.place.address)
        return self.terminal.refused(self._program, *words, given=password)

    def push(self, image: str, name: str, *options: str) -> str:
        """Push a local image, and give the digest that the client says was pushed."""
        note = self.terminal.home / "digest"
        self.run("push", self.verify, "--quiet", *options, "--digestfile", note, image, self.named(name))
        return note.read_text(encoding="utf-8")

    def push_refused(self, image: str, name: str) -> str:
        """Fail to push, and give what it said."""
        return self.terminal.refused(self._program, "push", self.verify, image, self.named(name))

    def pull(self, name: str) -> str:
        """Forget every image, pull one, and give the digest that the client knows it by."""
        self.run("rmi", "--all", "--force")
        self.run("pull", self.verify, "--quiet", self.named(name))
        # Buildah has no format for one digest; Podman reads the same storage.
        return self.terminal.run("podman", "image", "inspect", "--format", "{{.Digest}}", self.named(name))

    def named(self, name: str) -> str:
        """Give the whole name of an image in the registry."""
        return f"{self.place.address}/{name}"


@pytest.fixture
def storage(terminal: Terminal, tmp_path: Path) -> Iterator[Terminal]:
    """Give the terminal with storage for images."""
    with container_storage(terminal, tmp_path / "containers") as made:
        yield made


@pytest.fixture
def podman(storage: Terminal, place: Place) -> Engine:
    """Give Podman, not logged in."""
    return Engine(storage, place, "podman")


def test_podman_pushes_pulls_and_runs(podman: Engine, busybox: Path) -> None:
    """An image is pushed after a login, pulled by another name of nothing local, and runs; the digests are one."""
    podman.login()
    local = podman.run("pull", "--quiet", f"oci:{busybox}:latest")
    pushed = podman.push(local, "podman/hello:1")
    assert podman.pull("podman/hello:1") == pushed
    assert podman.run("run", "--rm", "--network", "none", podman.named("podman/hello:1")) == "hello"


def test_podman_moves_an_index(podman: Engine, multi_architecture: Path) -> None:
    """`manifest push --all` of three architectures arrives as it was sent, and one of them can be pulled from it."""
    podman.login()
    note = podman.terminal.home / "digest"
    target = podman.named("podman/multi:1")
    podman.run("manifest", "create", "all")
    podman.run("manifest", "add", "--all", "all", f"oci:{multi_architecture}:latest")
    podman.run("manifest", "push", "--all", "--quiet", podman.verify, "--digestfile", note, "all", f"docker://{target}")
    raw = podman.terminal.run("skopeo", "inspect", "--raw", podman.verify, f"docker://{target}")
    assert f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}" == note.read_text(encoding="utf-8")
    architectures = [entry["platform"]["architecture"] for entry in json.loads(raw)["manifests"]]
    assert sorted(architectures) == ["amd64", "arm64", "riscv64"]
    podman.run("rmi", "--all", "--force")
    podman.run("pull", "--quiet", podman.verify, "--arch", "arm64", target)
    assert podman.run("image", "inspect", "--format", "{{.Architecture}}", target) == "arm64"


def test_podman_is_refused_without_the_right_login(podman: Engine, busybox: Path) -> None:
    """A wrong password cannot log in; nobody pushes before a login or after a logout, except where all may."""
    local = podman.run("pull", "--quiet", f"oci:{busybox}:latest")
    if podman.place.login is None:
        podman.push(local, "podman/anybody:1")
        return
    assert REFUSAL.search(podman.login_refused(podman.place.login[0], "wrong"))
    assert REFUSAL.search(podman.push_refused(local, "podman/refused:1"))
    podman.login()
    podman.push(local, "podman/allowed:1")
    podman.run("logout", podman.place.address)
    assert REFUSAL.search(podman.push_refused(local, "podman/refused:1"))


def test_podman_moves_a_large_image(storage: Terminal, login_place: Place, debian: Path) -> None:
    """A Debian of five layers is pushed and pulled back under one digest, and runs."""
    podman = Engine(storage, login_place, "podman")
    podman.login()
    local = podman.run("pull", "--quiet", f"oci:{debian}:latest")
    pushed = podman.push(local, "podman/debian:13")
    assert podman.pull("podman/debian:13") == pushed
    release = podman.run("run", "--rm", "--network", "none", podman.named("podman/debian:13"))
    assert release


def test_podman_moves_zstd_chunked_layers(storage: Terminal, login_place: Place, busybox: Path) -> None:
    """Layers in zstd:chunked, with what they carry in annotations, come back as they were, and we can open them."""
    podman = Engine(storage, login_place, "podman")
    podman.login()
    local = podman.run("pull", "--quiet", f"oci:{busybox}:latest")
    pushed = podman.push(local, "podman/zstd:1", "--compression-format", "zstd:chunked", "--force-compression")
    raw = storage.run("skopeo", "inspect", "--raw", podman.verify, f"docker://{podman.named('podman/zstd:1')}")
    manifest = json.loads(raw)
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    assert podman.pull("podman/zstd:1") == pushed
    verify = podman.verify.replace("--tls", "--src-tls")
    assert_opened_as_built(storage, f"docker://{podman.named('podman/zstd:1')}", verify)


def test_podman_searches_the_catalog(storage: Terminal, login_place: Place, busybox: Path) -> None:
    """`search` finds a repository by a part of its name, and lists its tags."""
    podman = Engine(storage, login_place, "podman")
    podman.login()
    local = podman.run("pull", "--quiet", f"oci:{busybox}:latest")
    podman.push(local, "podman/needle-in-hay:1")
    asked = ("search", "--tls-verify=false", "--format")
    found = podman.run(*asked, "{{.Name}}", f"{login_place.address}/needle")
    assert found.split() == [f"{login_place.address}/podman/needle-in-hay"]
    tags = podman.run(*asked, "{{.Tag}}", "--list-tags", f"{login_place.address}/podman/needle-in-hay")
    assert tags.split() == ["1"]


def test_buildah_builds_and_pushes(storage: Terminal, place: Place, busybox: Path) -> None:
    """What Buildah builds on a pulled base is pushed and comes back under the digest it had."""
    buildah = Engine(storage, place, "buildah")
    buildah.login()
    assert_builds(buildah, busybox, "oci")


def test_buildah_builds_dockers_format(storage: Terminal, login_place: Place, busybox: Path) -> None:
    """The same in Docker's own format."""
    buildah = Engine(storage, login_place, "buildah")
    buildah.login()
    assert_builds(buildah, busybox, "docker")


def assert_builds(buildah: Engine, busybox: Path, form: str) -> None:
    """Push a base, forget it, build on it, push the result and pull it."""
    base = f"buildah/base-{form}:1"
    buildah.push(buildah.run("pull", "--quiet", f"oci:{busybox}:latest"), base)
    buildah.run("rmi", "--all", "--force")
    folder = buildah.terminal.home / "context"
    folder.mkdir()
    text = f'FROM {buildah.named(base)}\nRUN ["/bin/sh", "-c", "echo built > /etc/text"]\n'
    (folder / "Containerfile").write_text(text, encoding="utf-8")
    options = (buildah.verify, "--quiet", "--isolation=chroot", f"--format={form}")
    buildah.run("build", *options, "--tag", "built", folder)
    pushed = buildah.push("built", f"buildah/built-{form}:1")
    assert buildah.pull(f"buildah/built-{form}:1") == pushed
