"""No route of the API can be changed through a browser by a page of another site."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from entrepot.web.api.app import NOUNS
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, Opener

BASE = "/api/v2.0"
ORIGIN = "https://registry.test"
#: Every route that changes something.
CHANGES = sorted(
    {
        (method, BASE + re.sub(r"\{[^}]*\}", "1", route.path))  # type: ignore[attr-defined]
        for noun in NOUNS
        for route in noun().routes
        for method in route.methods - {"GET", "HEAD", "OPTIONS"}  # type: ignore[attr-defined]
    }
)


class Browser:
    """The administrator's browser."""

    def __init__(self, client: AsgiClient, login: Answer) -> None:
        self._client = client
        self.cookie = login["set-cookie"].partition(";")[0]
        self.token = login["x-harbor-csrf-token"]

    async def send(self, method: str, path: str, **headers: str) -> Answer:
        """Send an empty object with the cookie."""
        sent = {"Cookie": self.cookie, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.request(method, path, headers=sent, body=b"{}")


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with an administrator."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    return app


@pytest.fixture
async def browser(app: App) -> Browser:
    """Sign the administrator in."""
    client = app.client(scheme="https")
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
    body = urlencode({"principal": "admin", "password": "admin"}).encode()
    return Browser(client, await client.post("/c/login", headers=form, body=body))


def test_there_are_routes_to_try() -> None:
    """The list is not empty by mistake."""
    assert len(CHANGES) > 20
    assert ("POST", f"{BASE}/projects") in CHANGES


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_cve_2019_19025_a_cookie_alone_changes_nothing(browser: Browser, method: str, path: str) -> None:
    """Without the token, with a wrong one, and with the right one from another site: 403 each time.

    With the token and the registry's own origin the request gets as far as its handler.
    """
    for headers in (
        {},
        {"Origin": ORIGIN},
        {"Origin": ORIGIN, "X_Harbor_CSRF_Token": "x" * 43},
        {"Origin": "https://evil.test", "X_Harbor_CSRF_Token": browser.token},
        {"Origin": "null", "X_Harbor_CSRF_Token": browser.token},
        {"Sec_Fetch_Site": "cross-site", "X_Harbor_CSRF_Token": browser.token},
    ):
        answer = await browser.send(method, path, **headers)
        assert (answer.status, answer.codes) == (403, ["FORBIDDEN"]), headers
    answer = await browser.send(method, path, Origin=ORIGIN, X_Harbor_CSRF_Token=browser.token)
    assert b"another site" not in answer.body
    assert b"X-Harbor-CSRF-Token" not in answer.body
    assert answer.status not in (401, 405, 500), answer.body


async def test_credentials_of_the_request_need_no_token(app: App) -> None:
    """A program with Basic credentials changes things, also when a cookie lies about."""
    client = app.basic("admin")
    answer = await client.post(
        f"{BASE}/projects",
        headers={"Content-Type": "application/json", "Cookie": "__Host-sid=x"},
        body=b'{"project_name":"demo"}',
    )
    assert answer.status == 201


async def test_every_answer_in_a_session_tells_the_token(browser: Browser) -> None:
    """Harbor's clients read it from any answer to a GET."""
    answer = await browser.send("GET", f"{BASE}/projects")
    assert answer.status == 200
    assert answer["x-harbor-csrf-token"] == browser.token
