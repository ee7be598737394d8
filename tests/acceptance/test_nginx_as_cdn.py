"""Pulls through nginx with `secure_link`, as the example has it: signed by the registry, checked and kept by nginx."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support import images
from tests.support.http_client import Client, eventually
from tests.support.object_stores import s3_values
from tests.support.ports import free_port
from tests.support.seaweedfs import SeaweedFs
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

    def hits_of(self, pulls: int) -> int:
        """Push three layers, pull them so many times by the cache, and count how often it had them."""
        client = Client.of(self.server, signed_in=False)
        layers = [bytes([number]) * 200_000 for number in range(3)]
        content = {client.push_blob("team/app", layer): layer for layer in layers}
        for pull in range(pulls):
            digest = list(content)[pull % 3]
            answer = client.request("GET", f"/v2/team/app/blobs/{digest}")
            assert answer.status == 307
            assert self.fetch(answer.headers["location"]) == (200, content[digest])
        states = [state for _, state in self.seen()]
        assert len(states) == pulls
        return states.count("HIT")

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
    with _running(tmp_path, tool("nginx")) as made:
        yield made


@pytest.fixture
def before_s3(tmp_path: Path, tool: Callable[[str], Path], seaweedfs: SeaweedFs) -> Iterator[Behind]:
    """Run both with a bucket in place of the folder."""
    values = s3_values(seaweedfs)
    origin, path = f"127.0.0.1:{seaweedfs.filer}", f"/buckets/{values['bucket']}"
    with _running(tmp_path, tool("nginx"), s3=values, origin=origin, path=path) as made:
        yield made


@contextmanager
def _running(
    folder: Path, program: Path, *, s3: dict[str, Any] | None = None, origin: str = "", path: str = ""
) -> Iterator[Behind]:
    cache, own = free_port(), free_port()
    config = yaml.safe_load((EXAMPLE / "config.yml").read_text(encoding="utf-8"))
    config["storage"]["filesystem"]["rootdirectory"] = str(folder / "data")
    config["middleware"]["storage"][0]["options"]["baseurl"] = f"http://127.0.0.1:{cache}"
    config["http"]["addr"] = "127.0.0.1:0"
    if s3 is not None:
        del config["storage"]["filesystem"]
        config["storage"]["s3"] = s3
        config["metadata"] = {"folder": str(folder / "state")}
    conf = (EXAMPLE / "nginx.conf").read_text(encoding="utf-8")
    for before, after in (
        ("listen 5080", f"listen 127.0.0.1:{cache}"),
        ("upstream origin { server 127.0.0.1:5081;", f"upstream origin {{ server {origin or f'127.0.0.1:{own}'};"),
        ("listen 127.0.0.1:5081", f"listen 127.0.0.1:{own}"),
        ("proxy_pass http://origin;", f"proxy_pass http://origin{path}$uri;" if path else "proxy_pass http://origin;"),
    ):
        assert before in conf, before
        conf = conf.replace(before, after)
    (folder / "nginx.conf").write_text(f"user root;\n{conf}", encoding="utf-8")
    with Server(text=yaml.safe_dump(config), listen="127.0.0.1:0") as server, _nginx(folder, program, cache):
        yield Behind(server, cache, folder / "cache.log")


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
    assert behind.hits_of(PULLS) >= 0.99 * PULLS
    assert "md5=" not in behind.log.read_text()


def test_hits_in_front_of_a_bucket(before_s3: Behind) -> None:
    """The same with SeaweedFS behind nginx: of 300 pulls of three layers, three ask the store."""
    assert before_s3.hits_of(300) == 297


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
