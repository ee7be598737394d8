"""After an orderly stop, registry:2's own files say everything that was acknowledged before."""

from __future__ import annotations

import hashlib
import json
import urllib.request

from tests.support.server import Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = b"{}"
DIGEST = f"sha256:{hashlib.sha256(EMPTY).hexdigest()}"
DESCRIPTOR = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": DIGEST, "size": len(EMPTY)}
IMAGE = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": DESCRIPTOR, "layers": [DESCRIPTOR]}).encode()


def send(server: Server, method: str, path: str, body: bytes, kind: str) -> None:
    """Send a request that must succeed."""
    headers = {"Authorization": server.authorization, "Content-Type": kind}
    request = urllib.request.Request(f"{server.url}/v2/team/x/{path}", data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201


def push(server: Server, *tags: str) -> None:
    """Push an image under these tags, one request for each."""
    send(server, "POST", f"blobs/uploads/?digest={DIGEST}", EMPTY, "application/octet-stream")
    for tag in tags:
        send(server, "PUT", f"manifests/{tag}", IMAGE, MANIFEST)


def links(server: Server) -> set[str]:
    """Name the tags that registry:2 would find."""
    folder = server.data / "docker/registry/v2/repositories/team/x/_manifests/tags"
    expected = f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"
    return {link.parts[-3] for link in folder.glob("*/current/link") if link.read_text(encoding="utf-8") == expected}


def test_a_stop_right_after_a_push_writes_its_links() -> None:
    """What was pushed in the last moment before SIGTERM stands in registry:2's tree once the server has ended."""
    tags = {f"t{number}" for number in range(30)}
    with Server() as server:
        push(server, *sorted(tags))
        assert server.stop() == 0
        assert links(server) == tags


def test_a_stop_right_after_the_start_writes_them_too() -> None:
    """The same holds when the job worker had not begun to work yet."""
    with Server() as server:
        push(server, "only")
        assert server.stop() == 0
        server.start()
        push(server, "more")
        assert server.stop() == 0
        assert links(server) == {"only", "more"}
