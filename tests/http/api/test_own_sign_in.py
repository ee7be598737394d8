"""What people do to their own sign-in: sessions in a list, and one-time codes."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from entrepot.metadata.people import users
from tests.http.transport import Answer
from tests.support.api import BASE, Api, refusal
from tests.support.app import App, Opener

ORIGIN = "https://registry.test"


class Browser:
    """Somebody's browser, which takes whatever cookie and token it is given."""

    def __init__(self, app: App, agent: str = "Browser") -> None:
        self._client = app.client(scheme="https").with_headers(User_Agent=agent, Origin=ORIGIN)
        self.cookie = ""
        self.token = ""

    async def login(self, name: str) -> Answer:
        """Sign in; the password is the name."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"principal": name, "password": name}).encode()
        return self._take(await self._client.post("/c/login", headers=form, body=body))

    async def send(self, method: str, path: str, document: Any = None) -> Answer:
        """Send a request with cookie and token."""
        headers = {"Cookie": self.cookie, "X-Harbor-CSRF-Token": self.token, "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        return self._take(await self._client.request(method, BASE + path, headers=headers, body=body))

    async def sessions(self) -> list[dict[str, Any]]:
        """Return the list."""
        found: list[dict[str, Any]] = (await self.send("GET", "/users/current/sessions")).json()
        return found

    def _take(self, answer: Answer) -> Answer:
        if "set-cookie" in answer:
            self.cookie = answer["set-cookie"].partition(";")[0]
        if "x-harbor-csrf-token" in answer:
            self.token = answer["x-harbor-csrf-token"]
        return answer


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with alice, bob and an administrator."""
    app = await open_registry(signed_in=True)
    for name in ("alice", "bob"):
        assert await app.stores.metadata.write(lambda tx, name=name: users.add(tx, name, secret=name))
    await app.account("admin", ("*", "*"))
    return app


@pytest.fixture
async def browser(app: App) -> Browser:
    """Sign alice in."""
    opened = Browser(app)
    assert (await opened.login("alice")).status == 200
    return opened


def code_of(secret: str, steps: int = 0) -> str:
    """Return what the app shows."""
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(time.time() + 30 * steps).decode()


async def turned_on(browser: Browser) -> tuple[str, list[str]]:
    """Turn one-time codes on; return the secret and the recovery codes."""
    begun = await browser.send("POST", "/users/current/second_factor")
    assert begun.status == 201
    secret = begun.json()["secret"]
    done = await browser.send("POST", "/users/current/second_factor/confirm", {"code": code_of(secret)})
    assert done.status == 200, done.body
    return secret, done.json()["recovery_codes"]


async def test_sessions_are_listed_and_ended(app: App, browser: Browser) -> None:
    """One sees one's own browsers, ends another, and all but the one that asks."""
    others = [Browser(app, f"Phone {number}") for number in range(3)]
    for other in others:
        await other.login("alice")
    await Browser(app).login("bob")
    listed = await browser.sessions()
    assert sorted(entry["agent"] for entry in listed) == ["Browser", "Phone 0", "Phone 1", "Phone 2"]
    assert [entry["agent"] for entry in listed if entry["current"]] == ["Browser"]
    [first] = [entry["id"] for entry in listed if entry["agent"] == "Phone 0"]
    assert (await browser.send("DELETE", f"/users/current/sessions/{first}")).status == 200
    assert (await browser.send("DELETE", f"/users/current/sessions/{first}")).status == 404
    assert (await others[0].send("GET", "/users/current/sessions")).status == 401
    assert (await browser.send("DELETE", "/users/current/sessions")).status == 200
    assert [entry["current"] for entry in await browser.sessions()] == [True]
    assert (await others[2].send("GET", "/users/current/sessions")).status == 401


async def test_nobody_ends_somebody_elses_session(app: App, browser: Browser) -> None:
    """Another's id is unknown, to an administrator too."""
    [mine] = await browser.sessions()
    other = Browser(app)
    for name in ("bob", "admin"):
        await other.login(name)
        assert (await other.send("DELETE", f"/users/current/sessions/{mine['id']}")).status == 404
    assert len(await browser.sessions()) == 1


async def test_without_signing_in_there_is_nothing_to_see(app: App) -> None:
    """Anonymous callers are asked to sign in, on every path."""
    api = Api(app.client())
    for method, path in (
        ("GET", "/users/current/sessions"),
        ("DELETE", "/users/current/sessions"),
        ("GET", "/users/current/second_factor"),
        ("POST", "/users/current/second_factor"),
        ("DELETE", "/users/1/second_factor"),
        ("GET", "/users/current/second_factor/keys"),
    ):
        assert (await api.send(method, path)).status == 401, path


async def test_one_time_codes_are_turned_on_in_a_browser(app: App, browser: Browser) -> None:
    """The browser that turned them on goes on with a new cookie, every other one is signed out; ten codes are shown."""
    other = Browser(app)
    await other.login("alice")
    old = browser.cookie
    _, codes = await turned_on(browser)
    assert len(codes) == 10
    assert browser.cookie != old
    status = await browser.send("GET", "/users/current/second_factor")
    assert status.json() == {
        "enabled": True,
        "one_time_codes": True,
        "security_keys": 0,
        "recovery_codes_left": 10,
    }
    assert (await other.send("GET", "/users/current/sessions")).status == 401
    assert (await browser.send("POST", "/users/current/second_factor")).status == 409


async def test_they_are_turned_off_with_a_code(browser: Browser) -> None:
    """A wrong code does not, a recovery code does."""
    _, codes = await turned_on(browser)
    wrong = await browser.send("POST", "/users/current/second_factor/disable", {"code": "no code"})
    assert refusal(wrong) == (401, "UNAUTHORIZED")
    new = await browser.send("POST", "/users/current/second_factor/recovery_codes", {"code": codes[0]})
    assert new.status == 200
    left = new.json()["recovery_codes"]
    assert (await browser.send("POST", "/users/current/second_factor/disable", {"code": codes[1]})).status == 401
    assert (await browser.send("POST", "/users/current/second_factor/disable", {"code": left[0]})).status == 200
    status = await browser.send("GET", "/users/current/second_factor")
    assert status.json() == {
        "enabled": False,
        "one_time_codes": False,
        "security_keys": 0,
        "recovery_codes_left": 0,
    }


async def test_only_administrators_turn_somebody_elses_off(app: App, browser: Browser) -> None:
    """For people who have lost app and codes."""
    await turned_on(browser)
    alice = await users.find(app.stores.metadata, "alice")
    assert alice is not None
    assert (await Api(app.basic("bob")).delete(f"/users/{alice.id}/second_factor")).status == 403
    assert (await Api(app.basic("admin")).delete(f"/users/{alice.id}/second_factor")).status == 200
    assert (await Api(app.basic("admin")).delete("/users/99999/second_factor")).status == 404
    await browser.login("alice")
    status = await browser.send("GET", "/users/current/second_factor")
    assert status.json()["enabled"] is False


async def test_a_token_cannot_get_hold_of_the_account(app: App) -> None:
    """Whoever has a token sees neither sessions nor second factor, and changes nothing."""
    alice = await users.find(app.stores.metadata, "alice")
    assert alice is not None
    principal = await app.account("alice")
    api = Api(await app.bearer(principal, "repository:demo/app:pull"))
    for method, path in (
        ("GET", "/users/current/sessions"),
        ("DELETE", "/users/current/sessions"),
        ("POST", "/users/current/second_factor"),
        ("GET", "/users/current/second_factor/keys"),
    ):
        assert refusal(await api.send(method, path)) == (403, "FORBIDDEN"), path


async def test_only_who_may_as_much_turns_off_anothers_codes(app: App, browser: Browser) -> None:
    """A clerk does not weaken an administrator's sign-in, and nobody their own without a code."""
    chief = Browser(app)
    await chief.login("admin")
    await turned_on(chief)
    await app.account("clerk", ("*", "user:update,user:read"))
    number = (await users.find(app.stores.metadata, "admin")).id  # type: ignore[union-attr] # it was made above
    clerk = Api(app.basic("clerk"))
    assert refusal(await clerk.delete(f"/users/{number}/second_factor")) == (403, "FORBIDDEN")
    own = await chief.send("DELETE", f"/users/{number}/second_factor")
    assert own.status == 403
    assert b"with a code or the password" in own.body
