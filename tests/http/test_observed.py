"""What the metrics and the access log are told about each request."""

import json
import os
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from entrepot.telemetry.access_log import AccessLog
from tests.http.pushing import NAME, push_blob, push_image, start_upload
from tests.http.transport import Leave
from tests.support.app import App, Opener
from tests.support.manifests import digest_of

CONTENT = b"twenty bytes of data"


def counted(app: App) -> dict[tuple[str, ...], float]:
    """Return how many requests were counted, by route, method and status."""
    (family,) = [family for family in app.metrics.families() if family.name == "entrepot_http_request_seconds"]
    return {labels: sum(numbers[:-1]) for labels, numbers in family.series.items()}


def total(app: App, name: str, *labels: str) -> float:
    """Return the sum of a histogram's series."""
    (family,) = [family for family in app.metrics.families() if family.name == name]
    return family.series[labels][-1]


async def test_each_request_is_counted_once(app: App) -> None:
    """One count for each request, under registry:2's handler names, also for errors and unknown paths."""
    client = app.client()
    await push_image(client, "v1")
    await client.get(f"/v2/{NAME}/manifests/v1")
    await client.head(f"/v2/{NAME}/manifests/v1")
    await client.get(f"/v2/{NAME}/manifests/v9")
    await client.get("/nothing")
    await client.get("/v2/")
    assert counted(app) == {
        ("blob_upload", "POST", "201"): 1,
        ("manifest", "PUT", "201"): 1,
        ("manifest", "GET", "200"): 1,
        ("manifest", "HEAD", "200"): 1,
        ("manifest", "GET", "404"): 1,
        ("unknown", "GET", "404"): 1,
        ("base", "GET", "200"): 1,
    }


async def test_bytes_are_counted(open_registry: Opener) -> None:
    """Bytes of bodies both ways, also of files that the server sends by itself."""
    app: App = await open_registry(files=True)
    client = app.client()
    await push_blob(client, CONTENT)
    await client.get(f"/v2/{NAME}/blobs/{digest_of(CONTENT)}")
    assert total(app, "entrepot_http_request_bytes", "blob_upload", "POST", "201") == len(CONTENT)
    assert total(app, "entrepot_http_response_bytes", "blob", "GET", "200") == len(CONTENT)


async def test_nothing_stays_in_flight(app: App) -> None:
    """The gauge of running requests returns to nothing, whatever happened to them."""
    client = app.client()
    await client.get("/v2/")
    await client.get(f"/v2/{NAME}/manifests/none")
    await client.patch(await start_upload(client), body=CONTENT)
    (family,) = [family for family in app.metrics.families() if family.name == "entrepot_http_in_flight_requests"]
    assert {value for (value,) in family.series.values()} == {0.0}


async def logged(open_registry: Opener, tmp_path: Path, **options: Any) -> tuple[App, AccessLog, Path]:
    """Open a registry that writes its access log to a file."""
    path = tmp_path / "access.log"
    log = AccessLog(formatter="json", descriptor=os.open(path, os.O_WRONLY | os.O_CREAT))
    return await open_registry(services={"access_log": log}, **options), log, path


async def test_the_access_log(open_registry: Opener, tmp_path: Path) -> None:
    """One record for each request, with its principal, target, status and bytes."""
    app, log, path = await logged(open_registry, tmp_path, signed_in=True)
    await app.account("alice", ("*", "*"))
    await push_blob(app.basic("alice"), CONTENT)
    answer = await app.client().get("/v2/x/tags/list?n=1", headers={"User-Agent": "docker/27"})
    log.close()
    push, refused = map(json.loads, path.read_text().splitlines())
    assert push["http.request.method"] == "POST"
    assert push["auth.user.name"] == "alice"
    assert (push["http.response.status"], push["http.request.read"]) == (201, len(CONTENT))
    assert refused["http.request.uri"] == "/v2/x/tags/list?n=1"
    assert refused["http.request.useragent"] == "docker/27"
    assert refused["http.request.id"] == answer["X-Request-Id"]
    assert refused["http.response.status"] == 401


async def test_checks_that_find_it_well_are_not_logged(open_registry: Opener, tmp_path: Path) -> None:
    """A balancer asks every second; only an answer that is not 200 is worth a line."""
    app, log, path = await logged(open_registry, tmp_path)
    for target in ("/healthz", "/readyz", "/readyz?x=1"):
        assert (await app.client().get(target)).status == 200
    assert (await app.client().post("/readyz")).status == 405
    log.close()
    [line] = map(json.loads, path.read_text().splitlines())
    assert (line["http.request.method"], line["http.response.status"]) == ("POST", 405)


async def test_no_credential_is_logged(open_registry: Opener, tmp_path: Path) -> None:
    """Neither passwords nor tokens are in the access log, also when they were refused."""
    app, log, path = await logged(open_registry, tmp_path, signed_in=True)
    alice = await app.account("canary-secret-name", ("*", "*"))
    token = await app.tokens.issue(alice, ())
    for value in (f"Bearer {token.text}", f"Bearer {token.text}x", "Basic Y2FuYXJ5LXBhc3N3b3Jk"):
        await app.client(headers={"Authorization": value}).get("/v2/")
    log.close()
    text = path.read_text()
    assert token.text not in text
    assert "Y2FuYXJ5" not in text
    assert len(text.splitlines()) == 3


async def test_a_token_in_the_address_of_a_page_is_not_logged(open_registry: Opener, tmp_path: Path) -> None:
    """Browsers name the page that they come from, with its query."""
    app, log, path = await logged(open_registry, tmp_path)
    page = "https://registry.test/c/reset_password"
    await app.client(headers={"Referer": f"{page}?token=canary"}).get("/v2/")
    log.close()
    assert page in path.read_text()
    assert "canary" not in path.read_text()


async def test_a_client_that_leaves_is_499(app: App) -> None:
    """An upload whose client left before it was answered is counted as such."""

    def cut() -> Iterator[bytes]:
        yield b"x"
        raise Leave

    client = app.client()
    await client.patch(await start_upload(client), body=cut())
    assert counted(app)[("blob_upload_chunk", "PATCH", "499")] == 1


async def test_request_ids_of_a_trusted_proxy_are_kept(open_registry: Opener) -> None:
    """A proxy's request id goes on, when the proxy is trusted and the id is plain."""
    app: App = await open_registry(web={"trusted_proxies": (ip_network("10.0.0.0/8"),)})
    given = {"X-Request-Id": "from-the-proxy-1"}
    assert (await app.client(address="10.0.0.1").get("/v2/", headers=given))["X-Request-Id"] == "from-the-proxy-1"
    assert (await app.client(address="192.0.2.1").get("/v2/", headers=given))["X-Request-Id"] != "from-the-proxy-1"
    odd = {"X-Request-Id": 'x" injected="'}
    assert "injected" not in (await app.client(address="10.0.0.1").get("/v2/", headers=odd))["X-Request-Id"]
