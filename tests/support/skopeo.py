"""Skopeo, logged in to a registry."""

from __future__ import annotations

from pathlib import Path

from tests.support.places import Place
from tests.support.terminal import Terminal


class Skopeo:
    """Skopeo, with the options that the registry asks for."""

    def __init__(self, terminal: Terminal, place: Place) -> None:
        self.terminal = terminal
        self.place = place
        self._verify = str(not place.plain).lower()

    def login(self) -> None:
        """Log in, where one can."""
        if self.place.login:
            name, password = self.place.login
            words = (
                "login",
                f"--tls-verify={self._verify}",
                "--username",
                name,
                "--password-stdin",
                self.place.address,
            )
            self.terminal.run("skopeo", *words, given=password)

    def to_registry(self, layout: Path, name: str, *options: str) -> None:
        """Push everything that a layout holds."""
        target = f"docker://{self.place.address}/{name}"
        self.terminal.run("skopeo", *self._copy(layout, target, options))

    def to_registry_refused(self, layout: Path, name: str, *options: str) -> str:
        """Fail to push, and give what it said."""
        target = f"docker://{self.place.address}/{name}"
        return self.terminal.refused("skopeo", *self._copy(layout, target, options))

    def to_layout(self, name: str, layout: Path) -> None:
        """Pull everything behind a name into a new layout."""
        words = ("copy", "--all", "--quiet", f"--src-tls-verify={self._verify}")
        self.terminal.run("skopeo", *words, f"docker://{self.place.address}/{name}", f"oci:{layout}:latest")

    def words(self, verb: str, name: str, *options: str) -> tuple[str, ...]:
        """Give the arguments of a verb that takes the name of an image."""
        return (verb, f"--tls-verify={self._verify}", *options, f"docker://{self.place.address}/{name}")

    def about(self, verb: str, name: str, *options: str) -> str:
        """Run such a verb."""
        return self.terminal.run("skopeo", *self.words(verb, name, *options))

    def digest(self, name: str) -> str:
        """Ask for the digest behind a name."""
        return self.about("inspect", name, "--format", "{{.Digest}}")

    def sync(self, source: str, target: str) -> None:
        """Copy all tags of a repository to another place of the same registry."""
        verify = (f"--src-tls-verify={self._verify}", f"--dest-tls-verify={self._verify}")
        address = self.place.address
        words = ("--all", "--scoped=false", "--src", "docker", "--dest", "docker", *verify)
        self.terminal.run("skopeo", "sync", *words, f"{address}/{source}", f"{address}/{target}")

    def _copy(self, layout: Path, target: str, options: tuple[str, ...]) -> tuple[str, ...]:
        words = ("copy", "--all", "--quiet", f"--dest-tls-verify={self._verify}")
        # Else layers that other tests have pushed, compressed in another way, may take the place of the layout's own.
        same = () if "--format" in options else ("--preserve-digests",)
        return (*words, *same, *options, f"oci:{layout}:latest", target)
