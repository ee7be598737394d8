"""Published faults of other registries that only a real process can show not to have.

The others stand beside what they are about: `grep -rn test_cve tests`. Several are about fetching from elsewhere; no
part of this release does that, and the tests on outgoing connections keep it so.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.acknowledged import OCI_MANIFEST, digest_of
from tests.support.http_client import Client
from tests.support.raw_client import encounter
from tests.support.server import Server
from tests.support.traced import traced

MIB = 1 << 20
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
UP = [
    *("../../../../outside", "..%2f..%2f..%2foutside", "%2e%2e/%2e%2e/outside", "..\\..\\outside", "....//outside"),
    *(
        "%252e%252e%252foutside",
        "..%c0%af..%c0%afoutside",
        "..%00/outside",
        "/outside",
        "//outside",
        "\uff0e\uff0e/outside",
    ),
    *("sha256:../../../../outside", "sha256:" + "../" * 21 + "o", "outside%00.json", "..;/outside", "%2f%2foutside"),
]
PLACES = [
    "GET /v2/{}/manifests/latest",
    "GET /v2/a/b/manifests/{}",
    "GET /v2/a/b/blobs/{}",
    "GET /v2/a/b/blobs/uploads/{}",
    "PATCH /v2/a/b/blobs/uploads/{}",
    "DELETE /v2/a/b/blobs/uploads/{}",
    "PUT /v2/{}/manifests/latest",
    "POST /v2/{}/blobs/uploads/",
    "POST /v2/a/b/blobs/uploads/?mount={}&from=a/b",
    "POST /v2/a/b/blobs/uploads/?mount=sha256:" + "0" * 64 + "&from={}",
    "PUT /v2/a/b/blobs/uploads/x?digest={}",
    "GET /v2/{}/tags/list",
    "GET /v2/a/b/referrers/{}",
    "GET /{}",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry open to everybody, with a file beside its folder that is none of its business."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "outside").write_text("a secret")
    config = {"auth": {"none": {}}, "storage": {"delete": {"enabled": True}}, "log": {"accesslog": {"disabled": True}}}
    with Server(config, data=folder / "data") as running:
        yield running


async def test_cve_2014_9358_no_path_leads_outside(server: Server, tmp_path: Path) -> None:
    """Whatever stands in the place of a name, a tag, a digest or an upload: no file outside of the folder is opened."""
    Client.of(server).push_image("a/b", "latest")
    with traced(server, tmp_path) as trace:
        for place in PLACES:
            for text in UP:
                line = f"{place.format(text)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                result = await encounter(server.port, line.encode(), patience=5)
                assert all(reply.status < 500 for reply in result.replies), line
                assert b"a secret" not in result.received, line
    own = (str(server.data), sys.prefix, sys.base_prefix, "/usr/", "/proc/", "/sys/", "/dev/", "/tmp/entrepot-run-")
    assert any(path.startswith(str(server.data)) for path in trace.opened)
    assert [path for path in trace.opened if path.startswith("/") and not path.startswith(own)] == []
    assert [path for path in trace.opened if "outside" in path or ".." in path] == []


def test_cve_2020_15157_urls_in_manifests_are_never_fetched(server: Server, tmp_path: Path) -> None:
    """An image whose layer is kept elsewhere is stored and served, and nobody ever asks that place for anything."""
    client = Client.of(server)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, traced(server, tmp_path) as trace:
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/layer"
        layer = {"mediaType": FOREIGN_LAYER, "digest": digest_of(b"elsewhere"), "size": 9, "urls": [url]}
        config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": client.push_blob("c/d", b"{}"), "size": 2}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
        body = json.dumps(document).encode()
        put = client.request("PUT", "/v2/c/d/manifests/foreign", body, {"Content-Type": OCI_MANIFEST})
        assert put.status == 201
        assert client.request("GET", "/v2/c/d/manifests/foreign").body == body
        assert client.request("GET", f"/v2/c/d/blobs/{layer['digest']}").status == 404
        elsewhere.settimeout(1)
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert trace.connected == []


def test_cve_2026_33540_nothing_is_asked_of_anybody(server: Server, tmp_path: Path) -> None:
    """A mirror's `ns`, a foreign `from` and headers that name other hosts lead to no connection."""
    client = Client.of(server)
    odd = {"X-Forwarded-Host": "127.0.0.2:9", "Forwarded": "host=127.0.0.2:9", "Authorization": "Bearer a.b.c"}
    with traced(server, tmp_path) as trace:
        assert client.request("GET", "/v2/no/such/manifests/latest?ns=127.0.0.2:9", headers=odd).status in (401, 404)
        query = f"?mount={digest_of(b'none')}&from=127.0.0.2:9/library/x"
        assert client.request("POST", "/v2/a/b/blobs/uploads/" + query, headers=odd).status in (202, 401)
        assert client.request("GET", "/v2/", headers=odd).status in (200, 401)
    assert trace.connected == []


async def test_cve_2017_11468_a_gibibyte_of_manifest_is_not_read(server: Server) -> None:
    """A manifest without an announced length is cut soon after the limit: 413, and no memory taken."""
    before = {worker.pid: worker.memory_info().rss for worker in server.web_workers()}
    head = b"PUT /v2/a/b/manifests/huge HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    result = await encounter(server.port, head, drip=piece, every=0, patience=60)
    assert [reply.status for reply in result.replies] == [413]
    assert result.replies[0].code == "MANIFEST_INVALID"
    assert result.closed
    for worker in server.web_workers():
        assert worker.memory_info().rss - before[worker.pid] < 32 * MIB
