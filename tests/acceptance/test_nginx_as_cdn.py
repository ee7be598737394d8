"""Pulls through nginx with `secure_link`, as the example has it: signed by the registry, checked and kept by nginx."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import images
from tests.support.http_client import Client, eventually
from tests.support.replicas import free_port
from tests.support.server import Server

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "nginx-as-cdn"
PULLS = 1000


@dataclass(frozen=True)
class Behind:
    """A registry, and the cache in front of its folder."""

    server: Server
    cache: int
    log: Path

    def seen(self) -> list[tuple[str, str]]:
        """List status and state of what the cache was asked."""
        return [(status, state) for status, state, *_ in map(str.split, self.log.read_text().splitlines())]

    def fetch(self, url: str, **headers: str) -> tuple[int, bytes]:
        """Get a URL of the cache."""
        connection = http.client.HTTPConnection("127.0.0.1", self.cache, timeout=20)
        try:
            connection.request("GET", url.partition(f":{self.cache}")[2], headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def behind(tmp_path: Path, tool: Callable[[str], Path]) -> Iterator[Behind]:
    """Run both from the example's files, on free ports."""
    cache, origin = free_port(), free_port()
    text = (EXAMPLE / "config.yml").read_text(encoding="utf-8")
    for before, after in (
        ("./data", str(tmp_path / "data")),
        ("cache.example.org:5080", f"127.0.0.1:{cache}"),
        ("127.0.0.1:5000", "127.0.0.1:0"),
    ):
        assert before in text
        text = text.replace(before, after)
    conf = (EXAMPLE / "nginx.conf").read_text(encoding="utf-8")
    for before, after in (("listen 5080", f"listen 127.0.0.1:{cache}"), ("127.0.0.1:5081", f"127.0.0.1:{origin}")):
        assert before in conf
        conf = conf.replace(before, after)
    (tmp_path / "nginx.conf").write_text(f"user root;\n{conf}", encoding="utf-8")
    with Server(text=text, listen="127.0.0.1:0") as server, _nginx(tmp_path, tool("nginx"), cache):
        yield Behind(server, cache, tmp_path / "cache.log")


def is_listening(port: int) -> bool:
    """Tell whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _nginx(folder: Path, program: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"], cwd=folder)
    try:
        eventually(lambda: is_listening(port), what="nginx")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_clients_pull_by_the_cache(behind: Behind, tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """Skopeo pushes to the registry and pulls layers from nginx, twice; the store is asked once."""
    layout = tmp_path / "image"
    digest = images.busybox(layout)
    place = f"docker://127.0.0.1:{behind.server.port}/team/app:1"
    skopeo = (tool("skopeo"), "--insecure-policy", "copy")
    subprocess.run([*skopeo, "--dest-tls-verify=false", f"oci:{layout}", place], check=True)
    for number in (1, 2):
        target = f"oci:{tmp_path / f'pulled{number}'}"
        subprocess.run([*skopeo, "--src-tls-verify=false", place, target], check=True)
    assert digest.removeprefix("sha256:") in {path.name for path in (tmp_path / "pulled2/blobs/sha256").iterdir()}
    states = behind.seen()
    assert {status for status, _ in states} == {"200"}
    assert [state for _, state in states] == ["MISS", "HIT"], "one layer is larger than what the registry has in memory"


def test_hits_of_a_thousand_pulls(behind: Behind) -> None:
    """Of 1,000 pulls of three layers, at least 99 in 100 are answered by the cache; its log holds no signature."""
    client = Client.of(behind.server, signed_in=False)
    layers = [bytes([number]) * 200_000 for number in range(3)]
    content = {client.push_blob("team/app", layer): layer for layer in layers}
    for pull in range(PULLS):
        digest = list(content)[pull % 3]
        answer = client.request("GET", f"/v2/team/app/blobs/{digest}")
        assert answer.status == 307
        assert behind.fetch(answer.headers["location"]) == (200, content[digest])
    states = [state for _, state in behind.seen()]
    assert len(states) == PULLS
    assert states.count("HIT") >= 0.99 * PULLS, states
    assert "md5=" not in behind.log.read_text()


def test_the_cache_checks_what_the_registry_signed(behind: Behind) -> None:
    """Ranges work; another path, a changed time, and no signature at all are refused by nginx itself."""
    client = Client.of(behind.server, signed_in=False)
    first, other = (client.push_blob("team/app", bytes([number]) * 200_000) for number in (1, 2))
    url = client.request("GET", f"/v2/team/app/blobs/{first}").headers["location"]
    assert behind.fetch(url) == (200, b"\1" * 200_000)
    assert behind.fetch(url, Range="bytes=5-9") == (206, b"\1" * 5)
    expires = urlsplit(url).query.partition("expires=")[2]
    for wrong, status in (
        (url.replace(first.partition(":")[2], other.partition(":")[2]), 403),
        (url.replace(f"expires={expires}", f"expires={int(expires) + 1}"), 403),
        (url.replace(f"expires={expires}", "expires=1000000000"), 403),
        (url.partition("?")[0], 403),
    ):
        assert behind.fetch(wrong)[0] == status, wrong
