"""Real clients pull from a registry over S3: by redirect, through the registry, by its disk cache, and by a CDN."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.acceptance.test_docker import assert_round_trip
from tests.support.cdn_checkers import cloudfront
from tests.support.container_storage import container_storage
from tests.support.docker import Docker
from tests.support.http_client import Client
from tests.support.layout import blob_names, digest_in
from tests.support.network import ADDRESS, Network
from tests.support.object_stores import s3_values
from tests.support.passage import Passage, passage
from tests.support.places import Place
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal

LAYER = 3 << 20


@dataclass(frozen=True)
class OverS3:
    """A registry, its store's two ways, and how clients know it."""

    place: Place
    ours: Passage  #: what the registry asks the store
    theirs: Passage  #: what clients ask it
    redirects: bool  #: whether clients are sent there

    def about_blobs(self) -> list[str]:
        """List what the registry asked about blobs; jobs ask about other things meanwhile."""
        return [line for line in self.ours.requests if "/entrepot/blobs/" in line]

    def fetched(self) -> list[str]:
        """List what clients fetched from the store since the last time."""
        seen = [line for line in self.theirs.requests if line.startswith("GET ")]
        self.theirs.requests.clear()
        return seen


def _text(values: dict[str, Any], folder: Path, **storage: Any) -> str:
    config = {
        "version": "0.1",
        "storage": {"s3": values, "delete": {"enabled": True}, **storage},
        "metadata": {"folder": str(folder / "state")},
        "auth": "accounts",
    }
    return yaml.safe_dump(config)


@contextmanager
def _over_s3(network: Network, seaweedfs: SeaweedFs, folder: Path, **storage: Any) -> Iterator[OverS3]:
    with (
        passage(network, seaweedfs.port, "127.0.0.1") as ours,
        passage(network, seaweedfs.port, ADDRESS) as theirs,
    ):
        values = s3_values(seaweedfs) | {
            "regionendpoint": f"http://{ours.address}",
            "redirectendpoint": f"http://{theirs.address}",
        }
        with Server(text=_text(values, folder, **storage), prefix=network.prefix) as server:
            place = Place(kind="s3", server=server, login=("admin", ADMIN_PASSWORD))
            yield OverS3(place, ours, theirs, redirects="redirect" not in storage)


@pytest.fixture(scope="module")
def redirecting(network: Network, seaweedfs: SeaweedFs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverS3]:
    """Give a registry that sends clients on, as it does without a word."""
    with _over_s3(network, seaweedfs, tmp_path_factory.mktemp("redirecting")) as made:
        yield made


@pytest.fixture(scope="module")
def passing(network: Network, seaweedfs: SeaweedFs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverS3]:
    """Give a registry that passes all bytes itself."""
    with _over_s3(network, seaweedfs, tmp_path_factory.mktemp("passing"), redirect={"disable": True}) as made:
        yield made


@pytest.fixture(params=["redirecting", "passing"])
def over_s3(request: pytest.FixtureRequest) -> OverS3:
    """Give both in turn."""
    made: OverS3 = request.getfixturevalue(request.param)
    made.fetched()
    return made


def _assert_way(over_s3: OverS3) -> None:
    """Layers came from the store where clients are sent there, and else nothing did."""
    fetched = over_s3.fetched()
    assert bool(fetched) == over_s3.redirects
    assert all("X-Amz-Signature=" in line for line in fetched)


def test_docker(docker: Docker, over_s3: OverS3, busybox: Path) -> None:
    """The Docker engine, in both of its stores, logs in, pushes, pulls and runs."""
    docker.login(over_s3.place)
    name = f"docker-{docker.store}/hello"
    assert_round_trip(docker, over_s3.place, busybox, name)
    _assert_way(over_s3)
    assert docker.run("run", "--rm", "--network", "none", f"{over_s3.place.address}/{name}:1") == "hello"


def test_podman(terminal: Terminal, tmp_path: Path, over_s3: OverS3, busybox: Path) -> None:
    """Podman pulls what Skopeo pushed, and runs it."""
    skopeo = Skopeo(terminal, over_s3.place)
    skopeo.login()
    skopeo.to_registry(busybox, "podman/hello:1")
    over_s3.fetched()
    full = f"{over_s3.place.address}/podman/hello:1"
    with container_storage(terminal, tmp_path / "containers") as engine:
        name, password = over_s3.place.login or ("", "")
        engine.run(
            *("podman", "login", "--tls-verify=false", "--username", name, "--password-stdin", over_s3.place.address),
            given=password,
        )
        engine.run("podman", "pull", "--tls-verify=false", "--quiet", full)
        digest = engine.run("podman", "image", "inspect", "--format", "{{.Digest}}", full)
    assert digest == digest_in(busybox)
    _assert_way(over_s3)


def test_skopeo_and_a_large_image(terminal: Terminal, tmp_path: Path, redirecting: OverS3, debian: Path) -> None:
    """A Debian of five layers comes back with the same digest and the same blobs."""
    over_s3 = redirecting
    skopeo = Skopeo(terminal, over_s3.place)
    skopeo.login()
    skopeo.to_registry(debian, "skopeo/debian:13")
    over_s3.fetched()
    skopeo.to_layout("skopeo/debian:13", tmp_path / "pulled")
    assert digest_in(tmp_path / "pulled") == digest_in(debian)
    assert blob_names(tmp_path / "pulled") == blob_names(debian)
    _assert_way(over_s3)


def test_curl_with_ranges_and_headers(terminal: Terminal, redirecting: OverS3) -> None:
    """curl follows with its range; the store says what we asked it to say, and nobody gets in with another query."""
    client = _inside(terminal, redirecting)
    content = bytes(range(256)) * (LAYER // 256)
    digest = client.push(content)
    ours, theirs, body = client.curl("-i", "-L", "-r", "65-69", digest).split("\n\n")
    assert " 307 " in ours.splitlines()[0]
    assert " 206 " in theirs.splitlines()[0]
    assert body == content[65:70].decode()
    assert "Cache-Control: max-age=31536000, immutable" in theirs
    assert "Content-Type: application/octet-stream" in theirs
    location = client.curl("-w", "%{redirect_url}", digest)
    assert location.startswith(f"http://{redirecting.theirs.address}/")
    assert "X-Amz-Expires=1200" in location
    for wrong in (
        location.replace("X-Amz-Signature=", "X-Amz-Signature=0"),
        location.replace("X-Amz-Expires=1200", "X-Amz-Expires=120000"),
        location.partition("?")[0],
        location.replace("response-content-type=", "response-content-type=text%2Fhtml&x="),
    ):
        assert terminal.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", wrong) == "403", wrong
    logs = redirecting.place.server.logs()
    assert "X-Amz-Signature" not in logs
    assert location.rpartition("=")[2] not in logs


def test_a_pull_that_is_sent_on_asks_the_store_nothing(terminal: Terminal, redirecting: OverS3) -> None:
    """Whatever clients ask of a layer, the registry asks the store nothing: neither for HEAD, nor for ranges."""
    client = _inside(terminal, redirecting)
    digest = client.push(b"y" * LAYER)
    client.curl(digest)
    redirecting.ours.requests.clear()
    for words in ((), ("-I",), ("-r", "5-9"), ("-L",), ("-L", "-r", "0-")):
        client.curl("-o", "/dev/null", *words, digest)
    assert redirecting.about_blobs() == []


def test_what_passes_through_is_kept_on_the_node(
    network: Network, seaweedfs: SeaweedFs, tmp_path: Path, terminal: Terminal
) -> None:
    """Clients in an excepted network get layers from the node's disk: one request to the store for forty at once."""
    storage = {
        "redirect": {"except": ["127.0.0.0/8"]},
        "cache": {"disk": {"rootdirectory": str(tmp_path / "cache"), "maxsize": "1GiB"}},
    }
    with _over_s3(network, seaweedfs, tmp_path, **storage) as made:
        client = _inside(terminal, made)
        content = b"z" * (8 * LAYER)
        digest = client.push(content)
        made.ours.requests.clear()
        with ThreadPoolExecutor(40) as pool:
            sums = list(pool.map(lambda _: client.sum_of(digest), range(40)))
        assert sums == [digest.partition(":")[2]] * 40
        assert len(made.about_blobs()) == 1
        assert [file.stat().st_size for file in (tmp_path / "cache").glob("*/sha256-*")] == [len(content)]
        made.place.server.stop()
        made.ours.requests.clear()
        made.place.server.start()
        made.ours.requests.clear()
        assert client.sum_of(digest) == digest.partition(":")[2], "kept over the restart"
        assert made.about_blobs() == []


def test_cloudfront_as_registry2_configures_it(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    """A registry:2 file with S3 and CloudFront starts unchanged; the URL is one that CloudFront lets in."""
    key = rsa.generate_private_key(65537, 2048)
    pem = tmp_path / "cloudfront.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    values = s3_values(seaweedfs)
    config = yaml.safe_load(_text(values, tmp_path))
    options = {"baseurl": "https://my.cloudfront.example/", "privatekey": str(pem), "keypairid": "ABCEDFGHIJKLMNOPQRST"}
    options |= {"duration": "3000s", "ipfilteredby": "none", "updatefrenquency": "12h"}
    config |= {"middleware": {"storage": [{"name": "cloudfront", "options": options}]}, "auth": "none"}
    with Server(text=yaml.safe_dump(config)) as server:
        client = Client.of(server, signed_in=False)
        digest = client.push_blob("team/app", b"x" * LAYER)
        answer = client.request("GET", f"/v2/team/app/blobs/{digest}")
        location = answer.headers["location"]
        assert answer.status == 307
        assert location.startswith(f"https://my.cloudfront.example{values['rootdirectory']}/")
        assert cloudfront(location, {"ABCEDFGHIJKLMNOPQRST": key.public_key()}, time.time())
        name = location.partition("example/")[2].partition("?")[0]
    stored = seaweedfs.client().get_object(Bucket=values["bucket"], Key=name)["Body"].read()
    assert f"sha256:{hashlib.sha256(stored).hexdigest()}" == digest, "the CDN asks its origin for what is there"


@dataclass(frozen=True)
class _Inside:
    """curl, in the network of a registry."""

    terminal: Terminal
    over_s3: OverS3

    def push(self, content: bytes) -> str:
        """Push a blob, and give its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        file = self.terminal.home / "blob"
        file.write_bytes(content)
        url = f"http://{self.over_s3.place.address}/v2/team/app/blobs/uploads/?digest={digest}"
        upload = ("-X", "POST", "--data-binary", f"@{file}", "-H", "Content-Type: application/octet-stream")
        code = self.terminal.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *upload, *self._login(), url)
        assert code == "201", code
        return digest

    def curl(self, *words: str) -> str:
        """Ask for a blob, which is the last word."""
        *options, digest = words
        url = f"http://{self.over_s3.place.address}/v2/team/app/blobs/{digest}"
        return self.terminal.run("curl", "-s", *options, *self._login(), url)

    def sum_of(self, digest: str) -> str:
        """Fetch a blob, and give its SHA-256."""
        url = f"http://{self.over_s3.place.address}/v2/team/app/blobs/{digest}"
        command = f"curl -sfL {' '.join(self._login())} {url} | sha256sum"
        return self.terminal.run("bash", "-c", command).split()[0]

    def _login(self) -> tuple[str, ...]:
        name, password = self.over_s3.place.login or ("", "")
        return ("-u", f"{name}:{password}")


def _inside(terminal: Terminal, over_s3: OverS3) -> _Inside:
    return _Inside(terminal, over_s3)
