"""Requests that get from us what Debian's docker-registry answers, asked of both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.oci import media_type
from tests.support.http_client import Answer, Client
from tests.support.manifests import descriptor, digest_of, image, index
from tests.support.registry2 import Registry2
from tests.support.server import Server

HEADERS = {
    "Access-Control-Allow-Origin": ["http://ui.test"],
    "Access-Control-Allow-Methods": ["HEAD", "GET", "OPTIONS", "DELETE"],
    "Access-Control-Expose-Headers": ["Docker-Content-Digest"],
}
BLOB = bytes(range(256)) * 8
DIGEST = digest_of(BLOB)
NAME = "team/app"


@dataclass(frozen=True)
class Pair:
    """The same requests go to both."""

    theirs: Client
    ours: Client

    def __iter__(self) -> Iterator[Client]:
        return iter((self.theirs, self.ours))

    def both(self, method: str, path: str, **headers: str) -> tuple[Answer, Answer]:
        """Ask both; no redirect is followed."""
        theirs, ours = (client.request(method, path, None, headers) for client in self)
        return theirs, ours


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run both with the same file, and the same content."""
    theirs = Registry2(tmp_path_factory.mktemp("theirs"), headers=HEADERS)
    config = {"http": {"headers": HEADERS}, "storage": {"delete": {"enabled": True}}}
    with theirs.running(), Server(config) as server:
        found = Pair(Client(url=f"http://{theirs.address}"), Client.of(server))
        for client in found:
            client.push_image(NAME, "v1", BLOB)
        yield found


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/_catalog", f"/v2/{NAME}/tags/list", f"/v2/{NAME}/manifests/v1", f"/v2/{NAME}/blobs/{DIGEST}"]
)
def test_options(pair: Pair, path: str) -> None:
    """A page of another site is told the same, so that it can go on."""
    asked = {"Origin": "http://ui.test", "Access-Control-Request-Method": "GET"}
    seen = []
    for client in pair:
        exchange = client.open("OPTIONS", path, None, asked)
        assert exchange.read().status == 200
        assert exchange.response is not None
        seen.append({name: sorted(exchange.response.headers.get_all(name) or []) for name in ("Allow", *HEADERS)})
    theirs, ours = seen
    methods = [set(one.pop("Allow", [""])) for one in (theirs, ours)]
    assert not methods[0] or methods[1]
    assert ours == theirs


@pytest.mark.parametrize(
    "path",
    [
        "//v2/",
        "//v2/_catalog?n=1",
        "/v2//_catalog",
        "/v2/_catalog/",
        f"/v2/{NAME}/tags/list/",
        f"/v2//{NAME}/tags/list",
        f"/v2/{NAME}/manifests/v1/",
        f"/v2/{NAME}/blobs/{DIGEST}/",
        "/v2/team//app/tags/list",
    ],
)
def test_slashes_too_many(pair: Pair, path: str) -> None:
    """301 to the right path."""
    theirs, ours = pair.both("GET", path)
    assert (ours.status, theirs.status) == (301, 301)
    assert ours.headers["location"] == theirs.headers["location"]


@pytest.mark.parametrize(
    "wanted", ["0-1,4-5", "0-0,-1", "4-5, 0-1", "5000-6000,0-1", "0-1,", "5000-,6000-", "0-5000,3-4", "0-1"]
)
def test_ranges(pair: Pair, wanted: str) -> None:
    """The same status, and the same parts in the same order."""
    answers = pair.both("GET", f"/v2/{NAME}/blobs/{DIGEST}", Range=f"bytes={wanted}")
    theirs, ours = ((answer.status, parts_of(answer)) for answer in answers)
    assert ours == theirs


def parts_of(answer: Answer) -> list[tuple[str, bytes]]:
    """Take the parts of an answer, and where they belong; an error has none."""
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    if kind != "multipart/byteranges":
        return [(answer.headers.get("content-range", ""), answer.body if answer.status < 400 else b"")]
    parts = answer.body.removeprefix(b"--" + boundary.encode()).split(b"\r\n--" + boundary.encode())
    found = []
    for part in parts[:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        where = re.search(rb"(?i)content-range: (.*)", head)
        assert where is not None
        found.append((where[1].decode().strip(), body))
    return found


def test_tags_of_a_repository_without_manifests(pair: Pair) -> None:
    """Blobs alone make no repository; one whose only image was deleted still is one."""
    for client in pair:
        client.push_blob("only/blobs", b"x")
        digest = client.push_image("was/tagged", "v1")
        assert client.request("DELETE", f"/v2/was/tagged/manifests/{digest}").status == 202
    for name in ("only/blobs", "was/tagged", "never/there"):
        theirs, ours = pair.both("GET", f"/v2/{name}/tags/list")
        assert ours.status == theirs.status
        assert (ours.json().get("tags") or []) == (theirs.json().get("tags") or [])


def test_blobs_of_a_deleted_image(pair: Pair) -> None:
    """They are read, and mounted elsewhere."""
    layer = b"the layer of an image that is deleted"
    for client in pair:
        digest = client.push_image("gone/image", "v1", layer)
        assert client.request("DELETE", f"/v2/gone/image/manifests/{digest}").status == 202
        assert client.request("GET", f"/v2/gone/image/blobs/{digest_of(layer)}").body == layer
        mount = f"/v2/other/image/blobs/uploads/?mount={digest_of(layer)}&from=gone/image"
        assert client.request("POST", mount).status == 201


@pytest.mark.parametrize("query", ["mount=bad&from=team/app", "mount=&from=team/app", f"mount={DIGEST}&from=BAD"])
def test_mounts_that_cannot_be(pair: Pair, query: str) -> None:
    """A session is opened, and the client sends the blob."""
    theirs, ours = pair.both("POST", f"/v2/{NAME}/blobs/uploads/?{query}")
    assert theirs.status == 202
    assert ours.status == 202 or "mount=sha256" in query


def test_a_patch_that_is_repeated(pair: Pair) -> None:
    """It is refused at both, and nothing is appended twice."""
    for client in pair:
        opened = client.request("POST", f"/v2/{NAME}/blobs/uploads/").location
        assert client.request("PATCH", opened, b"12345").status == 202
        assert client.request("PATCH", opened, b"12345").status in (404, 416)


CONTENTS = {
    "a Docker image": (media_type.DOCKER_MANIFEST, media_type.DOCKER_CONFIG),
    "a Docker plugin": (media_type.DOCKER_MANIFEST, media_type.DOCKER_PLUGIN_CONFIG),
    "an OCI image": (media_type.OCI_MANIFEST, media_type.OCI_CONFIG),
    "a chart": (media_type.OCI_MANIFEST, "application/vnd.cncf.helm.config.v1+json"),
    "a chart in Docker's form": (media_type.DOCKER_MANIFEST, "application/vnd.cncf.helm.config.v1+json"),
}


@pytest.mark.parametrize("classes", [["image"], ["plugin"], ["image", "plugin"]])
def test_classes_of_content(classes: list[str], tmp_path: Path) -> None:
    """Both take and refuse the same kinds of content; an index of what may be there is taken."""
    policy = {"repository": {"classes": classes}}
    theirs = Registry2(tmp_path / "theirs", policy=policy)
    with theirs.running(), Server({"policy": policy}) as server:
        clients = (Client(url=f"http://{theirs.address}"), Client.of(server))
        for name, (kind, config) in CONTENTS.items():
            answers = [pushed(client, kind, config) for client in clients]
            assert answers[0].status == answers[1].status, name
            assert answers[0].status == 201 or answers[1].json()["errors"][0]["code"] == "DENIED", name
        headers = {"Content-Type": media_type.OCI_INDEX}
        for client in clients:
            assert client.request("PUT", f"/v2/{NAME}/manifests/multi", index(), headers).status == 201


def pushed(client: Client, kind: str, config: str) -> Answer:
    """Push a manifest of this type, whose configuration is of that type."""
    client.push_blob(NAME, b"{}")
    body = image(b"{}", mediaType=kind, config=descriptor(b"{}", config))
    return client.request("PUT", f"/v2/{NAME}/manifests/some", body, {"Content-Type": kind})


def test_debug_vars(tmp_path: Path) -> None:
    """What registry:2 shows of itself at /debug/vars has the same form here, and a figure of memory that is one."""
    theirs = Registry2(tmp_path / "theirs", debug=True)
    with theirs.running(), Server({"auth": {"none": {}}}) as server:
        shown = [Client(url=url).request("GET", "/debug/vars").json() for url in (theirs.debug_url, server.debug_url)]
    assert shown[0].keys() == shown[1].keys()
    assert shown[0]["registry"] == shown[1]["registry"]
    assert shown[1]["memstats"].keys() <= shown[0]["memstats"].keys()
    assert shown[1]["memstats"]["Sys"] > 50_000_000
