"""A whole cluster on this machine, for a look: HAProxy, nodes of Entrepot, PostgreSQL, Valkey and an S3 server.

    python -m tools.cluster [--listen HOST:PORT] [--data FOLDER] [--nodes N]

Everything listens on free ports of the loopback and keeps its data and its log in one folder. Whatever dies is started
again, so that one may kill any of it and watch the rest go on. Ctrl-C ends all. `make cluster` is the way to call it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import pwd
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import botocore.config
import botocore.session

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = Path(sys.executable).parent
BUCKET: Final = "registry"
REGION: Final = "us-east-1"
USUAL_PORT: Final = 5000
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 20.0
#: Below those that Linux gives to connections that go out.
_PORTS: Final = range(20_000, 32_000)
_LOOK_SECONDS: Final = 0.1
#: What lives shorter is started again after this pause only.
_PAUSE_SECONDS: Final = 1.0
#: Each process ends with this one, however this one ends.
_TIED: Final = ("setpriv", "--pdeathsig", "KILL")


class ClusterFailed(Exception):
    """A part does not come up; the text says which and where its log is."""


@dataclass
class Part:
    """One process of the cluster, which is started again when it dies."""

    name: str
    command: Sequence[str]
    log: Path
    address: str
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_by: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0

    def start(self) -> None:
        """Start it; a group of its own keeps Ctrl-C from it."""
        self.begun = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**_clean_environment(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Its process id; 0 before its start."""
        return self.process.pid if self.process else 0

    def await_ready(self) -> None:
        """Wait until it answers.

        Raises:
            ClusterFailed: It ended, or it takes too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise ClusterFailed(f"{self.name} does not start; its log is {self.log}:\n{_end_of(self.log)}")
            time.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Start it again if it has died."""
        if self.process is None or self.process.poll() is None:
            return
        if time.monotonic() - self.begun < _PAUSE_SECONDS:
            return  # looked at again soon
        old = self.pid
        self.start()
        print(f"{self.name} (pid {old}) has ended and is started again as pid {self.pid}", flush=True)

    def stop(self) -> None:
        """End it, first in its own way."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_by)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.3)
            return
        with suppress(ProcessLookupError):
            self.process.send_signal(self.stop_by)  # a node takes requests for a while after the first
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Cluster:
    """All parts, in the order in which they are started."""

    def __init__(self, data: Path, listen: str, nodes: int) -> None:
        """Choose ports and write what each part reads.

        Args:
            data: The folder for everything.
            listen: Where HAProxy listens.
            nodes: How many nodes of Entrepot there are.
        """
        self.data, self.listen = data, listen
        for name in ("postgres", "valkey", "seaweedfs", "logs"):
            (data / name).mkdir(parents=True, exist_ok=True)
        self.password = self._secret("admin-password", secrets.token_urlsafe(12))
        self._database_password = self._secret("database-password", secrets.token_hex(16))
        self._store_key = self._secret("store-key", secrets.token_hex(16))
        self._secret("secret.key", base64.b64encode(secrets.token_bytes(32)).decode())
        self._database, self._cache = free_port(), free_port()
        self._store = [free_port() for _ in range(8)]
        self._nodes = [free_port() for _ in range(nodes)]
        self.parts = [
            self._postgres(),
            self._valkey(),
            self._seaweedfs(),
            *(self._node(number, port) for number, port in enumerate(self._nodes, 1)),
            self._haproxy(),
        ]

    def start(self) -> None:
        """Start everything, and wait for what others need.

        Raises:
            ClusterFailed: A part does not come up.
        """
        needed, rest = self.parts[:3], self.parts[3:]
        for part in needed:
            part.start()
        for part in needed:
            part.await_ready()
        self._make_database()
        self._make_bucket()
        for part in rest:
            part.start()
        for part in rest:
            part.await_ready()

    def watch(self) -> NoReturn:
        """Start again what dies, until interrupted."""
        while True:
            time.sleep(_LOOK_SECONDS)
            for part in self.parts:
                part.look()

    def stop(self) -> None:
        """End everything, those first who need others."""
        for part in reversed(self.parts):
            part.stop()

    def told(self) -> str:
        """Say how to use it."""
        program = _shown(BIN / "entrepot")
        sign_in = f"echo {self.password} | {program} login http://{self.listen} -u admin --password-stdin"
        lines = [
            f"A registry of {len(self._nodes)} nodes is ready.",
            "",
            f"  address    http://{self.listen}",
            f"  sign in    docker login {self.listen} -u admin -p {self.password}",
            f"  push       docker tag IMAGE {self.listen}/library/hello:1 && docker push {self.listen}/library/hello:1",
            f"  pull       docker pull {self.listen}/library/hello:1",
            f"  nodes      {sign_in} && {program} node list",
            "",
            "Whatever dies is started again; try `kill -9 PID` while you push and pull:",
            "",
            *(f"  {part.name:<12} pid {part.pid:<8} {part.address}" for part in self.parts),
            "",
            f"Data and logs are in {_shown(self.data)}. Ctrl-C ends it all.",
        ]
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------------ parts

    def _secret(self, name: str, made: str) -> str:
        """Return what a private file holds, made at the first start."""
        path = self.data / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(made + "\n", encoding="ascii")
        return path.read_text(encoding="ascii").strip()

    def _log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def _postgres(self) -> Part:
        binaries, folder = _postgres_binaries(), self.data / "postgres"
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            if subprocess.run([*_as_postgres(), "test", "-w", str(folder)], check=False).returncode != 0:
                raise ClusterFailed(
                    f"The user postgres cannot reach {folder}, as a folder above it is closed to others: name another "
                    "one, such as DATA=/var/tmp/cluster."
                )
        if not (folder / "PG_VERSION").exists():
            made = [str(binaries / "initdb"), "-D", str(folder), "-U", "entrepot", "-A", "scram-sha-256", "-E", "UTF8"]
            password = self.data / "postgres-password"
            password.write_text(self._database_password, encoding="ascii")
            password.chmod(0o644)
            try:
                initdb = [*_as_postgres(), *made, "--no-sync", "--pwfile", str(password)]
                done = subprocess.run(initdb, text=True, check=False, capture_output=True)
            finally:
                password.unlink()
            if done.returncode != 0:
                raise ClusterFailed(f"initdb failed: {done.stderr}")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self._database,
            "unix_socket_directories": "",
            "max_connections": 200,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Part(
            "postgres",
            [*_as_postgres(), str(binaries / "postgres"), "-D", str(folder), *words],
            self._log("postgres"),
            f"127.0.0.1:{self._database}",
            self._has_database,
            stop_by=signal.SIGINT,
        )

    def _has_database(self) -> bool:
        return (
            subprocess.run(self._psql("SELECT 1"), check=False, capture_output=True, env=self._client()).returncode == 0
        )

    def _psql(self, statement: str, database: str = "postgres") -> list[str]:
        where = ("--host=127.0.0.1", f"--port={self._database}", "--username=entrepot", "--no-password")
        return [str(_postgres_binaries() / "psql"), *where, "--tuples-only", "--command", statement, database]

    def _client(self) -> dict[str, str]:
        return {**os.environ, "PGPASSWORD": self._database_password, "PGCONNECT_TIMEOUT": "2"}

    def _make_database(self) -> None:
        asked = self._psql("SELECT 1 FROM pg_database WHERE datname = 'registry'")
        found = subprocess.run(asked, check=True, capture_output=True, text=True, env=self._client()).stdout.strip()
        if not found:
            subprocess.run(
                self._psql("CREATE DATABASE registry TEMPLATE template0"),
                check=True,
                env=self._client(),
                stdout=subprocess.DEVNULL,
            )

    def _valkey(self) -> Part:
        options = {
            "bind": "127.0.0.1",
            "port": self._cache,
            "save": "",
            "appendonly": "no",
            "dir": self.data / "valkey",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return Part(
            "valkey",
            [*_TIED, "valkey-server", *words],
            self._log("valkey"),
            f"127.0.0.1:{self._cache}",
            lambda: _accepts(self._cache),
        )

    def _seaweedfs(self) -> Part:
        folder = self.data / "seaweedfs"
        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        credentials = [{"accessKey": "registry", "secretKey": self._store_key}]
        users = {"identities": [{"name": "registry", "credentials": credentials, "actions": everything}]}
        path = self.data / "store-users.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(users), encoding="ascii")
        names = ("master.port", "volume.port", "filer.port", "s3.port")
        ports = dict(zip((*names, *(f"{name}.grpc" for name in names)), self._store, strict=True))
        options: dict[str, object] = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": folder,
            "volume.max": 100,
            "master.volumeSizeLimitMB": 1024,
            "master.telemetry": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": path,
            **ports,
        }
        words = [f"-{name}={value}" for name, value in options.items()]
        return Part(
            "seaweedfs",
            [*_TIED, str(BIN / "weed"), "-logtostderr=true", "server", "-s3", *words],
            self._log("seaweedfs"),
            self._store_address,
            self._has_store,
        )

    @property
    def _store_address(self) -> str:
        return f"http://127.0.0.1:{self._store[3]}"

    def _has_store(self) -> bool:
        """Tell whether the store keeps what it is given; it listens some time before that."""
        try:
            self._make_bucket()
        except Exception:  # noqa: BLE001 - whatever it says, it is not ready
            return False
        return True

    def _make_bucket(self) -> None:
        client = botocore.session.Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self._store_address,
            aws_access_key_id="registry",
            aws_secret_access_key=self._store_key,
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}
            ),
        )
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="probe", Body=b"")
        client.delete_object(Bucket=BUCKET, Key="probe")

    def _config(self) -> Path:
        url = f"postgresql://entrepot:{self._database_password}@127.0.0.1:{self._database}/registry"
        (self.data / "metadata.url").touch(mode=0o600)
        (self.data / "metadata.url").write_text(url, encoding="ascii")
        store = {
            "accesskey": "registry",
            "region": REGION,
            "regionendpoint": self._store_address,
            "bucket": BUCKET,
            "secure": False,
        }
        config = {
            "version": "0.1",
            "log": {"accesslog": {"disabled": True}},
            "auth": "accounts",
            "storage": {"s3": store, "delete": {"enabled": True}},
            "metadata": {"urlfile": str(self.data / "metadata.url")},
            "redis": {"addrs": [f"127.0.0.1:{self._cache}"]},
            "http": {"draindelay": "3s"},
            "workers": 1,
        }
        path = self.data / "config.yml"
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
        return path

    def _node(self, number: int, port: int) -> Part:
        environment = {
            "REGISTRY_NODE_NAME": f"node-{number}",
            "REGISTRY_STORAGE_S3_SECRETKEY": self._store_key,
            "ENTREPOT_SECRET_KEY_FILE": str(self.data / "secret.key"),
            "ENTREPOT_ADMIN_PASSWORD": self.password,
        }
        command = [str(BIN / "entrepot"), "serve", str(self._config()), "--listen", f"127.0.0.1:{port}"]
        return Part(
            f"node-{number}",
            [*_TIED, *command],
            self._log(f"node-{number}"),
            f"http://127.0.0.1:{port}",
            lambda: _answers(f"http://127.0.0.1:{port}/readyz"),
            environment,
        )

    def _haproxy(self) -> Part:
        """Use the file that is shipped, without TLS and with these nodes."""
        text = (ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")
        text = re.sub(r"bind :443 .*", f"bind {self.listen}", text)
        text = text.replace("X-Forwarded-Proto https", "X-Forwarded-Proto http")
        text = re.sub(r"^    server .*\n", "", text, flags=re.MULTILINE)
        text += "".join(f"    server node-{at} 127.0.0.1:{port}\n" for at, port in enumerate(self._nodes, 1))
        path = self.data / "haproxy.cfg"
        path.write_text(text, encoding="utf-8")
        return Part(
            "haproxy",
            [*_TIED, "haproxy", "-db", "-f", str(path)],
            self._log("haproxy"),
            f"http://{self.listen}",
            lambda: _answers(f"http://{self.listen}/readyz"),
        )


def _clean_environment() -> dict[str, str]:
    path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "ENTREPOT_"))}
    kept.pop("AWS_CA_BUNDLE", None)
    return {**kept, "PATH": path}


def _as_postgres() -> list[str]:
    """Give the words that make a command the user's who may run PostgreSQL: it refuses root."""
    if os.geteuid() != 0:
        return list(_TIED)
    return [*_TIED, "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _postgres_binaries() -> Path:
    found = Path("/usr/lib/postgresql").glob("*/bin")
    newest = max(found, key=lambda path: int(path.parent.name), default=None)
    if newest is None:
        raise ClusterFailed("PostgreSQL is not installed: apt-get install postgresql")
    return newest


def free_port() -> int:
    """Find a port of the loopback that is free now, and that no connection which goes out can take meanwhile."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        if _may_listen(port):
            return port


def _may_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return int(answer.status) == 200  # noqa: PLR2004 - OK
    except OSError:
        return False


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _shown(path: Path) -> str:
    here = Path.cwd()
    return f"./{path.relative_to(here)}" if path.is_relative_to(here) else str(path)


def _listen(wanted: str) -> str:
    """Take the usual port if it is free, another where nobody asked for it."""
    if wanted:
        return wanted
    return f"127.0.0.1:{free_port() if _accepts(USUAL_PORT) else USUAL_PORT}"


def main() -> int:
    """Run a cluster until interrupted."""
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--listen", default="", help="host:port of the balancer; 127.0.0.1:5000, or a free port")
    parser.add_argument("--data", type=Path, default=Path("cluster"), help="folder for everything; ./cluster")
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes; 3")
    options = parser.parse_args()
    options.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cluster = None
    try:
        cluster = Cluster(options.data.resolve(), _listen(options.listen), options.nodes)
        print("Starting PostgreSQL, Valkey, SeaweedFS, the nodes and HAProxy …", flush=True)
        cluster.start()
        print(cluster.told(), flush=True)
        cluster.watch()
    except ClusterFailed as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEnding it …", flush=True)
        return 0
    finally:
        if cluster is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
