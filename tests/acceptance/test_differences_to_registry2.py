"""What is answered otherwise than by Debian's docker-registry: nothing but what is named here.

Some 140 requests go to both. The status and the codes of errors must be the same, or be those that `MEANT` names;
docs/explanation/compatibility-with-registry2.md says why. A new difference fails here until somebody meant it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest

from entrepot.oci import media_type as media_types
from tests.support.http_client import Answer, Client
from tests.support.manifests import digest_of, entry, image, index
from tests.support.registry2 import Registry2
from tests.support.server import Server

Ask = Callable[[Client], Answer]

NAME: Final = "a/b"
LAYER, CONFIG = b"layer", b"{}"
OCI, IDX, DOCKER = media_types.OCI_MANIFEST, media_types.OCI_INDEX, media_types.DOCKER_MANIFEST
IMAGE: Final = image(CONFIG, LAYER)
NOWHERE: Final = f"sha256:{'3' * 64}"
BYTES: Final = b"hello"
OCTETS: Final = {"Content-Type": "application/octet-stream"}
UNTYPED: Final = json.dumps({key: value for key, value in json.loads(IMAGE).items() if key != "mediaType"}).encode()

#: By the name of the request: what they answer, what we do. A status, and the codes of an error.
MEANT: Final[Mapping[str, tuple[str, str]]] = {
    # pushes
    "put without a type": ("400 MANIFEST_INVALID", "201"),
    "put with a wrong size": ("201", "400 MANIFEST_INVALID"),
    "put by a bad tag": ("404", "400 TAG_INVALID"),
    "put by a long tag": ("404", "400 TAG_INVALID"),
    "put to a long name": ("500 UNKNOWN", "400 NAME_INVALID"),
    "put by sha512": ("400 DIGEST_INVALID", "201"),
    "put of an unreadable range": ("202", "416 RANGE_INVALID"),
    "put of a chunk elsewhere": ("202", "416 RANGE_INVALID"),
    "put of a chunk of another length": ("202", "400 SIZE_INVALID"),
    "patch as json": ("500 UNKNOWN", "202"),
    "put as a form": ("400 DIGEST_INVALID", "201"),
    "put after a wrong digest": ("404 BLOB_UPLOAD_INVALID", "416 RANGE_INVALID"),
    "post with digest and body": ("202", "201"),
    "post with a bad digest": ("202", "400 DIGEST_INVALID"),
    "session elsewhere": ("404 BLOB_UPLOAD_INVALID", "404 BLOB_UPLOAD_UNKNOWN"),
    "GET of no session": ("404 BLOB_UPLOAD_INVALID", "404 BLOB_UPLOAD_UNKNOWN"),
    "PATCH of no session": ("404 BLOB_UPLOAD_INVALID", "404 BLOB_UPLOAD_UNKNOWN"),
    "DELETE of no session": ("404 BLOB_UPLOAD_INVALID", "404 BLOB_UPLOAD_UNKNOWN"),
    "PUT of no session": ("404 BLOB_UPLOAD_INVALID", "400 DIGEST_INVALID"),
    "GET of uploads": ("404 BLOB_UPLOAD_UNKNOWN", "405 UNSUPPORTED"),
    "PUT of uploads": ("404 BLOB_UPLOAD_UNKNOWN", "405 UNSUPPORTED"),
    # pulls
    **{
        f"{method} {what} as {accept}": (
            "404 MANIFEST_UNKNOWN" if method == "GET" else "404",
            "200",
        )
        for method in ("GET", "HEAD")
        for what in ("tag", "digest")
        for accept in ("nothing", "Docker", "anything", "index", "JSON")
    },
    "GET of a bad tag": ("404", "404 MANIFEST_UNKNOWN"),
    "GET of a manifest by a bad digest": ("500 UNKNOWN", "400 DIGEST_INVALID"),
    "GET of a manifest by md5": ("500 UNKNOWN", "400 DIGEST_INVALID"),
    "GET of a layer as manifest": ("500 UNKNOWN", "404 MANIFEST_UNKNOWN"),
    "GET of a blob by no digest": ("404", "400 DIGEST_INVALID"),
    "HEAD of a blob by no digest": ("404", "400"),
    "HEAD of a range": ("206", "200"),
    # lists
    "tags, n negative": ("200", "400 PAGINATION_NUMBER_INVALID"),
    "tags, n no number": ("200", "400 PAGINATION_NUMBER_INVALID"),
    "catalog, n negative": ("200", "400 PAGINATION_NUMBER_INVALID"),
    "catalog, n no number": ("200", "400 PAGINATION_NUMBER_INVALID"),
    "catalog, n empty": ("200", "400 PAGINATION_NUMBER_INVALID"),
    # methods
    **{f"{method} of /v2/": ("200", "405 UNSUPPORTED") for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE")},
    **{
        f"{method} of {what}": ("405", "405 UNSUPPORTED")
        for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE")
        for what in ("the tags", "the catalog")
    },
    **{f"{method} of a blob": ("405", "405 UNSUPPORTED") for method in ("POST", "PUT", "PATCH", "TRACE")},
    **{f"{method} of a manifest": ("405", "405 UNSUPPORTED") for method in ("POST", "PATCH", "TRACE")},
    # deletes
    "delete by tag": ("400 DIGEST_INVALID", "202"),
    "delete of a blob in use": ("202", "405 UNSUPPORTED"),
}


def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> Ask:
    """Send one request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda client: client.request(method, path, body, sent)


def put(reference: str, body: bytes = IMAGE, kind: str = OCI, name: str = NAME) -> Ask:
    """Push a manifest."""
    headers = {"Content_Type": kind} if kind else {}
    return ask("PUT", f"/v2/{name}/manifests/{reference}", body, **headers)


def upload(*steps: tuple[str, str, bytes | None, Mapping[str, str]]) -> Ask:
    """Open a session, and go on with it where each answer says: method, query, body and headers of each request."""

    def run(client: Client) -> Answer:
        location = (answer := client.request("POST", f"/v2/{NAME}/blobs/uploads/")).location
        for method, query, body, headers in steps:
            answer = client.request(method, f"{location}&{query}" if query else location, body, headers)
            location = answer.location if "/uploads/" in answer.headers.get("location", "") else location
        return answer

    return run


def elsewhere(client: Client) -> Answer:
    """Ask for a session of another repository."""
    location = client.request("POST", f"/v2/{NAME}/blobs/uploads/").location
    return client.request("GET", location.replace("/a/b/", "/a/c/"))


def ranged(text: str) -> dict[str, str]:
    """Write the headers of a chunk."""
    return {**OCTETS, "Content-Range": text}


WHOLE = f"digest={digest_of(BYTES)}"
WRONG = f"digest=sha256:{'4' * 64}"
MANIFEST = f"/v2/{NAME}/manifests"
BLOB = f"/v2/{NAME}/blobs/{digest_of(LAYER)}"
ACCEPTS = {"OCI": OCI, "nothing": "", "Docker": DOCKER, "anything": "*/*", "index": IDX, "JSON": "application/json"}

REQUESTS: Final[Mapping[str, Ask]] = {
    "put by tag": put("t1"),
    "put by digest": put(digest_of(IMAGE)),
    "put by another digest": put(NOWHERE),
    "put by sha512": put(digest_of(IMAGE, "sha512")),
    "put without a type": put("t2", kind=""),
    "put as JSON": put("t3", kind="application/json"),
    "put as a type with parameters": put("t3", kind=f"{OCI}; charset=utf-8"),
    "put as Docker's": put("t4", kind=DOCKER),
    "put of a body without a type": put("t5", UNTYPED),
    "put of garbage": put("t6", b"{"),
    "put of nothing": put("t6", b""),
    "put without its configuration": put("t6", image(b"missing")),
    "put without its layer": put("t6", image(CONFIG, b"missing")),
    "put with a wrong size": put("t6", IMAGE.replace(b'"size": 5', b'"size": 6')),
    "put of schema 1": put("t6", b'{"schemaVersion":1}', media_types.DOCKER_SCHEMA1_SIGNED),
    "put of an unknown type": put("t6", kind="application/x-foo"),
    "put by a bad tag": put("-bad"),
    "put by a long tag": put("a" * 129),
    "put by the longest tag": put("a" * 128),
    "put to a long name": put("t", name="a" * 256),
    "put of an index": put("idx", index(entry(IMAGE)), IDX),
    "put of an index without its image": put("idx2", index(entry(b"missing")), IDX),
    "put of an empty index": put("idx3", index(), IDX),
    **{
        f"{method} {what} as {accept}": ask(method, f"{MANIFEST}/{reference}", **({"Accept": kind} if kind else {}))
        for method in ("GET", "HEAD")
        for what, reference in (("tag", "t1"), ("digest", digest_of(IMAGE)))
        for accept, kind in ACCEPTS.items()
    },
    "GET known already": ask("GET", f"{MANIFEST}/t1", Accept=OCI, If_None_Match=f'"{digest_of(IMAGE)}"'),
    "GET of an unknown tag": ask("GET", f"{MANIFEST}/nope", Accept=OCI),
    "GET in an unknown repository": ask("GET", "/v2/no/pe/manifests/nope", Accept=OCI),
    "GET of a bad tag": ask("GET", f"{MANIFEST}/-x", Accept=OCI),
    "GET of a manifest by a bad digest": ask("GET", f"{MANIFEST}/sha256:bad", Accept=OCI),
    "GET of a manifest by md5": ask("GET", f"{MANIFEST}/md5:abc", Accept=OCI),
    "GET of a layer as manifest": ask("GET", f"{MANIFEST}/{digest_of(LAYER)}", Accept=OCI),
    **{
        f"{method} of {what}": ask(method, path)
        for method in ("GET", "HEAD")
        for what, path in (
            ("a blob", BLOB),
            ("an unknown blob", f"/v2/{NAME}/blobs/{NOWHERE}"),
            ("a blob by a bad digest", f"/v2/{NAME}/blobs/sha256:bad"),
            ("a blob by no digest", f"/v2/{NAME}/blobs/x"),
            ("a blob of another repository", f"/v2/x/y/blobs/{digest_of(LAYER)}"),
            ("a manifest as blob", f"/v2/{NAME}/blobs/{digest_of(IMAGE)}"),
        )
    },
    "a blob known already": ask("GET", BLOB, If_None_Match=f'"{digest_of(LAYER)}"'),
    "HEAD of a range": ask("HEAD", BLOB, Range="bytes=0-1"),
    **{
        f"{method} of {what}": ask(method, path)
        for what, path, methods in (
            ("/v2/", "/v2/", ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")),
            ("the tags", f"/v2/{NAME}/tags/list", ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")),
            ("the catalog", "/v2/_catalog", ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")),
            ("a blob", BLOB, ("POST", "PUT", "PATCH", "TRACE")),
            ("a manifest", f"{MANIFEST}/t1", ("POST", "PATCH", "TRACE")),
            ("uploads", f"/v2/{NAME}/blobs/uploads/", ("GET", "PUT")),
            (
                "no session",
                f"/v2/{NAME}/blobs/uploads/f7198cb4-282c-4c61-98a1-34f3f009ad57",
                ("GET", "PATCH", "PUT", "DELETE"),
            ),
        )
        for method in methods
    },
    "tags, n": ask("GET", f"/v2/{NAME}/tags/list?n=1"),
    "tags, n negative": ask("GET", f"/v2/{NAME}/tags/list?n=-1"),
    "tags, n no number": ask("GET", f"/v2/{NAME}/tags/list?n=x"),
    **{
        f"catalog, {what}": ask("GET", f"/v2/_catalog?{query}")
        for what, query in (
            ("n", "n=1"),
            ("n 0", "n=0"),
            ("n negative", "n=-1"),
            ("n no number", "n=x"),
            ("n empty", "n="),
            ("n too large", "n=100000"),
            ("last", "n=1&last=a/b"),
            ("last empty", "last="),
        )
    },
    "session": upload(),
    "session asked": upload(("GET", "", None, {})),
    "session asked by HEAD": upload(("HEAD", "", None, {})),
    "patch": upload(("PATCH", "", BYTES, OCTETS)),
    "patch of no type": upload(("PATCH", "", BYTES, {})),
    "patch as json": upload(("PATCH", "", BYTES, {"Content-Type": "application/json"})),
    "patch of nothing": upload(("PATCH", "", b"", OCTETS)),
    "put of a chunk": upload(("PATCH", "", BYTES, ranged("0-4"))),
    "put of an unreadable range": upload(("PATCH", "", BYTES, ranged("x"))),
    "put of a chunk elsewhere": upload(("PATCH", "", BYTES, ranged("10-14"))),
    "put of a chunk of another length": upload(("PATCH", "", BYTES, ranged("0-3"))),
    "patch and put": upload(("PATCH", "", BYTES, OCTETS), ("PUT", WHOLE, None, {})),
    "put of a whole blob": upload(("PUT", WHOLE, BYTES, OCTETS)),
    "put under a wrong digest": upload(("PUT", WRONG, BYTES, OCTETS)),
    "put without a digest": upload(("PUT", "", BYTES, OCTETS)),
    "put under a bad digest": upload(("PUT", "digest=bad", BYTES, OCTETS)),
    "put of nothing under a digest": upload(("PUT", WHOLE, None, {})),
    "put under md5": upload(("PUT", "digest=md5:abc", BYTES, OCTETS)),
    "put under sha512": upload(("PUT", f"digest={digest_of(BYTES, 'sha512')}", BYTES, OCTETS)),
    "put as a form": upload(("PUT", WHOLE, BYTES, {"Content-Type": "application/x-www-form-urlencoded"})),
    "put after a wrong digest": upload(("PUT", WRONG, BYTES, OCTETS), ("PUT", WHOLE, None, {})),
    "cancelled": upload(("DELETE", "", None, {})),
    "cancelled and asked": upload(("DELETE", "", None, {}), ("GET", "", None, {})),
    "complete and asked": upload(("PUT", WHOLE, BYTES, OCTETS), ("GET", "", None, {})),
    "two patches and put": upload(
        ("PATCH", "", BYTES, OCTETS), ("PATCH", "", BYTES, OCTETS), ("PUT", f"digest={digest_of(BYTES * 2)}", None, {})
    ),
    "post with digest and body": ask(
        "POST", f"/v2/{NAME}/blobs/uploads/?{WHOLE}", BYTES, Content_Type=OCTETS["Content-Type"]
    ),
    "post with a bad digest": ask("POST", f"/v2/{NAME}/blobs/uploads/?digest=bad"),
    "session elsewhere": elsewhere,
    "delete by tag": ask("DELETE", f"{MANIFEST}/t1"),
    "delete of an unknown manifest": ask("DELETE", f"{MANIFEST}/{NOWHERE}"),
    "delete in an unknown repository": ask("DELETE", f"/v2/no/x/manifests/{NOWHERE}"),
    "delete of an unknown blob": ask("DELETE", f"/v2/{NAME}/blobs/{NOWHERE}"),
    "delete of a blob in use": ask("DELETE", BLOB),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """Run both, with the same blobs."""
    theirs = Registry2(tmp_path_factory.mktemp("theirs"))
    with theirs.running(), Server({"storage": {"delete": {"enabled": True}}}) as server:
        clients = Client(url=f"http://{theirs.address}"), Client.of(server)
        for client in clients:
            for content in (CONFIG, LAYER):
                client.push_blob(NAME, content)
        yield clients


def told(answer: Answer) -> str:
    """Give the status, and the codes of an error once each."""
    try:
        codes = {error["code"] for error in json.loads(answer.body)["errors"]}
    except (ValueError, LookupError, TypeError):
        codes = set()
    return " ".join([str(answer.status), *sorted(codes)])


def test_nothing_differs_but_what_is_meant(pair: tuple[Client, Client]) -> None:
    """Each request, in this order, is answered alike, or as the table of differences says."""
    found = {}
    for name, request in REQUESTS.items():
        theirs, ours = (told(request(client)) for client in pair)
        if theirs != ours:
            found[name] = (theirs, ours)
    assert found == {name: MEANT[name] for name in REQUESTS if name in MEANT}
    assert MEANT.keys() <= REQUESTS.keys()
