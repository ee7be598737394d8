"""Debian's docker-registry (registry:2) on a folder, and what Skopeo finds in any registry."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.layout import blob_names
from tests.support.tools import find_tool

_START_SECONDS = 30.0


class Registry2:
    """registry:2 with everything allowed, on a folder; its configuration and log lie beside that."""

    def __init__(
        self, root: Path, *, headers: Mapping[str, list[str]] | None = None, debug: bool = False, **sections: object
    ) -> None:
        self.root = root
        self.address = f"127.0.0.1:{_free_port()}"
        self.debug_url = f"http://127.0.0.1:{_free_port()}"
        self._folder = root.with_name(f"{root.name}-of-registry2")
        self._folder.mkdir(exist_ok=True)
        self._config = self._folder / "config.yml"
        storage = {"filesystem": {"rootdirectory": str(root)}, "delete": {"enabled": True}}
        log = {"level": "error", "accesslog": {"disabled": True}}
        http: dict[str, object] = {"addr": self.address, "headers": headers or {}}
        if debug:
            http["debug"] = {"addr": self.debug_url.removeprefix("http://")}
        whole = {"version": 0.1, "log": log, "storage": storage, "http": http, **sections}
        self._config.write_text(json.dumps(whole))

    @contextmanager
    def running(self) -> Iterator[Registry2]:
        """Serve the folder for a while."""
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [find_tool("docker-registry"), "serve", self._config], env=_environment(), stdout=log, stderr=log
            )
            try:
                self._wait(process)
                yield self
            finally:
                process.terminate()
                process.wait(timeout=30)

    def collect(self, *options: str) -> str:
        """Run its garbage collection; gives what it said."""
        command = [find_tool("docker-registry"), "garbage-collect", *options, self._config]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5).close()
            except (urllib.error.URLError, OSError):
                log = (self._folder / "log").read_text()
                assert process.poll() is None, f"docker-registry ended: {log}"
                assert time.monotonic() < deadline, f"docker-registry does not answer: {log}"
                time.sleep(0.02)
            else:
                return


def skopeo(*words: str | Path) -> str:
    """Run Skopeo, as somebody without any login."""
    return skopeo_bytes(*words).decode().strip()


def skopeo_bytes(*words: str | Path) -> bytes:
    """Run it, and give exactly what it printed."""
    with tempfile.TemporaryDirectory(prefix="skopeo-") as home:
        environment = {**_environment(), "HOME": home, "XDG_RUNTIME_DIR": home}
        done = subprocess.run(
            [find_tool("skopeo"), *words], env=environment, capture_output=True, check=False, timeout=120
        )
    assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def push(layout: Path, address: str, name: str, *options: str) -> None:
    """Push everything that a layout holds as one tag."""
    skopeo(
        "copy", "--all", "--quiet", "--dest-tls-verify=false", *options, f"oci:{layout}", f"docker://{address}/{name}"
    )


def catalog(address: str) -> list[str]:
    """List the repositories."""
    return list(json.loads(get(address, "_catalog?n=1000"))["repositories"])


def tags(address: str, repository: str) -> list[str]:
    """List the tags of a repository; registry:2 knows none with only blobs."""
    if status(address, f"{repository}/tags/list", "GET") == 404:
        return []
    return sorted(json.loads(get(address, f"{repository}/tags/list"))["tags"] or [])


def get(address: str, path: str) -> bytes:
    """Ask for something below /v2/."""
    with urllib.request.urlopen(f"http://{address}/v2/{path}", timeout=30) as answer:
        return bytes(answer.read())


def status(address: str, path: str, method: str = "HEAD", body: bytes | None = None, **headers: str) -> int:
    """Say what a request below /v2/ is answered with."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://{address}/v2/{path}", data=body, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def everything(address: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Pull every tag of every repository by Skopeo: its digest, and the digests of all bytes below it, each checked."""
    found = {}
    for repository in catalog(address):
        for tag in tags(address, repository):
            found[f"{repository}:{tag}"] = whole(address, f"{repository}:{tag}")
    return found


def whole(address: str, name: str) -> tuple[str, frozenset[str]]:
    """Pull one tag with all that belongs to it."""
    source = f"docker://{address}/{name}"
    raw = skopeo_bytes("inspect", "--raw", "--tls-verify=false", source)
    with tempfile.TemporaryDirectory(prefix="pulled-") as folder:
        words = ("copy", "--all", "--quiet", "--preserve-digests", "--src-tls-verify=false")
        skopeo(*words, source, f"oci:{folder}/layout:it")
        return f"sha256:{hashlib.sha256(raw).hexdigest()}", frozenset(blob_names(Path(folder) / "layout"))


def _environment() -> dict[str, str]:
    foreign = ("REGISTRY_", "AWS_")  # the last would make Debian's build look for a certificate of its own
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "OTEL_TRACES_EXPORTER": "none"}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
