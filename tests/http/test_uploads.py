"""Upload sessions: every way in which a blob can come (end-4, end-5, end-6, end-13, end-14)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.http.pushing import NAME, push_blob, start_upload
from tests.http.transport import AsgiClient, Leave
from tests.support.app import Opener
from tests.support.manifests import digest_of

UPLOADS = f"/v2/{NAME}/blobs/uploads/"
CONTENT = bytes(range(256)) * 64


async def test_a_session_begins_empty(client: AsgiClient) -> None:
    """POST answers 202 with Location, an id and `Range: 0-0`, as registry:2 does (end-4a)."""
    answer = await client.post(UPLOADS)
    assert answer.status == 202
    assert answer["Location"].startswith(f"http://registry.test{UPLOADS}")
    assert answer["Docker-Upload-UUID"] in answer["Location"]
    assert answer["Range"] == "0-0"
    assert answer["Content-Length"] == "0"


async def test_monolithic_upload(client: AsgiClient) -> None:
    """POST, then PUT with the whole body: 201 with a Location that can be pulled (end-6)."""
    location = await start_upload(client)
    answer = await client.put(f"{location}?digest={digest_of(CONTENT)}", body=CONTENT)
    assert answer.status == 201
    assert answer["Docker-Content-Digest"] == digest_of(CONTENT)
    assert (await client.get(answer["Location"])).body == CONTENT
    assert (await client.get(location)).status == 404, "a session ends with its PUT"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_single_post_upload(client: AsgiClient, algorithm: str) -> None:
    """POST with `?digest=` and the body stores the blob at once (end-4b)."""
    digest = digest_of(CONTENT, algorithm)
    answer = await client.post(f"{UPLOADS}?digest={digest}", body=CONTENT)
    assert answer.status == 201
    assert answer["Docker-Content-Digest"] == digest
    assert (await client.get(answer["Location"])).body == CONTENT


async def test_single_post_of_the_empty_blob(client: AsgiClient) -> None:
    """A blob without bytes is a blob."""
    digest = await push_blob(client, b"")
    answer = await client.get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer.body) == (200, b"")


async def test_a_failed_single_post_leaves_no_session(open_registry: Opener) -> None:
    """Wrong bytes are 400 DIGEST_INVALID, and nothing of them stays."""
    app = await open_registry()
    answer = await app.client().post(f"{UPLOADS}?digest={digest_of(b'other')}", body=CONTENT)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert await app.store.uploads() == []


async def test_streamed_upload(client: AsgiClient) -> None:
    """One PATCH without a range, in pieces of unknown number, then an empty PUT: what docker does (end-5)."""
    location = await start_upload(client)
    answer = await client.patch(location, body=[CONTENT[:1000], CONTENT[1000:1001], CONTENT[1001:]])
    assert answer.status == 202
    assert answer["Range"] == f"0-{len(CONTENT) - 1}"
    answer = await client.put(f"{answer['Location']}&digest={digest_of(CONTENT)}")
    assert answer.status == 201


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_request_that_is_repeated_is_refused_at_once(client: AsgiClient, method: str) -> None:
    """A chunk sent to the Location of before, as after a lost answer, is 416 with the way on, and not appended."""
    opened = (await client.post(UPLOADS))["Location"]
    assert (await client.patch(opened, body=CONTENT[:100])).status == 202
    again = await client.request(method, f"{opened}&digest={digest_of(CONTENT)}", body=CONTENT[:100])
    assert (again.status, again.codes, again["Range"]) == (416, ["RANGE_INVALID"], "0-99")
    assert (await client.get(opened))["Range"] == "0-99"
    rest = await client.patch(again["Location"], body=CONTENT[100:])
    assert (await client.put(f"{opened}&digest={digest_of(CONTENT)}")).status == 416
    assert (await client.put(f"{rest['Location']}&digest={digest_of(CONTENT)}")).status == 201


@pytest.mark.parametrize("state", ["x", "-1", "", "9" * 30, "0?digest=sha256:00"])
async def test_a_state_that_was_not_given_out_is_refused(client: AsgiClient, state: str) -> None:
    """What stands in the Location is sent back unchanged, or the upload is not what its client believes."""
    answer = await client.patch(f"{await start_upload(client)}?_state={state}", body=CONTENT)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_INVALID"])


async def test_chunked_upload(client: AsgiClient) -> None:
    """Chunks with Content-Range, the last with the closing PUT."""
    location = await start_upload(client)
    for start in (0, 4096, 8192):
        headers = {"Content-Range": f"{start}-{start + 4095}"}
        answer = await client.patch(location, headers=headers, body=CONTENT[start : start + 4096])
        assert answer.status == 202
        assert answer["Range"] == f"0-{start + 4095}"
        location = answer["Location"]
    last = {"Content-Range": f"12288-{len(CONTENT) - 1}"}
    answer = await client.put(f"{location}&digest={digest_of(CONTENT)}", headers=last, body=CONTENT[12288:])
    assert answer.status == 201
    assert (await client.get(answer["Location"])).body == CONTENT


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_chunk_out_of_order_is_416_with_the_way_on(client: AsgiClient, method: str) -> None:
    """A gap and a replay answer 416 with Range and Location on PATCH and on PUT; the session stands where it stood."""
    location = await start_upload(client)
    await client.patch(location, headers={"Content-Range": "0-99"}, body=CONTENT[:100])
    target = location if method == "PATCH" else f"{location}?digest={digest_of(CONTENT)}"
    for start in (0, 50, 101, 5000):
        headers = {"Content-Range": f"{start}-{start + 99}"}
        answer = await client.request(method, target, headers=headers, body=CONTENT[:100])
        assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"])
        assert answer["Range"] == "0-99"
        assert answer["Location"] == f"{location}?_state=100"
    status = await client.get(location)
    assert (status.status, status["Range"], status["Location"]) == (204, "0-99", f"{location}?_state=100")


async def test_status_of_a_session(client: AsgiClient) -> None:
    """GET on a session answers 204 with Range, Location and id, and no Content-Length (end-13)."""
    location = await start_upload(client)
    answer = await client.get(location)
    assert (answer.status, answer["Range"], answer["Location"]) == (204, "0-0", f"{location}?_state=0")
    assert "Content-Length" not in answer


async def test_cancel(client: AsgiClient) -> None:
    """DELETE on a session answers 204, and the session is gone for every method (end-14)."""
    location = await start_upload(client)
    await client.patch(location, body=CONTENT)
    assert (await client.delete(location)).status == 204
    for method in ("GET", "PATCH", "DELETE", "PUT"):
        answer = await client.request(method, f"{location}?digest={digest_of(CONTENT)}", body=CONTENT)
        assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize("session", ["x", "no-such-session-id-at-all", "a" * 200, "..%41", "%41%42"])
async def test_an_unknown_session_is_404(client: AsgiClient, session: str) -> None:
    """An id that was never given out answers BLOB_UPLOAD_UNKNOWN."""
    answer = await client.get(UPLOADS + session)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


async def test_the_digest_is_asked_for_at_the_end(client: AsgiClient) -> None:
    """PUT needs a digest that can be read and that fits the bytes; the session survives a wrong one."""
    location = await start_upload(client)
    await client.patch(location, body=CONTENT)
    for query in ("", "?digest=", "?digest=sha256:baddigeststring", "?digest=md5:abc", f"?digest={digest_of(b'no')}"):
        answer = await client.put(location + query)
        assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"]), query
    assert (await client.put(f"{location}?digest={digest_of(CONTENT)}")).status == 201


async def test_digest_algorithm_of_a_session(client: AsgiClient) -> None:
    """`?digest-algorithm=sha512` opens a session for such a digest; an unknown algorithm is refused (end-4c)."""
    location = await start_upload(client, query="?digest-algorithm=sha512")
    await client.patch(location, body=CONTENT)
    digest = digest_of(CONTENT, "sha512")
    assert (await client.put(f"{location}?digest={digest}")).status == 201
    answer = await client.post(f"{UPLOADS}?digest-algorithm=md5")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


async def test_range_and_length_must_agree(client: AsgiClient) -> None:
    """A Content-Range that spans other than the bytes sent is refused: SIZE_INVALID, or 416 when it is no range."""
    location = await start_upload(client)
    answer = await client.patch(location, headers={"Content-Range": "0-9"}, body=b"x" * 11)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    answer = await client.patch(location, headers={"Content-Range": "0-9"}, body=[b"x" * 11])
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    for bad in ("nonsense", "9-0", "-5", "0-", "0-9,20-29"):
        answer = await client.patch(location, headers={"Content-Range": bad}, body=b"x")
        assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"]), bad


async def test_a_body_shorter_than_announced_is_refused(client: AsgiClient) -> None:
    """What looks like a complete body but has too few bytes is SIZE_INVALID, and the connection is closed."""
    location = await start_upload(client)
    headers = {"Content-Length": "100"}
    answer = await client.put(f"{location}?digest={digest_of(b'x' * 50)}", headers=headers, body=b"x" * 50)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert answer["Connection"] == "close"
    assert (await client.get(location))["Range"] == "0-49"


async def test_a_cut_upload_can_be_resumed(client: AsgiClient) -> None:
    """When the client leaves in the middle, what arrived stays, and the session says where to go on."""

    async def cut() -> AsyncIterator[bytes]:
        yield CONTENT[:5000]
        raise Leave

    location = await start_upload(client)
    answer = await client.patch(location, body=cut())
    assert answer.status == 0, "nobody is there to be answered"
    status = await client.get(location)
    assert status["Range"] == "0-4999"
    rest = {"Content-Range": f"5000-{len(CONTENT) - 1}"}
    assert (await client.patch(location, headers=rest, body=CONTENT[5000:])).status == 202
    assert (await client.put(f"{location}?digest={digest_of(CONTENT)}")).status == 201


async def test_two_patches_at_once(client: AsgiClient) -> None:
    """One of two writers to a session wins, the other gets 416: no byte is lost or doubled."""
    taken, release = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:100]
        taken.set()
        await release.wait()
        yield CONTENT[100:]

    location = await start_upload(client)
    first = asyncio.create_task(client.patch(location, body=slow()))
    await taken.wait()
    second = await client.patch(location, body=b"other")
    release.set()
    # A file has one writer from the first byte on; in an object store, whoever is through first.
    answers = {(await first).status: CONTENT, second.status: b"other"}
    assert answers.keys() == {202, 416}
    assert (await client.put(f"{location}?digest={digest_of(answers[202])}")).status == 201


async def test_thousands_of_pieces(client: AsgiClient) -> None:
    """A body in thousands of small pieces gives the same blob."""
    pieces = [bytes([number % 256]) * 17 for number in range(5000)]
    digest = "sha256:" + hashlib.sha256(b"".join(pieces)).hexdigest()
    location = await start_upload(client)
    assert (await client.put(f"{location}?digest={digest}", body=pieces)).status == 201


async def test_relative_locations(open_registry: Opener) -> None:
    """`http.relativeurls` makes every Location relative."""
    client = (await open_registry(web={"relative_urls": True})).client()
    location = await start_upload(client)
    assert location.startswith(UPLOADS)
    answer = await client.put(f"{location}?digest={digest_of(CONTENT)}", body=CONTENT)
    assert answer["Location"] == f"/v2/{NAME}/blobs/{digest_of(CONTENT)}"


async def test_least_chunk(open_registry: Opener) -> None:
    """A store that wants large chunks says so when the session begins."""
    client = (await open_registry(web={"chunk_min_bytes": 5_242_880})).client()
    assert (await client.post(UPLOADS))["OCI-Chunk-Min-Length"] == "5242880"


async def test_cve_2026_32589_a_session_belongs_to_its_repository(client: AsgiClient) -> None:
    """A session opened in one repository does not exist under another, for any method."""
    location = await start_upload(client)
    foreign = location.replace(NAME, "team/other")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await client.request(method, f"{foreign}?digest={digest_of(CONTENT)}", body=CONTENT)
        assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert (await client.get(location)).status == 204


async def test_sessions_that_one_address_opens_for_nothing_stop_nobody_else(open_registry: Opener) -> None:
    """Without credentials each address, of IPv6 each /48, has a bound of its own: others push on."""
    app = await open_registry(registry={"max_open_uploads": 2})
    addresses = ("2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:1::1", "192.0.2.1", "192.0.2.2")
    answers = [await app.client(address=address).post(UPLOADS) for address in addresses]
    assert [answer.status for answer in answers] == [202, 202, 429, 202, 202, 202]


async def test_too_many_open_sessions_are_429(open_registry: Opener) -> None:
    """The answer says how long to wait and what to do; closing a session makes room."""
    client = (await open_registry(registry={"max_open_uploads": 1})).client()
    opened = await client.post("/v2/team/app/blobs/uploads/")
    refused = await client.post("/v2/team/app/blobs/uploads/")
    assert (refused.status, refused.codes, refused["Retry-After"]) == (429, ["TOOMANYREQUESTS"], "60")
    assert "complete or cancel" in refused.json()["errors"][0]["message"]
    assert (await client.delete(opened["Location"])).status == 204
    assert (await client.post("/v2/team/app/blobs/uploads/")).status == 202
