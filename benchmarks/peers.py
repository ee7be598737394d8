"""The servers that are compared, each started as its users start it."""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import Server, free_port, running

WORKERS = 2
OURS = "entrepot"
REGISTRY2 = "docker-registry"
ON_POSTGRESQL = "entrepot on PostgreSQL"
NGINX = "nginx"
BARE = "bare server"
#: The first start on a folder sets it; later ones find it set.
PASSWORD = "a password for benchmarks"


@contextmanager
def entrepot(
    folder: Path,
    *,
    scope: str = "",
    workers: int = WORKERS,
    database: str = "",
    storage: Mapping[str, Any] | None = None,
    name: str = OURS,
) -> Iterator[Server]:
    """Start ours on a folder: private, with a Bearer token for `scope` in the server's headers.

    Its metadata are in the PostgreSQL database at the address `database`, if one is given, and its blobs in the
    `storage` of a configuration.
    """
    port = free_port()
    place = ["--data", str(folder)]
    if storage is not None:
        config = folder.with_suffix(".yml")
        config.write_text(json.dumps({"version": 0.1, "storage": storage, "auth": "accounts"}))
        place = [str(config)]
    program = str(Path(sys.executable).with_name("entrepot"))
    command = [program, "serve", *place, "--listen", f"127.0.0.1:{port}", "--workers", str(workers)]
    env = {**os.environ, "ENTREPOT_ADMIN_PASSWORD": PASSWORD}
    if database:
        key = base64.b64encode(os.urandom(32)).decode()
        env |= {"ENTREPOT_METADATA_URL": database, "ENTREPOT_SECRET_KEY": key}
    with running(name, command, f"http://127.0.0.1:{port}", folder.parent / f"{name}.log", env) as server:
        server.headers = {"Authorization": f"Bearer {_token(server.url, scope)}"}
        yield server


def basic(name: str, secret: str) -> str:
    """Return an Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _token(url: str, scope: str) -> str:
    address = f"{url}/token?service=entrepot" + "".join(f"&scope={one}" for one in scope.split())
    request = urllib.request.Request(address, headers={"Authorization": basic("admin", PASSWORD)})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["token"])


@contextmanager
def registry2(folder: Path, *, storage: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """Start Debian's docker-registry on a folder, or another `storage` of its configuration, without authentication."""
    port = free_port()
    config = folder.parent / "registry2.yml"
    in_folder = {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}}
    http = {"addr": f"127.0.0.1:{port}"}
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": storage or in_folder,
                "http": http,
            }
        )
    )
    env = {key: value for key, value in os.environ.items() if key != "AWS_CA_BUNDLE"}
    command = ["docker-registry", "serve", str(config)]
    log = folder.parent / "registry2.log"
    with running(REGISTRY2, command, f"http://127.0.0.1:{port}", log, {**env, "OTEL_TRACES_EXPORTER": "none"}) as found:
        yield found


@contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """Start nginx serving the files below a folder."""
    port = free_port()
    config = folder.parent / "nginx.conf"
    own = folder.parent / "nginx"
    own.mkdir(exist_ok=True)
    config.write_text(
        f"worker_processes {WORKERS}; daemon off; pid {own}/pid; error_log {own}/error.log; "
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {own}/b; proxy_temp_path {own}/p; "
        f"fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u; scgi_temp_path {own}/s; "
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    folder.parent.chmod(0o755)
    command = ["nginx", "-c", str(config), "-p", str(own), "-g", "user root;"]
    with running(NGINX, command, f"http://127.0.0.1:{port}", folder.parent / "nginx.log") as server:
        yield server


@contextmanager
def bare(folder: Path) -> Iterator[Server]:
    """Start an application that does nothing, on the server that ours runs on."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port), str(WORKERS)]
    with running(BARE, command, f"http://127.0.0.1:{port}", folder.parent / "bare.log") as server:
        yield server
