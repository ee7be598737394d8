"""Registries as people run them: how each is reached, and who may."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Identity, identity
from tests.support.network import ADDRESS, Network
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.tools import find_tool

#: What the clients say when a registry does not know them or does not let them.
REFUSAL = re.compile(
    r"denied|unauthorized|authentication required|no basic auth|basic credential not found|invalid username|401",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A running registry, as a client knows it."""

    kind: str
    server: Server
    login: tuple[str, str] | None
    plain: bool = True  #: reached without TLS

    @property
    def address(self) -> str:
        """HOST:PORT, as clients name a registry."""
        return self.server.address


@contextmanager
def run_with_login(network: Network) -> Iterator[Place]:
    """Run it without any file: an administrator, everything private, tokens."""
    with Server(prefix=network.prefix) as server:
        yield Place(kind="login", server=server, login=("admin", ADMIN_PASSWORD))


@contextmanager
def run_with_tls(network: Network, folder: Path, signer: Identity) -> Iterator[Place]:
    """Run it with the two variables that name a certificate and a key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    identity("registry", signer, ADDRESS).write(certificate, key)
    env = {"REGISTRY_HTTP_TLS_CERTIFICATE": str(certificate), "REGISTRY_HTTP_TLS_KEY": str(key)}
    with Server(prefix=network.prefix, env=env, listen=f"{ADDRESS}:0") as server:
        yield Place(kind="tls", server=server, login=("admin", ADMIN_PASSWORD), plain=False)


@contextmanager
def run_with_htpasswd(network: Network, folder: Path) -> Iterator[Place]:
    """Run it with a registry:2 file whose `auth` is a file of `htpasswd -Bbn`."""
    login = ("alice", "s3cret of Alice")
    made = subprocess.run([find_tool("htpasswd"), "-Bbn", *login], check=True, capture_output=True).stdout
    (folder / "htpasswd").write_bytes(made)
    auth = {"htpasswd": {"realm": "our registry", "path": str(folder / "htpasswd")}}
    config = {"auth": auth, "storage": {"delete": {"enabled": True}}}
    with Server(config, prefix=network.prefix) as server:
        yield Place(kind="htpasswd", server=server, login=login)


@contextmanager
def run_open(network: Network) -> Iterator[Place]:
    """Run it with a registry:2 file without `auth`: everybody may do everything."""
    with Server({"storage": {"delete": {"enabled": True}}}, prefix=network.prefix) as server:
        yield Place(kind="open", server=server, login=None)
