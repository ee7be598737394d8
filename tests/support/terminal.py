"""A person at a terminal: programs run with a home folder of their own, in a network of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.network import Network
from tests.support.tools import SEARCH_PATH, find_tool

Word = str | Path

#: Settings of the machine that would change what a client does.
_FOREIGN = (
    "REGISTRY_",
    "ENTREPOT_",
    "DOCKER_",
    "BUILDKIT_",
    "COSIGN_",
    "HELM_",
    "CONTAINER",
    "SSL_CERT",
    "REQUESTS_CA",
)

#: Put before a program that keeps running: it is told to end when the tests are, even if they were killed.
ENDS_WITH_TESTS = ("setpriv", "--pdeathsig", "TERM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Runs programs as somebody who has never run one before."""

    home: Path
    network: Network
    more: dict[str, str] = field(default_factory=dict)

    def run(self, *command: Word, given: str | None = None, timeout: float = 180, cwd: Path | None = None) -> str:
        """Run a program that has to succeed, and give what it printed, errors apart; a failure carries them too."""
        return self._succeed(command, given, timeout, cwd).stdout.strip()

    def said(self, *command: Word) -> str:
        """Run a program that has to succeed, and give everything it said."""
        done = self._succeed(command, None, 180, None)
        return f"{done.stdout}{done.stderr}"

    def refused(self, *command: Word, given: str | None = None, cwd: Path | None = None) -> str:
        """Run a program that has to fail, and give everything it said."""
        done = self._run(command, given, 180, cwd)
        said = f"{done.stdout}{done.stderr}"
        if done.returncode == 0:
            pytest.fail(f"{_line(command)} was not refused:\n{said}")
        return said

    def status(self, *command: Word) -> int:
        """Run a program, and give its exit code alone."""
        return self._run(command, None, 180, None).returncode

    @contextmanager
    def program(self, *command: Word, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a program running; it is ended and waited for on leaving."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*ENDS_WITH_TESTS, *self._words(command)],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)

    def environment(self) -> dict[str, str]:
        """Give the environment: the machine's without what configures a client, and a home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        for name in [name for name in kept if name.lower().endswith("_proxy")]:
            del kept[name]
        own = {
            "PATH": SEARCH_PATH,
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "REGISTRY_AUTH_FILE": str(self.home / "auth.json"),
            "OTEL_TRACES_EXPORTER": "none",
        }
        return kept | own | self.more

    def _succeed(
        self, command: tuple[Word, ...], given: str | None, timeout: float, cwd: Path | None
    ) -> subprocess.CompletedProcess[str]:
        done = self._run(command, given, timeout, cwd)
        if done.returncode != 0:
            pytest.fail(f"{_line(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def _run(
        self, command: tuple[Word, ...], given: str | None, timeout: float, cwd: Path | None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._words(command),
            cwd=cwd or self.home,
            env=self.environment(),
            input=given,
            stdin=None if given is not None else subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            capture_output=True,
        )

    def _words(self, command: tuple[Word, ...]) -> list[str]:
        program, *arguments = command
        return [*self.network.prefix, str(find_tool(str(program))), *map(str, arguments)]


def open_terminal(home: Path, network: Network, more: dict[str, str]) -> Terminal:
    """Give a terminal with an empty home."""
    (home / "run").mkdir(parents=True, mode=0o700)
    (home / "auth.json").write_text("{}", encoding="utf-8")  # some refuse to start without the file that is named
    return Terminal(home=home, network=network, more=more)


def _line(command: tuple[Word, ...]) -> str:
    return " ".join(map(str, command))
