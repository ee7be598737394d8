"""A registry whose blobs lie in S3, as clients use it, with every request to the store counted."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.http_client import Client
from tests.support.layout import LAYER, Layout
from tests.support.object_stores import s3_values
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import Server, ServerFailed
from tests.support.store_faults import StoreProxy, refuse, store_proxy
from tests.support.store_operations import INTERNAL_ERROR
from tests.support.tools import ROOT, find_tool

MIB = 1 << 20


@pytest.fixture
def proxy(seaweedfs: SeaweedFs) -> Iterator[StoreProxy]:
    """Give what counts, and fails on request."""
    with store_proxy("s3", seaweedfs.port) as running:
        yield running


def config_of(proxy: StoreProxy, values: dict[str, object], state: Path, **storage: object) -> str:
    """Write a registry:2 configuration for a bucket, with SQLite in a folder of this machine."""
    s3 = values | {"regionendpoint": f"http://127.0.0.1:{proxy.port}"}
    return yaml.safe_dump(
        {
            "version": "0.1",
            "storage": {"s3": s3, "delete": {"enabled": True}, **storage},
            "metadata": {"folder": str(state)},
            "http": {"debug": {"addr": "127.0.0.1:0", "prometheus": {"enabled": True}}},
        }
    )


@pytest.fixture
def config(proxy: StoreProxy, seaweedfs: SeaweedFs, tmp_path: Path) -> str:
    """Give a configuration."""
    return config_of(proxy, s3_values(seaweedfs), tmp_path / "state")


@pytest.fixture
def server(config: str) -> Iterator[Server]:
    """Run a registry."""
    with Server(text=config) as running:
        yield running


def skopeo(*words: str) -> None:
    """Run skopeo against registries without TLS."""
    plain = [word for side in ("src", "dest") for word in (f"--{side}-tls-verify=false",)]
    done = subprocess.run(
        [find_tool("skopeo"), "copy", "--insecure-policy", "--quiet", "--preserve-digests", *plain, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def image(folder: Path, *sizes: int) -> Path:
    """Write an image with layers of these sizes."""
    layout, source = Layout(folder), random.Random(1)
    layers = [(layout.blob(source.randbytes(size), LAYER), f"sha256:{size:064}") for size in sizes]
    layout.tag(layout.image(layers))
    return folder


def asked(proxy: StoreProxy) -> Counter[str]:
    """Give what the store was asked since the last time."""
    counts = proxy.counts
    proxy.seen.clear()
    return counts


def client_of_metrics(server: Server) -> str:
    """Read the metrics, which workers publish twice a second."""
    time.sleep(1.5)
    return Client(url=server.debug_url).request("GET", "/metrics").body.decode()


def settle(proxy: StoreProxy) -> None:
    """Wait until all processes have looked whose bucket it is, and the jobs of the start have listed it."""
    seen, quiet = -1, 0
    while quiet < 4:
        time.sleep(0.5)
        quiet = quiet + 1 if len(proxy.seen) == seen and proxy.counts["ListMultipartUploads"] else 0
        seen = len(proxy.seen)
    asked(proxy)


def test_requests_to_the_store_are_few(server: Server, proxy: StoreProxy, tmp_path: Path) -> None:
    """A push asks once for what is small; a second tag, a mount and a pull that is sent on ask nothing."""
    layout = image(tmp_path / "image", 2_000_000, 2_000_000, 30 * MIB)
    settle(proxy)
    at = f"docker://{server.address}"
    skopeo(f"oci:{layout}:latest", f"{at}/team/app:v1")
    pushed = asked(proxy)
    assert pushed == {"PutObject": 3, "CreateMultipartUpload": 1, "UploadPart": 4, "CompleteMultipartUpload": 1}
    skopeo(f"oci:{layout}:latest", f"{at}/team/app:v2")
    assert asked(proxy) == {}
    client = Client.of(server)
    for blob in (layout / "blobs" / "sha256").iterdir():
        answer = client.request("POST", f"/v2/team/other/blobs/uploads/?mount=sha256:{blob.name}&from=team/app")
        assert answer.status in {201, 202}
    assert asked(proxy) == {}
    counted = client_of_metrics(server)
    assert 'entrepot_store_requests_total{op="complete",outcome="ok"} 1.0' in counted
    small = image(tmp_path / "small", *[100_000] * 6)
    skopeo(f"oci:{small}:latest", f"{at}/team/small:v1")
    assert asked(proxy) == {"PutObject": 7}
    skopeo(f"{at}/team/app:v1", f"dir:{tmp_path / 'pulled'}")
    assert {blob.name for blob in (layout / "blobs" / "sha256").iterdir()} <= {
        file.name for file in (tmp_path / "pulled").iterdir()
    } | {"manifest.json"} | {hashlib.sha256((tmp_path / "pulled" / "manifest.json").read_bytes()).hexdigest()}
    pulled = [seen for seen in proxy.seen if "X-Amz-Signature" not in seen.asked.target]
    assert [seen.operation for seen in pulled] == ["GetObject"], "the configuration, which is kept in memory then"


def test_bytes_pass_through_where_redirects_are_off(proxy: StoreProxy, seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    """Whole blobs and ranges of them come from the registry itself."""
    text = config_of(proxy, s3_values(seaweedfs), tmp_path / "state", redirect={"disable": True})
    layout = image(tmp_path / "image", 20 * MIB)
    largest = max((layout / "blobs" / "sha256").iterdir(), key=lambda blob: blob.stat().st_size)
    with Server(text=text) as server:
        skopeo(f"oci:{layout}:latest", f"docker://{server.address}/team/app:v1")
        client, path = Client.of(server), f"/v2/team/app/blobs/sha256:{largest.name}"
        whole = client.request("GET", path)
        assert (whole.status, hashlib.sha256(whole.body).hexdigest()) == (200, largest.name)
        part = client.request("GET", path, headers={"Range": "bytes=5000000-5999999"})
        assert (part.status, part.body) == (206, whole.body[5_000_000:6_000_000])


def test_an_upload_goes_on_in_another_process_after_a_kill(config: str, proxy: StoreProxy, tmp_path: Path) -> None:
    """What a killed server had acknowledged is there for the one that takes over, and nothing is left behind."""
    data = random.Random(2).randbytes(40 * MIB)
    parts = (data[: 15 * MIB], data[15 * MIB : 16 * MIB], data[16 * MIB :])
    with Server(text=config) as first:
        client = Client.of(first)
        place = client.request("POST", "/v2/team/app/blobs/uploads/").location
        sent = 0
        for part in parts[:2]:
            answer = client.request(
                "PATCH", place, body=part, headers={"Content-Range": f"{sent}-{sent + len(part) - 1}"}
            )
            assert answer.status == 202
            place, sent = answer.location, sent + len(part)
        os.kill(first.pid, 9)
    with Server(text=config) as second:
        client = Client.of(second)
        answer = client.request("GET", place)
        assert (answer.status, answer.headers["range"]) == (204, f"0-{sent - 1}")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        answer = client.request("PATCH", place, body=parts[2], headers={"Content-Range": f"{sent}-{len(data) - 1}"})
        mark = "&" if "?" in answer.location else "?"
        assert client.request("PUT", f"{answer.location}{mark}digest={digest}").status == 201
        assert client.request("HEAD", f"/v2/team/app/blobs/{digest}").headers["content-length"] == str(len(data))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"secretkey": "wrong"}, "the secret key is not the access key's"),
        ({"bucket": "missing-one"}, "there is no bucket of this name"),
    ],
)
def test_a_start_that_cannot_succeed_says_why(
    seaweedfs: SeaweedFs, proxy: StoreProxy, tmp_path: Path, changed: dict[str, object], says: str
) -> None:
    """The message names the bucket, and what to do."""
    text = config_of(proxy, s3_values(seaweedfs) | changed, tmp_path / "state")
    with pytest.raises(ServerFailed, match=says):
        Server(text=text)


def test_the_bucket_of_another_registry_is_left_alone(
    server: Server, proxy: StoreProxy, config: str, tmp_path: Path
) -> None:
    """A second registry with databases of its own does not begin to serve from, and collect in, the first one's."""
    theirs = yaml.safe_load(config) | {"metadata": {"folder": str(tmp_path / "other")}}
    with pytest.raises(ServerFailed, match="is used by another registry"):
        Server(text=yaml.safe_dump(theirs))


def test_without_its_store_it_is_degraded_and_ready(server: Server, proxy: StoreProxy) -> None:
    """While the store fails, `/readyz` is 200 and says so, manifests are served, and blobs are 503."""
    client = Client.of(server)
    digest = client.push_image("team/app", "one")
    assert client.request("GET", "/readyz").json() == {}
    proxy.fail(refuse(INTERNAL_ERROR))
    answer = client.request("POST", f"/v2/team/app/blobs/uploads/?digest=sha256:{'0' * 64}", os.urandom(100_000))
    assert answer.status == 503
    assert any(client.request("GET", "/readyz").json() for _ in range(10)), "the worker that met it does not say so"
    assert client.request("GET", "/readyz").status == 200
    assert client.request("GET", f"/v2/team/app/manifests/{digest}").status == 200
    proxy.heal()
    for _ in range(4):
        client.push_blob("team/app", os.urandom(100_000))
    assert client.request("GET", "/readyz").status == 200


@pytest.mark.parametrize("way", ["there", pytest.param("and back", marks=pytest.mark.full)])
def test_a_folder_moves_to_a_bucket_while_serving(
    seaweedfs: SeaweedFs, proxy: StoreProxy, tmp_path: Path, way: str
) -> None:
    """Each step is a restart with another configuration; all digests are equal after, either way."""
    data = tmp_path / "data"
    folder: dict[str, object] = {"filesystem": {"rootdirectory": str(data)}}
    bucket: dict[str, object] = {"s3": s3_values(seaweedfs) | {"regionendpoint": f"http://127.0.0.1:{proxy.port}"}}
    layout = image(tmp_path / "image", 100_000, 12 * MIB)

    def config(storage: dict[str, object], also: dict[str, object] | None) -> str:
        more = {} if also is None else {"also": also}
        place = {} if "filesystem" in storage else {"metadata": {"folder": str(data / "entrepot")}}
        return yaml.safe_dump(
            {"version": "0.1", "storage": {**storage, **more}, **place, "http": {"debug": {"addr": "127.0.0.1:0"}}}
        )

    def pulls(server: Server, to: str) -> None:
        skopeo(f"docker://{server.address}/team/app:v1", f"oci:{tmp_path / to}:latest")
        names = {blob.name for blob in (tmp_path / to / "blobs" / "sha256").iterdir()}
        assert names == {blob.name for blob in (layout / "blobs" / "sha256").iterdir()}

    with Server(text=config(folder, None)) as server:
        skopeo(f"oci:{layout}:latest", f"docker://{server.address}/team/app:v1")
    steps = [(bucket, folder), (folder, bucket)]
    for number, (here, there) in enumerate(steps[: 1 if way == "there" else 2]):
        with Server(text=config(here, there)) as server:
            pulls(server, f"before{number}")
            file = server.folder / "config.yml"
            assert "moved 3 blobs" in server.run("--config", str(file), "storage", "move")
            assert "moved 0 blobs" in server.run("--config", str(file), "storage", "move")
            pulls(server, f"beside{number}")
        with Server(text=config(here, None)) as server:
            pulls(server, f"after{number}")


def test_the_page_about_s3_is_right(seaweedfs: SeaweedFs, proxy: StoreProxy, tmp_path: Path) -> None:
    """Its configuration starts, but for what names the tests' own server; what it says of a move is there, too."""
    text = (ROOT / "docs" / "how-to" / "blobs-in-s3.md").read_text(encoding="utf-8")
    first, second = (yaml.safe_load(block.partition("```")[0]) for block in text.split("```yaml\n")[1:])
    written = first["storage"]["s3"]
    first["storage"]["s3"] = s3_values(seaweedfs) | {"regionendpoint": f"http://127.0.0.1:{proxy.port}"}
    assert written.keys() <= first["storage"]["s3"].keys()
    first["metadata"]["folder"] = str(tmp_path / "state")
    with Server(text=yaml.safe_dump(first)) as server:
        assert Client.of(server).push_blob("team/app", b"content").startswith("sha256:")
        assert "is ready to serve" in server.run("config", "check", str(server.folder / "config.yml"))
        (tmp_path / "moving.yml").write_text(yaml.safe_dump(second))
        assert "is ready to serve" in server.run("config", "check", str(tmp_path / "moving.yml"))
