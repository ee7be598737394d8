"""A real OpenID provider, whose people tests change and whose key they rotate."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_packages import node_modules
from tests.support.terminal import ENDS_WITH_TESTS
from tests.support.tools import find_tool

_SOURCE = Path(__file__).with_name("oidc_provider")
CLIENT_ID = "registry"
CLIENT_SECRET = "secret of the registry at the provider: 100%"


@dataclass(slots=True, kw_only=True)
class OpenId:
    """A provider that runs."""

    port: int
    folder: Path
    process: subprocess.Popen[str] | None = None
    people: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """Its name."""
        return f"http://127.0.0.1:{self.port}"

    def set_people(self, people: Mapping[str, Mapping[str, Any]]) -> None:
        """Let it know exactly these people: the claims of each by the name."""
        self.people = {name: dict(claims) for name, claims in people.items()}
        new = self.folder / "users.new"
        new.write_text(json.dumps(self.people))
        new.replace(self.folder / "users.json")

    def change(self, name: str, **claims: Any) -> None:
        """Change somebody's claims."""
        self.set_people({**self.people, name: {**self.people[name], **claims}})

    def remove(self, name: str) -> None:
        """Take somebody out."""
        self.set_people({known: claims for known, claims in self.people.items() if known != name})

    def rotate_key(self) -> None:
        """Have it sign with a new key, and show only that one."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        self._wait_for("rotated")

    def start(self, redirect_uris: Sequence[str], home: str) -> None:
        """Start it for a registry with these addresses."""
        client = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": list(redirect_uris),
            "post_logout_redirect_uris": [home],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        }
        settings = {
            "issuer": self.issuer,
            "port": self.port,
            "client": client,
            "users": str(self.folder / "users.json"),
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        shutil.copy(_SOURCE / "provider.mjs", self.folder)
        (self.folder / "node_modules").symlink_to(node_modules(_SOURCE))
        command = [*ENDS_WITH_TESTS, str(find_tool("node")), "provider.mjs", "settings.json"]
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._wait_for("up")

    def stop(self) -> None:
        """Stop it; it can be started again no more."""
        if self.process is None:
            return
        self.process.terminate()
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _wait_for(self, word: str) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        pytest.fail(f"the provider ended: {(self.folder / 'log').read_text()}")


@contextmanager
def open_id_provider(people: Mapping[str, Mapping[str, Any]]) -> Iterator[OpenId]:
    """Give a provider on a free port that knows some people; `start` it when the registry's address is known."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    provider = OpenId(port=port, folder=Path(tempfile.mkdtemp(prefix="entrepot-openid-")))
    provider.set_people(people)
    try:
        yield provider
    finally:
        provider.stop()
        shutil.rmtree(provider.folder)
