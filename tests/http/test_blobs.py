"""Blobs: GET, HEAD, ranges, conditions, delete (end-2, end-10)."""

import os
from pathlib import Path

import pytest

from tests.http.pushing import NAME, push_blob, push_image
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener
from tests.support.manifests import digest_of

#: More than what is answered from memory (`registry.small_blobs.SMALL`).
CONTENT = bytes(range(256)) * 400


@pytest.fixture(params=["memory", "files"])
async def store_client(request: pytest.FixtureRequest, open_registry: Opener) -> AsgiClient:
    """Give a client of a registry over each blob store."""
    app = await open_registry(files=request.param == "files")
    return app.client()


async def test_get_and_head(store_client: AsgiClient) -> None:
    """GET gives the bytes, HEAD the same headers without them."""
    digest = await push_blob(store_client, CONTENT)
    got = await store_client.get(f"/v2/{NAME}/blobs/{digest}")
    head = await store_client.head(f"/v2/{NAME}/blobs/{digest}")
    assert (got.status, got.body) == (200, CONTENT)
    assert head.status == 200
    for answer in (got, head):
        assert answer["Content-Length"] == str(len(CONTENT))
        assert answer["Docker-Content-Digest"] == digest
        assert answer["ETag"] == f'"{digest}"'
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Accept-Ranges"] == "bytes"
        assert answer["Cache-Control"] == "max-age=31536000, immutable"


async def test_sha512(store_client: AsgiClient) -> None:
    """A blob pushed under sha512 is served under it, and the digest header repeats what was asked for."""
    digest = await push_blob(store_client, CONTENT, algorithm="sha512")
    answer = await store_client.get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.body, answer["Docker-Content-Digest"]) == (CONTENT, digest)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 102399),
        ("bytes=-500", 101900, 102399),
        ("bytes=0-", 0, 102399),
        ("bytes=0-102399", 0, 102399),
        ("bytes=0-999999", 0, 102399),
        ("bytes=102399-102399", 102399, 102399),
        ("bytes=-999999", 0, 102399),
    ],
)
async def test_ranges(store_client: AsgiClient, wanted: str, first: int, last: int) -> None:
    """One range answers 206 with exactly its bytes; an end beyond the blob is cut to it."""
    digest = await push_blob(store_client, CONTENT)
    answer = await store_client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": wanted})
    assert (answer.status, answer.body) == (206, CONTENT[first : last + 1])
    assert answer["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"


@pytest.mark.parametrize(
    "wanted", ["bytes=500-0", "bytes=102400-", "bytes=102400-102410", "bytes=-0", "bytes=99999999999999999999-"]
)
async def test_ranges_outside_of_the_blob(store_client: AsgiClient, wanted: str) -> None:
    """A range without a byte of the blob answers 416 and the blob's size."""
    digest = await push_blob(store_client, CONTENT)
    answer = await store_client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": wanted})
    assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"])
    assert answer["Content-Range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("wanted", ["bytes=0-9,5-14", "bytes=" + "0-0," * 2000 + "1-1", "items=0-1", "bytes=a-b", ""])
async def test_ranges_that_are_ignored(store_client: AsgiClient, wanted: str) -> None:
    """Ranges that overlap, too many, other units and nonsense get the whole blob, however long the header is."""
    digest = await push_blob(store_client, CONTENT)
    answer = await store_client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": wanted})
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize("size", [400, 6000])
async def test_several_ranges(store_client: AsgiClient, size: int) -> None:
    """Several ranges answer 206 as `multipart/byteranges`, as registry:2 does: each with its place and its bytes."""
    content = bytes(range(256)) * size
    digest = await push_blob(store_client, content)
    path, wanted = f"/v2/{NAME}/blobs/{digest}", {"Range": f"bytes=2-9,{len(content) - 70_000}-,100-100"}
    answer = await store_client.get(path, headers=wanted)
    kind, _, boundary = answer["Content-Type"].partition("; boundary=")
    assert (answer.status, kind, answer["Docker-Content-Digest"]) == (206, "multipart/byteranges", digest)
    parts = answer.body.split(f"--{boundary}".encode())
    assert (parts[0], parts[-1]) == (b"", b"--\r\n")
    expected = [(2, 9), (len(content) - 70_000, len(content) - 1), (100, 100)]
    for part, (first, last) in zip(parts[1:-1], expected, strict=True):
        head, _, body = part.partition(b"\r\n\r\n")
        where = f"Content-Range: bytes {first}-{last}/{len(content)}".encode()
        assert head.split(b"\r\n")[1:] == [b"Content-Type: application/octet-stream", where], head
        assert body == content[first : last + 1] + b"\r\n"
    assert int(answer["Content-Length"]) == len(answer.body)


async def test_conditions(store_client: AsgiClient) -> None:
    """If-None-Match answers 304 for this digest, quoted or not; If-Range lets a range count for this digest only."""
    digest = await push_blob(store_client, CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    for tag in (f'"{digest}"', digest, f'W/"{digest}"', "*", f'"other", "{digest}"'):
        for method in ("GET", "HEAD"):
            answer = await store_client.request(method, path, headers={"If-None-Match": tag})
            assert (answer.status, answer.body, answer["ETag"]) == (304, b"", f'"{digest}"')
    assert (await store_client.get(path, headers={"If-None-Match": '"other"'})).status == 200
    part = {"Range": "bytes=0-9", "If-Range": f'"{digest}"'}
    assert (await store_client.get(path, headers=part)).status == 206
    whole = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert (await store_client.get(path, headers=whole)).status == 200


@pytest.mark.parametrize("wanted", [None, "bytes=0-"])
async def test_whole_files_are_sent_by_the_server(open_registry: Opener, wanted: str | None) -> None:
    """A whole blob, also asked for as `bytes=0-`, never passes through Python: the server gets its path."""
    app: App = await open_registry(files=True)
    digest = await push_blob(app.client(), CONTENT)
    headers = {} if wanted is None else {"Range": wanted}
    answer = await app.client().get(f"/v2/{NAME}/blobs/{digest}", headers=headers)
    assert answer.status == (200 if wanted is None else 206)
    assert [Path(path).read_bytes() for path in answer.files] == [CONTENT]


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        (None, (0, 3_000_000)),
        ("bytes=0-", (0, 3_000_000)),
        ("bytes=10-", (10, 2_999_990)),
        ("bytes=-1048576", (1_951_424, 1_048_576)),
    ],
)
async def test_large_parts_are_sent_by_the_kernel(
    open_registry: Opener, wanted: str | None, part: tuple[int, int]
) -> None:
    """From a mebibyte on, whole blobs and ranges go by an open file, where the server can send parts of files."""
    app: App = await open_registry(files=True)
    content = os.urandom(3_000_000)
    digest = await push_blob(app.client(), content)
    answer = await app.client(parts=True).get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": wanted} if wanted else {})
    assert answer.parts == [part]
    assert answer.body == content[part[0] : sum(part)]


async def test_smaller_parts_leave_the_connection_open(open_registry: Opener) -> None:
    """Below a mebibyte the connection is worth more than the copying: ranges are streamed, whole files sent."""
    app: App = await open_registry(files=True)
    content = os.urandom(1_100_000)
    digest = await push_blob(app.client(), content)
    client = app.client(parts=True)
    streamed = await client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": "bytes=100000-"})
    assert (streamed.parts, streamed.body) == ([], content[100_000:])
    small = await client.get(f"/v2/{NAME}/blobs/{await push_blob(client, CONTENT)}")
    assert (small.parts, len(small.files)) == ([], 1)


async def test_a_server_that_sends_no_files_gets_streams(open_registry: Opener) -> None:
    """Without `http.response.pathsend` the same bytes are streamed."""
    app: App = await open_registry(files=True)
    digest = await push_blob(app.client(), CONTENT)
    answer = await app.client(files=False).get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.body, answer.files) == (CONTENT, [])


async def test_a_lost_or_cut_file_is_not_served(open_registry: Opener) -> None:
    """When the file is gone or has another size, the answer is 404 and not a transfer that ends early."""
    app: App = await open_registry(files=True)
    client = app.client()
    digest = await push_blob(client, CONTENT)
    path = Path((await client.get(f"/v2/{NAME}/blobs/{digest}")).files[0])
    os.truncate(path, 100)
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).codes == ["BLOB_UNKNOWN"]
    path.unlink()
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).codes == ["BLOB_UNKNOWN"]
    assert (await client.head(f"/v2/{NAME}/blobs/{digest}")).status == 404, "or clients would not push it again"
    assert await push_blob(client, CONTENT) == digest
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).body == CONTENT, "a push heals it"


async def test_a_client_that_leaves_ends_the_stream(open_registry: Opener) -> None:
    """When the client goes in the middle, reading stops: the file is not read to its end."""
    app: App = await open_registry()
    content = bytes(32 * 1024 * 1024)
    digest = await push_blob(app.client(), content)
    answer = await app.client().get(f"/v2/{NAME}/blobs/{digest}", leave_after=1)
    assert not answer.complete
    assert len(answer.body) < len(content) / 2


async def test_a_blob_belongs_to_its_repository(store_client: AsgiClient) -> None:
    """A digest that another repository holds is unknown in this one."""
    digest = await push_blob(store_client, CONTENT)
    for method in ("GET", "HEAD", "DELETE"):
        answer = await store_client.request(method, f"/v2/team/other/blobs/{digest}")
        assert answer.status == 404


@pytest.mark.parametrize(
    "digest", ["sha256:baddigeststring", "sha256:", "md5:0", "sha256:" + "A" * 64, "latest", "x:y:z"]
)
async def test_a_bad_digest_is_400(client: AsgiClient, digest: str) -> None:
    """What is no digest is DIGEST_INVALID."""
    answer = await client.get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


async def test_an_encoded_colon_is_a_colon(client: AsgiClient) -> None:
    """Some clients write `sha256%3A…`."""
    digest = await push_blob(client, CONTENT)
    assert (await client.get(f"/v2/{NAME}/blobs/{digest.replace(':', '%3A')}")).body == CONTENT


async def test_delete(store_client: AsgiClient) -> None:
    """DELETE answers 202, and the blob is gone at once; a second one is 404 (end-10)."""
    digest = await push_blob(store_client, CONTENT)
    assert (await store_client.delete(f"/v2/{NAME}/blobs/{digest}")).status == 202
    assert (await store_client.head(f"/v2/{NAME}/blobs/{digest}")).status == 404
    assert (await store_client.delete(f"/v2/{NAME}/blobs/{digest}")).codes == ["BLOB_UNKNOWN"]


async def test_a_blob_in_use_stays(client: AsgiClient) -> None:
    """A blob that a manifest refers to is not deleted: 405 with the number of references."""
    await push_image(client, "latest", CONTENT)
    answer = await client.delete(f"/v2/{NAME}/blobs/{digest_of(CONTENT)}")
    assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])
    assert answer.json()["errors"][0]["detail"] == {"references": 1}
    assert (await client.head(f"/v2/{NAME}/blobs/{digest_of(CONTENT)}")).status == 200


async def test_uploads_are_never_rendered(client: AsgiClient) -> None:
    """A blob that is a web page is data: its type is fixed, and a browser may run nothing of it."""
    digest = await push_blob(client, b"<script>alert(1)</script>")
    answer = await client.get(f"/v2/{NAME}/blobs/{digest}")
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("sandbox")


async def test_cve_2026_35172_a_deleted_blob_stays_deleted(client: AsgiClient) -> None:
    """Deleted in one repository and looked at in another, a blob does not come back in the first."""
    digest = await push_blob(client, CONTENT)
    await push_blob(client, CONTENT, "team/other")
    await client.delete(f"/v2/{NAME}/blobs/{digest}")
    assert (await client.head(f"/v2/team/other/blobs/{digest}")).status == 200
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).status == 404


async def test_a_small_blob_is_answered_from_memory(open_registry: Opener) -> None:
    """The second answer needs no file; whether the repository has the blob, and who may read it, is asked each time."""
    app: App = await open_registry(files=True)
    client = app.client()
    digest = await push_blob(client, b"a small one")
    path = f"/v2/{NAME}/blobs/{digest}"
    first = await client.get(path)
    assert (first.status, first.body, first.files) == (200, b"a small one", [])
    assert app.services.files is not None
    app.services.files.path(digest).unlink()
    assert (await client.get(path)).body == b"a small one"
    part = await client.get(path, headers={"Range": "bytes=2-6"})
    assert (part.status, part.body, part["Content-Range"]) == (206, b"small", "bytes 2-6/11")
    assert (await client.get(f"/v2/other/blobs/{digest}")).codes == ["BLOB_UNKNOWN"]
    assert (await client.head(path)).status == 404, "or clients would not push it again"
    assert (await client.delete(path)).status == 202
    assert (await client.get(path)).codes == ["BLOB_UNKNOWN"]


@pytest.mark.parametrize("damage", [b"", b"a small", b"A small one"])
async def test_a_small_blob_that_was_damaged_is_not_remembered(open_registry: Opener, damage: bytes) -> None:
    """What lies in the file is not sent, and the next push brings the right bytes back."""
    app: App = await open_registry(files=True)
    client = app.client()
    digest = await push_blob(client, b"a small one")
    assert app.services.files is not None
    file = app.services.files.path(digest)
    file.write_bytes(damage)
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).codes == ["BLOB_UNKNOWN"]
    assert (await client.head(f"/v2/{NAME}/blobs/{digest}")).status == 404
    await push_blob(client, b"a small one")
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).body == b"a small one"
