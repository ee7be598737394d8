"""`/v2/`, the paths beside it, and the headers that every answer has."""

import asyncio
import time

import pytest

from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.web.application import Application
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener


async def test_base_says_that_this_is_a_registry(client: AsgiClient) -> None:
    """`GET /v2/` answers 200 `{}` with the version header (end-1)."""
    answer = await client.get("/v2/")
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer["Docker-Distribution-API-Version"] == "registry/2.0"
    assert answer["Content-Type"].startswith("application/json")


async def test_base_challenges_whoever_has_not_signed_in(open_registry: Opener) -> None:
    """With accounts, `GET /v2/` without a credential answers 401 with a challenge that names our token service."""
    client = (await open_registry(signed_in=True)).client()
    answer = await client.get("/v2/")
    assert answer.status == 401
    assert answer.codes == ["UNAUTHORIZED"]
    assert answer["WWW-Authenticate"] == 'Bearer realm="http://registry.test/token",service="entrepot"'
    assert answer["Docker-Distribution-API-Version"] == "registry/2.0"


async def test_base_takes_basic_and_bearer(open_registry: Opener) -> None:
    """Both kinds of credentials are accepted on `/v2/`; a wrong one is refused."""
    app: App = await open_registry(signed_in=True)
    alice = await app.account("alice")
    assert (await app.basic("alice").get("/v2/")).status == 200
    assert (await (await app.bearer(alice, "")).get("/v2/")).status == 200
    wrong = app.client(headers={"Authorization": "Bearer nonsense"})
    answer = await wrong.get("/v2/")
    assert answer.status == 401
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/v2/x", "/v2/team/app", "/v3/", "/v2/team/app/tags", "/v2//tags/list", "*", ""])
async def test_an_unknown_path_is_404_in_oci_form(client: AsgiClient, path: str) -> None:
    """What is no resource answers 404 with an OCI error body."""
    answer = await client.get(path)
    assert answer.status == 404
    assert answer.codes == ["NAME_UNKNOWN"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", "/v2/a/tags/list", "GET, HEAD"),
        ("POST", "/v2/a/manifests/latest", "DELETE, GET, HEAD, PUT"),
        ("PATCH", "/v2/a/blobs/uploads/", "POST"),
        ("BREW", "/v2/a/blobs/uploads/some-session-id", "DELETE, GET, HEAD, PATCH, PUT"),
    ],
)
async def test_a_wrong_method_is_405_with_allow(client: AsgiClient, method: str, path: str, allow: str) -> None:
    """A known path with another method answers 405 and lists the methods it has."""
    answer = await client.request(method, path)
    assert answer.status == 405
    assert answer.codes == ["UNSUPPORTED"]
    assert answer["Allow"] == allow


async def test_head_never_has_a_body(client: AsgiClient) -> None:
    """HEAD tells the length that GET would have, and sends nothing; the transport checks the second."""
    for path in ("/v2/", "/v2/_oci/ext/discover", "/v2/_catalog", "/healthz", "/v2/nowhere/tags/list", "/nothing"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status, head["Content-Length"]) == (got.status, got["Content-Length"])


async def test_every_answer_has_the_configured_headers(open_registry: Opener) -> None:
    """`http.headers` go with every answer, and win over ours of the same name."""
    headers = (("X-Content-Type-Options", "nosniff"), ("Strict-Transport-Security", "max-age=31536000"))
    client = (await open_registry(web={"headers": headers})).client()
    for path in ("/v2/", "/v2/_catalog", "/healthz", "/nothing"):
        answer = await client.get(path)
        assert answer["Strict-Transport-Security"] == "max-age=31536000"
        assert answer["X-Content-Type-Options"] == "nosniff"


async def test_every_answer_forbids_sniffing_and_names_its_request(client: AsgiClient) -> None:
    """Without configuration, answers have `nosniff` and a request id that no other answer has."""
    answers = [await client.get(path) for path in ("/v2/", "/v2/", "/nothing")]
    assert {answer["X-Content-Type-Options"] for answer in answers} == {"nosniff"}
    assert len({answer["X-Request-Id"] for answer in answers}) == 3


async def test_discovery_lists_itself(client: AsgiClient) -> None:
    """`_oci/ext/discover` answers the list of extensions."""
    answer = await client.get("/v2/_oci/ext/discover")
    assert answer.status == 200
    assert [extension["name"] for extension in answer.json()["extensions"]] == ["_oci"]
    assert answer.json()["extensions"][0]["endpoints"] == ["_oci/ext/discover"]


async def test_the_prefix_comes_before_every_path(open_registry: Opener) -> None:
    """`http.prefix` moves the API; what lies outside of it is unknown."""
    client = (await open_registry(web={"prefix": "/registry/"})).client()
    assert (await client.get("/registry/v2/")).status == 200
    assert (await client.get("/v2/")).status == 404
    answer = await client.post("/registry/v2/team/app/blobs/uploads/")
    assert answer["Location"].startswith("http://registry.test/registry/v2/team/app/blobs/uploads/")


async def test_health_answers_also_when_all_places_are_taken(app: App) -> None:
    """`/healthz` and `/readyz` are for those who watch the process; they need no place and no credential."""
    assert (await app.client().get("/healthz")).status == 200
    assert (await app.client().get("/readyz")).json() == {}


async def test_readiness_says_what_is_wrong(open_registry: Opener) -> None:
    """`/readyz` answers 503 with the name and text of each failing check."""

    async def broken() -> dict[str, str]:
        return {"storage": "the disk is gone"}

    app = await open_registry(services={"readiness": broken})
    answer = await app.client().get("/readyz")
    assert (answer.status, answer.json()) == (503, {"storage": "the disk is gone"})
    assert (await app.client().get("/healthz")).status == 200


@pytest.mark.parametrize("patience", [0, 600])
async def test_without_a_database_it_is_alive_and_not_ready(open_registry: Opener, patience: float) -> None:
    """`/readyz` answers 503 within 4 s whether the database refuses or says nothing; `/healthz` does not ask it."""

    async def asked() -> dict[str, str]:
        await asyncio.sleep(patience)
        raise DatabaseUnavailable

    app = await open_registry(services={"warnings": asked})
    begun = time.monotonic()
    answer = await app.client().get("/readyz")
    assert time.monotonic() - begun < 4
    assert (answer.status, answer.json()) == (503, {"database": "the database does not answer"})
    assert (await app.client().get("/healthz")).status == 200


async def test_namespace_is_echoed_only_when_it_is_a_host(client: AsgiClient) -> None:
    """`?ns=` of a pull comes back as `OCI-Namespace`, but nothing else that a client invents."""
    assert (await client.get("/v2/?ns=docker.io"))["OCI-Namespace"] == "docker.io"
    assert (await client.get("/v2/?ns=localhost:5000"))["OCI-Namespace"] == "localhost:5000"
    for bad in ("http://x/", "a%0d%0ab", "", "-x-", "a b", "[zz]"):
        assert "OCI-Namespace" not in await client.get(f"/v2/?ns={bad}")
    assert "OCI-Namespace" not in await client.post("/v2/a/blobs/uploads/?ns=docker.io")


async def test_other_protocols_are_refused(app: App) -> None:
    """A web socket is not answered as if it were a request."""
    application: Application = app.application

    async def never(*_: object) -> None:
        raise AssertionError

    with pytest.raises(NotImplementedError, match="websocket"):
        await application({"type": "websocket"}, never, never)
