"""A network namespace: its own loopback, one more address, no way out.

What runs in it meets no port or firewall rule of the machine. The second address is there for Docker, which takes
everything on 127.0.0.0/8 for insecure and would accept any certificate.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import pytest

from tests.support.tools import find_tool

#: The address beside the loopback.
ADDRESS = "10.88.0.1"

_numbers = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A namespace by its name."""

    name: str

    @property
    def prefix(self) -> list[str]:
        """Give what to put before a command so that it runs inside (it keeps its pid)."""
        return ["nsenter", f"--net=/var/run/netns/{self.name}"]


@contextmanager
def private_network() -> Iterator[Network]:
    """Make a namespace, and remove it again."""
    if os.geteuid() != 0:
        pytest.fail("a network namespace needs root: run `make test` as root")
    for command in ("ip", "nsenter"):
        find_tool(command)
    network = Network(name=f"entrepot-net-{os.getpid()}-{next(_numbers)}")
    subprocess.run(["ip", "netns", "add", network.name], check=True)
    try:
        subprocess.run(["ip", "-n", network.name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", network.name, "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
        yield network
    finally:
        subprocess.run(["ip", "netns", "delete", network.name], check=True)
