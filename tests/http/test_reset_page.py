"""The page that an administrator's one-time link leads to: a password is chosen there, once."""

from __future__ import annotations

import base64
import html
import logging
import re
from urllib.parse import urlencode

import pytest

from entrepot.metadata.people import users
from entrepot.telemetry.access_log import AccessLog
from entrepot.web.reset_page import RESET_PATH
from tests.http.transport import Answer, AsgiClient
from tests.support.api import Api
from tests.support.app import App, Opener
from tests.support.events import recorded

PASSWORD = "seven boats at anchor"
ORIGIN = "https://registry.test"


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with an administrator and somebody who has lost their password."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    await app.account("alice")
    return app


@pytest.fixture
async def link(app: App) -> str:
    """Give the path and query of a link for alice."""
    alice = await users.find(app.stores.metadata, "alice")
    assert alice is not None
    made = (await Api(app.basic("admin")).post(f"/users/{alice.id}/reset_link")).json()
    assert made["link"] == f"http://registry.test{RESET_PATH}?token={made['token']}"
    return str(made["link"]).removeprefix("http://registry.test")


@pytest.fixture
def browser(app: App) -> AsgiClient:
    """Give a browser that nobody has signed in with, over https."""
    return app.client(scheme="https")


async def choose(browser: AsgiClient, link: str, password: str, again: str, **headers: str) -> Answer:
    """Open the page, fill the form as it is shown, and send it."""
    shown = await browser.get(link)
    assert shown.status == 200, shown.body
    action = re.search(r'action="([^"]+)"', shown.body.decode())
    token = re.search(r'name="token" value="([^"]*)"', shown.body.decode())
    assert action is not None
    assert token is not None
    form = {"token": html.unescape(token[1]), "password": password, "again": again}
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN, **headers}
    return await browser.post(html.unescape(action[1]), headers=sent, body=urlencode(form).encode())


async def test_a_password_is_chosen_once(app: App, browser: AsgiClient, link: str) -> None:
    """The page can be looked at as often as one likes; the form is good once, and the log tells who set what."""
    for _ in range(3):
        assert (await browser.get(link)).status == 200
    done = await choose(browser, link, PASSWORD, PASSWORD)
    assert (done.status, b"Your password is set" in done.body) == (200, True)
    alice = await users.find(app.stores.metadata, "alice")
    assert alice is not None
    assert (await browser.get("/api/v2.0/users/current", headers=basic("alice", PASSWORD))).status == 200
    again = await choose(browser, link, "eight boats at anchor", "eight boats at anchor")
    assert (again.status, b"not good any more" in again.body) == (403, True)
    events = await recorded(app.stores.metadata)
    assert (events[-1].kind, events[-1].subject) == ("update", "user:alice")
    assert PASSWORD not in str(events)


@pytest.mark.parametrize(
    ("password", "again", "reason"),
    [
        (PASSWORD, "something else", "The two passwords are not the same."),
        ("short", "short", "A password has 12 to 256 characters"),
        ("alice-alice-alice", "alice-alice-alice", "little more than the account"),
        ("password1234", "password1234", "those that are tried first"),
    ],
)
async def test_a_password_that_cannot_be_leaves_the_link(
    browser: AsgiClient, link: str, password: str, again: str, reason: str
) -> None:
    """The form comes back with the reason and without the password, and works."""
    refused = await choose(browser, link, password, again)
    text = html.unescape(refused.body.decode())
    assert (refused.status, reason in text) == (400, True), text
    assert f'value="{password}"' not in text
    assert (await choose(browser, link, PASSWORD, PASSWORD)).status == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_a_page_of_another_site_sets_nothing(browser: AsgiClient, link: str, headers: dict[str, str]) -> None:
    """Not even with a link that is good."""
    assert (await choose(browser, link, PASSWORD, PASSWORD, **headers)).status == 403
    assert (await choose(browser, link, PASSWORD, PASSWORD)).status == 200


async def test_passwords_do_not_travel_in_the_clear(app: App, link: str) -> None:
    """Over plain http from another host there is no form."""
    refused = await app.client().get(link)
    assert (refused.status, refused.codes) == (403, ["DENIED"])


@pytest.mark.parametrize(
    "query", ["", "?token=", "?token=a&token=b", "?other=x", "?" + "&".join(f"x{n}=1" for n in range(50))]
)
async def test_a_link_that_is_cut_off(browser: AsgiClient, query: str) -> None:
    """It says so, and asks for nothing."""
    answer = await browser.get(f"{RESET_PATH}{query}")
    assert (answer.status, b"<form" in answer.body, b"copy all of it" in answer.body) == (403, False, True)


async def test_markup_in_a_link_is_text(browser: AsgiClient) -> None:
    """What stands in the address is shown to nobody as HTML, and loads nothing."""
    query = urlencode({"token": '"><script>alert(1)</script>'})
    answer = await browser.get(f"{RESET_PATH}?{query}")
    assert b"<script" not in answer.body
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cache-Control"] == "no-store"


async def test_the_log_does_not_hold_the_link(open_registry: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """The access log has the path and hides the query, whose token would set a password."""
    app = await open_registry(signed_in=True, services={"access_log": AccessLog(enabled=True)})
    with caplog.at_level(logging.DEBUG):
        await app.client(scheme="https").get(f"{RESET_PATH}?token=canary-token")
    assert "canary-token" not in caplog.text


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header that signs in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
