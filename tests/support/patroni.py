"""PostgreSQL that fails over: two servers kept by patroni with etcd, on free ports, set up as docs/how-to says."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.open_folders import let_others_in
from tests.support.ports import free_port
from tests.support.postgres import find_binaries
from tests.support.tools import find_tool

#: What docs/how-to/use-postgresql.md recommends.
RECOMMENDED = {
    "ttl": 20,
    "loop_wait": 2,
    "retry_timeout": 5,
    "primary_start_timeout": 0,
    "synchronous_mode": True,
    "maximum_lag_on_failover": 1048576,
}
_START_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Node:
    """One server with its patroni."""

    name: str
    folder: Path
    port: int
    api: int
    process: subprocess.Popen[bytes] | None = None

    def state(self) -> dict[str, Any]:
        """Ask its patroni; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api}/patroni", timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except (OSError, ValueError):
            return {}

    def postmaster(self) -> int:
        """Return the process of its server."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A running cluster."""

    folder: Path
    nodes: list[Node]
    etcd_port: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def url(self, database: str = "postgres") -> str:
        """Return the address, which names both servers."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{hosts}/{database}"

    def primary(self) -> Node | None:
        """Return the server that is the primary now, if there is one."""
        return next((node for node in self.nodes if node.state().get("role") in {"primary", "master"}), None)

    def wait_until_whole(self) -> Node:
        """Wait for a primary with a synchronous standby, without which nothing may fail over; return the primary."""
        return _await(self._whole, "a primary with a synchronous standby", self.logs)

    def _whole(self) -> Node | None:
        primary = self.primary()
        # Patroni's own word: the server's comes before patroni would let the standby take over.
        return primary if any(node.state().get("sync_standby") for node in self.nodes) else None

    def crash_primary(self) -> Node:
        """Kill the primary's server at once; its patroni starts it again, or lets the other take over."""
        primary = self.primary()
        assert primary is not None
        os.kill(primary.postmaster(), signal.SIGKILL)
        return primary

    def kill_host_of_primary(self) -> Node:
        """Kill the primary's server and its patroni, and let its lock end at once and not after `ttl`."""
        primary = self.primary()
        assert primary is not None
        assert primary.process is not None
        primary.process.kill()
        os.kill(primary.postmaster(), signal.SIGKILL)
        primary.process.wait()
        etcdctl = [str(find_tool("etcdctl")), f"--endpoints=http://127.0.0.1:{self.etcd_port}"]
        subprocess.run([*etcdctl, "del", "/service/registry/leader"], check=True, capture_output=True, timeout=10)
        return primary

    def start_again(self, node: Node) -> None:
        """Start a killed host's patroni, which makes its server a standby."""
        node.process = _run_patroni(self, node)
        self._processes.append(node.process)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"{file.name}:\n{file.read_text()[-3000:]}" for file in sorted(self.folder.glob("*.log")))


@contextmanager
def patroni(dcs: dict[str, object] | None = None) -> Iterator[Cluster]:
    """Run a cluster of two servers; `dcs` is what patroni is set to, as recommended unless given."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-patroni-"))
    let_others_in(folder)
    folder.chmod(0o777)
    nodes = [Node(name=name, folder=folder / name, port=free_port(), api=free_port()) for name in ("a", "b")]
    cluster = Cluster(folder=folder, nodes=nodes, etcd_port=free_port())
    try:
        cluster._processes.append(_run_etcd(cluster))
        for node in nodes:
            _configure(cluster, node, dcs or RECOMMENDED)
            node.process = _run_patroni(cluster, node)
            cluster._processes.append(node.process)
            _await(lambda node=node: node.state().get("state") == "running", f"server {node.name}", cluster.logs)  # type: ignore[misc]
        cluster.wait_until_whole()
        yield cluster
    finally:
        _stop(cluster)
        shutil.rmtree(folder, ignore_errors=True)


def _run_etcd(cluster: Cluster) -> subprocess.Popen[bytes]:
    client, peer = f"http://127.0.0.1:{cluster.etcd_port}", f"http://127.0.0.1:{free_port()}"
    command = [
        str(find_tool("etcd")),
        *("--data-dir", str(cluster.folder / "etcd"), "--unsafe-no-fsync"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
    ]
    with (cluster.folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cluster.folder)
    _await(lambda: _answers(f"{client}/health"), "etcd", cluster.logs)
    return process


def _configure(cluster: Cluster, node: Node, dcs: dict[str, object]) -> None:
    node.folder.mkdir()
    everybody = [f"host {what} all 127.0.0.1/32 trust" for what in ("all", "replication")]
    configuration = {
        "scope": "registry",
        "name": node.name,
        "restapi": {"listen": f"127.0.0.1:{node.api}", "connect_address": f"127.0.0.1:{node.api}"},
        "etcd3": {"host": f"127.0.0.1:{cluster.etcd_port}"},
        "bootstrap": {
            "dcs": {**dcs, "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 60}}},
            "initdb": [{"encoding": "UTF8"}, "data-checksums", "no-sync"],
            "pg_hba": everybody,
        },
        "postgresql": {
            "listen": f"127.0.0.1:{node.port}",
            "connect_address": f"127.0.0.1:{node.port}",
            "data_dir": str(node.folder / "data"),
            "bin_dir": str(find_binaries()),
            "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
            "parameters": {"unix_socket_directories": str(node.folder), "shared_buffers": "32MB"},
        },
    }
    (node.folder / "patroni.yml").write_text(json.dumps(configuration))


def _run_patroni(cluster: Cluster, node: Node) -> subprocess.Popen[bytes]:
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(node.folder, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
    environ = {"PATH": os.environ["PATH"], "HOME": str(node.folder), "LC_ALL": "C.UTF-8"}
    command = [str(find_tool("patroni")), str(node.folder / "patroni.yml")]
    with (cluster.folder / f"{node.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=node.folder, env=environ, **as_user)


def _stop(cluster: Cluster) -> None:
    """Stop patroni, which stops its server; what does not end is killed."""
    for process in reversed(cluster._processes):
        process.terminate()
    for process in reversed(cluster._processes):
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for node in cluster.nodes:
        try:
            os.kill(node.postmaster(), signal.SIGQUIT)
        except (OSError, ValueError, IndexError):
            continue


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _await(found: Callable[[], Any], what: str, logs: Callable[[], str]) -> Any:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError(f"no {what} in {_START_SECONDS:.0f} s:\n{logs()}")
