"""A host of its own for containers: Podman with its own storage, in its own network namespace.

Inside the namespace the container's port is the host's, so nothing is left behind in the machine's firewall and no two
tests meet on a port. Clients run in it too: `host.run("curl", ...)`.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import SEARCH_PATH, find_tool

_STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
#: Limits that a container on a machine without CAP_SYS_RESOURCE can have, a runtime for every version of cgroups, and
#: Podman's own files and locks apart from those of any other Podman on the machine.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=90000:90000"]
[engine]
runtime = "runc"
tmp_dir = "{folder}/libpod"
lock_type = "file"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerHost:
    """Runs programs in the namespace, with Podman and Buildah pointed at their own storage."""

    namespace: str
    environment: dict[str, str]

    def run(self, *command: str | Path, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; a failure carries everything it said."""
        words = [str(word) for word in command]
        done = subprocess.run(
            ["nsenter", f"--net=/var/run/netns/{self.namespace}", *words],
            env=self.environment,
            text=True,
            check=False,
            timeout=timeout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
        return done

    @contextmanager
    def program(self, *command: str | Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a program running in the namespace; it is ended and waited for on leaving."""
        words = [str(word) for word in command]
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["nsenter", f"--net=/var/run/netns/{self.namespace}", *words],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)

    def status(self, path: str, *options: str) -> int:
        """Ask the registry on port 5000 for a path; 0 when nobody listens."""
        done = self.run(
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, f"http://127.0.0.1:5000{path}", check=False
        )
        return int(done.stdout or 0)

    def await_status(self, path: str, wanted: int, *options: str, within: float = 30) -> None:
        """Ask until the wanted answer comes."""
        deadline = time.monotonic() + within
        while (seen := self.status(path, *options)) != wanted:
            if time.monotonic() > deadline:
                pytest.fail(f"{path} still answers {seen}, not {wanted}, after {within:.0f} s")
            time.sleep(0.1)


@contextmanager
def container_host(folder: Path) -> Iterator[ContainerHost]:
    """Make such a host in a folder, and take everything away again."""
    if os.geteuid() != 0:
        pytest.fail("containers in a network namespace of their own need root: run `make test` as root")
    for command in ("podman", "buildah", "runc", "nsenter", "ip", "curl"):
        find_tool(command)
    namespace = f"entrepot-{os.getpid()}"
    host = ContainerHost(namespace=namespace, environment=_environment(folder))
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        yield host
    finally:
        host.run("podman", "rm", "--all", "--force", "--time", "2", check=False)
        host.run("podman", "system", "reset", "--force", check=False)
        subprocess.run(["ip", "netns", "del", namespace], check=True)


def settings_in(folder: Path) -> dict[str, str]:
    """Write settings that keep Podman and Buildah in a folder, and give the variables that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder), encoding="utf-8")
    (folder / "containers.conf").write_text(_CONTAINERS.format(folder=folder), encoding="utf-8")
    return {
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
    }


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "ENTREPOT_"))}
    return kept | settings_in(folder) | {"PATH": SEARCH_PATH, "OTEL_TRACES_EXPORTER": "none"}
