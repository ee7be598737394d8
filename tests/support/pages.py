"""Does what a page of the documentation says, line by line: commands of ours in this process, all else in a shell.

    page = Page("how-to/robots-and-api-keys.md", runner, {"https://registry.example.org": server.url})
    page.run()                       # every block of shell; fails with the line that fails
    page.outputs["entrepot key create laptop --days 90"]

Lines of `docker` are left out: what clients do is shown with the clients. A line whose comment begins with `no` must
fail with exit status 1.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from entrepot.cli.app import app
from tests.support.http_client import Client
from tests.support.server import Server

#: What the documentation calls the registry.
EXAMPLE = "registry.example.org"
DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"\s{2,}#\s*(.*)$")
#: Which registry a command meant, which it tells beside its output.
_PLACE = re.compile(r"^(\(in .*\)|.*, the saved context\? \[y/N\]: .*)\n", re.MULTILINE)
_ASSIGNMENT = re.compile(r"(?:export )?([A-Z_]+)=")
_SHELL = """set -euo pipefail
curl() { case " $*" in *" -sSf"*) ;; *) set -- --fail-with-body "$@" ;; esac; command curl --no-progress-meter "$@"; }
"""


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a language on a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [body for found, body in _BLOCK.findall(text) if found == language]


@dataclass
class Page:
    """A page that is being followed."""

    name: str
    folder: Path  #: where the commands are run
    replaced: Mapping[str, str]  #: what an example stands for here
    answers: Mapping[str, str] = field(default_factory=dict)  #: what is typed when a command asks, by its beginning
    edit: Callable[[str, Mapping[str, str]], str] = lambda line, _outputs: line
    outputs: dict[str, str] = field(default_factory=dict)  #: what each line of the page wrote
    environ: dict[str, str] = field(default_factory=dict)
    _assignments: list[str] = field(default_factory=list)

    def run(self, *, leave_out: str = r"docker |git ") -> None:
        """Follow the page."""
        for line in self.lines():
            if not re.match(leave_out, line):
                self.follow(line)

    def lines(self) -> Iterator[str]:
        """List the lines of its blocks of shell, continued ones joined."""
        for block in blocks(self.name, "sh"):
            yield from filter(None, map(str.strip, block.replace("\\\n", " ").splitlines()))

    def follow(self, line: str) -> str:
        """Do what one line says, and return what it wrote."""
        told = _COMMENT.search(line)
        wanted = _COMMENT.sub("", line)
        expected = 1 if told is not None and told[1].startswith("no") else 0
        done = self.edit(self._here(wanted), self.outputs)
        status, output = self._ours(done) if done.startswith("entrepot ") else self._shell(done)
        assert status == expected, f"{self.name}: {done!r} ended with {status}:\n{output}"
        self.outputs[wanted] = output
        return output

    def _here(self, line: str) -> str:
        for example, real in self.replaced.items():
            line = line.replace(example, real)
        return line

    def _ours(self, line: str) -> tuple[int, str]:
        # Who follows a page says yes where a command asks whether it is to take something away from the saved context.
        typed = next((text for start, text in self.answers.items() if line.startswith(start)), "y\n")
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            runner = CliRunner(env={"XDG_CONFIG_HOME": str(self.folder), **self.environ})
            done = runner.invoke(app, shlex.split(line, comments=True)[1:], input=typed)
        finally:
            os.chdir(here)
        assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
        return done.exit_code, _PLACE.sub("", done.output)

    def _shell(self, line: str) -> tuple[int, str]:
        assigned = _ASSIGNMENT.match(line)
        if assigned is not None:
            self._assignments.append(line)
            line = f'printf %s "${assigned[1]}"'
        script = _SHELL + "\n".join([*self._assignments, line])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        if assigned is not None and done.returncode == 0:
            self._assignments[-1] = f"export {assigned[1]}={shlex.quote(done.stdout)}"
            self.environ[assigned[1]] = done.stdout
        return done.returncode, done.stdout + done.stderr


def basic(name: str, secret: str) -> dict[str, str]:
    """Return an Authorization header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def signed_in(server: Server, name: str, secret: str) -> bool:
    """Tell whether a name and a secret sign in."""
    return Client(url=server.url, headers=basic(name, secret)).request("GET", "/v2/").status == 200
