"""`/users/current/second_factor/keys`, `/c/login/key` and the page: security keys as browsers use them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from entrepot.web.application import Application
from entrepot.web.texts import texts
from tests.http.matrix.deployed import ADMIN, ADMIN_PASSWORD, deployed
from tests.http.matrix.people import Registrar, basic, client, password_of
from tests.http.transport import Answer, AsgiClient
from tests.support.api import BASE, Api, refusal
from tests.support.authenticator import ORIGIN, SoftKey

SETTING = "REGISTRY_ACCESS_SECONDFACTOR_ADMINISTRATORS"
KEYS = "/users/current/second_factor/keys"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
_NUMBERS = count()

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Browser:
    """Somebody's browser: it keeps what cookies and tokens it is given."""

    client: AsgiClient
    name: str
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    async def post(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        """Send a form as a script of a page does."""
        sent = {**FORM, "Cookie": self._cookie(), **headers}
        return self._take(await self.client.post(path, headers=sent, body=urlencode(form).encode()))

    async def send(self, method: str, path: str, document: Any = None) -> Answer:
        """Ask the API with cookie and token."""
        headers = {"Cookie": self._cookie(), "X-Harbor-CSRF-Token": self.token, "Origin": ORIGIN}
        body = None if document is None else json.dumps(document).encode()
        headers |= {} if body is None else {"Content-Type": "application/json"}
        return self._take(await self.client.request(method, BASE + path, headers=headers, body=body))

    @property
    def password(self) -> str:
        """The owner's."""
        return password_of(self.name)

    async def log_in(self, code: str = "", **headers: str) -> Answer:
        """Give name and password."""
        form = {"principal": self.name, "password": self.password, "code": code}
        return await self.post("/c/login", form, **headers)

    async def sign(self, key: SoftKey, **says: Any) -> Answer:
        """Sign in with password and key."""
        asked = await self.log_in()
        assert (asked.status, asked.codes) == (401, ["CODE_NEEDED"]), asked.body
        return await self.post("/c/login/key", key.get(asked.json()["security_key"], **says))

    async def register(self, key: SoftKey, called: str = "blue") -> Answer:
        """Register a key."""
        begun = await self.send("POST", KEYS, {"password": self.password})
        assert begun.status == 201, begun.body
        return await self.send("POST", f"{KEYS}/confirm", {"name": called, **key.create(begun.json())})

    async def keys(self) -> list[dict[str, Any]]:
        """List one's keys."""
        answer = await self.send("GET", KEYS)
        assert answer.status == 200, answer.body
        return list(answer.json())

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _take(self, answer: Answer) -> Answer:
        for header in answer.values("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        if "x-harbor-csrf-token" in answer:
            self.token = answer["x-harbor-csrf-token"]
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Application]:
    """Give a registry for the tests of this file; each has a person of its own."""
    async with deployed(tmp_path_factory.mktemp("registry")) as application:
        yield application


@pytest_asyncio.fixture(loop_scope="module")
async def browser(registry: Application) -> Browser:
    """Give the browser of somebody new, signed in by password."""
    name = f"user-{next(_NUMBERS)}"
    await Registrar(registry).person(name)
    return await signed_in(registry, name)


async def ended(by_password: AsgiClient, path: str) -> None:
    """Wait until the password alone is refused; programs' requests find a change of the account within seconds."""
    async with asyncio.timeout(20):
        while b"API key" not in (answer := await by_password.get(path)).body:
            await asyncio.sleep(0.2)
    assert answer.status == 401, path


async def signed_in(registry: Application, name: str) -> Browser:
    """Sign somebody in by password."""
    opened = Browser(client(registry, {}), name)
    assert (await opened.log_in()).status == 200
    return opened


async def test_a_key_is_registered_asked_and_removed(registry: Application, browser: Browser) -> None:
    """From the first key on the password alone opens nothing; with the key it does, and API keys go on."""
    api_key = (await browser.send("POST", "/users/current/keys", {"name": "ci"})).json()
    other, old = Browser(client(registry, {}), browser.name), browser.cookies["__Host-sid"]
    await other.log_in()
    key = SoftKey()
    made = await browser.register(key)
    assert (made.status, len(made.json()["recovery_codes"])) == (200, 10), made.body
    assert browser.cookies["__Host-sid"] != old  # this session goes on under another name, the other one does not
    assert (await other.send("GET", KEYS)).status == 401
    for path in ("/v2/", "/token?scope=repository:demo/app:pull", f"{BASE}/projects"):
        await ended(client(registry, basic(browser.name, browser.password)), path)
        assert (await client(registry, basic(browser.name, api_key["secret"])).get(path)).status == 200

    new = Browser(client(registry, {}), browser.name)
    assert (await new.sign(key)).status == 200
    assert set(new.cookies) == {"__Host-sid"}
    [kept] = await new.keys()
    assert (kept["name"], kept["host"], kept["transports"]) == ("blue", "registry.test", ["usb", "nfc"])
    status = (await new.send("GET", "/users/current/second_factor")).json()
    assert status == {"enabled": True, "one_time_codes": False, "security_keys": 1, "recovery_codes_left": 10}
    assert (await new.send("PUT", f"{KEYS}/{kept['id']}", {"name": "red"})).status == 200
    assert (await new.send("POST", f"{KEYS}/{kept['id']}/remove", {"password": "wrong"})).status == 401
    assert [each["name"] for each in await new.keys()] == ["red"]
    assert (await new.send("POST", f"{KEYS}/{kept['id']}/remove", {"password": browser.password})).status == 200
    assert await new.keys() == []
    assert (await Browser(client(registry, {}), browser.name).log_in()).status == 200


async def test_recovery_codes_sign_in_without_the_key(registry: Application, browser: Browser) -> None:
    """Each once, in the field for codes."""
    codes = (await browser.register(SoftKey())).json()["recovery_codes"]
    new = Browser(client(registry, {}), browser.name)
    assert (await new.log_in(code=codes[0])).status == 200
    assert (await new.log_in(code=codes[0])).status == 401


async def test_beside_a_key_an_open_browser_is_not_enough_to_add_an_app(browser: Browser) -> None:
    """Who finds a browser signed in cannot make it lasting: the password is asked for once more."""
    await browser.register(SoftKey())
    path = "/users/current/second_factor"
    secret = (await browser.send("POST", path)).json()["secret"]
    shown = {"code": TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(time.time()).decode()}
    refused = await browser.send("POST", f"{path}/confirm", shown)
    assert (refused.status, b"say your password" in refused.body) == (400, True)
    assert (await browser.send("POST", f"{path}/confirm", {**shown, "password": "wrong"})).status == 401
    assert (await browser.send("GET", path)).json()["one_time_codes"] is False
    assert (await browser.send("POST", f"{path}/confirm", {**shown, "password": browser.password})).status == 200
    assert (await browser.send("GET", path)).json()["one_time_codes"] is True


async def test_what_opens_no_session(registry: Application, browser: Browser) -> None:
    """Another origin, a replay, another browser, another site's page, a form without its fields; nothing signs in."""
    key = SoftKey()
    await browser.register(key)
    new = Browser(client(registry, {}), browser.name)
    assert (await new.sign(key, origin="https://evil.test")).status == 401
    asked = (await new.log_in()).json()["security_key"]
    answer = key.get(asked)
    assert (await Browser(client(registry, {}), browser.name).post("/c/login/key", answer)).status == 401
    asked = (await new.log_in()).json()["security_key"]
    answer = key.get(asked)
    assert (await new.post("/c/login/key", answer, Origin="https://evil.test")).status == 403
    assert (await new.post("/c/login/key", {"credential": "x"})).status == 400
    held = dict(new.cookies)
    assert (await new.post("/c/login/key", answer)).status == 200
    replay = Browser(client(registry, {}), browser.name, cookies=held)
    refused = await replay.post("/c/login/key", answer)
    assert (refused.status, "__Host-sid" in replay.cookies) == (401, False)


async def test_another_name_of_the_registry_gets_nothing(registry: Application, browser: Browser) -> None:
    """Whatever host a request claims, a key signs for the one that it was registered under."""
    key = SoftKey()
    await browser.register(key)
    elsewhere = Browser(AsgiClient(registry, host="other.test", scheme="https"), browser.name)
    answer = await elsewhere.log_in(Origin="https://other.test")
    assert (answer.status, "security_key" in answer.json()) == (401, False)
    asked = (await browser.log_in()).json()["security_key"]
    elsewhere.cookies = dict(browser.cookies)
    signed = key.get(asked, origin="https://other.test", host="other.test")
    assert (await elsewhere.post("/c/login/key", signed, Origin="https://other.test")).status == 401


@pytest.mark.parametrize("host", ["192.0.2.7", "[2001:db8::1]"])
async def test_no_keys_at_an_address(registry: Application, browser: Browser, host: str) -> None:
    """Browsers know none there, and who tries is told."""
    by_address = Api(AsgiClient(registry, host=host, scheme="https", headers=basic(browser.name, browser.password)))
    answer = await by_address.post(KEYS, {"password": browser.password})
    assert refusal(answer) == (400, "BAD_REQUEST")
    assert b"by its name" in answer.body


async def test_somebody_elses_keys_are_unknown(registry: Application, browser: Browser) -> None:
    """Nobody renames or removes them, an administrator neither; resetting the second factor removes them all."""
    number = (await browser.register(SoftKey())).json()["id"]
    admin = Api(client(registry, basic(ADMIN, ADMIN_PASSWORD)))
    assert (await admin.put(f"{KEYS}/{number}", {"name": "mine"})).status == 404
    assert (await admin.post(f"{KEYS}/{number}/remove", {"password": ADMIN_PASSWORD})).status == 404
    [user] = [each["user_id"] for each in await admin.found("/users") if each["username"] == browser.name]
    assert (await admin.delete(f"/users/{user}/second_factor")).status == 200
    assert (await browser.log_in()).status == 200
    assert await browser.keys() == []


async def test_an_administrator_who_needs_one_registers_a_key_with_the_password(tmp_path: Path) -> None:
    """Where a second factor is required the password is good for that, and with the key a session opens."""
    async with deployed(tmp_path, {SETTING: "true"}) as registry:
        page = Browser(client(registry, {}), ADMIN)
        assert (await page.log_in()).codes == ["SECOND_FACTOR_NEEDED"]
        api, key = Api(client(registry, basic(ADMIN, ADMIN_PASSWORD))), SoftKey()
        assert (await api.get(KEYS)).json() == []
        begun = await api.post(KEYS, {"password": ADMIN_PASSWORD})
        assert begun.status == 201, begun.body
        made = await api.post(f"{KEYS}/confirm", {"name": "blue", **key.create(begun.json())})
        assert (made.status, len(made.json()["recovery_codes"])) == (200, 10), made.body
        asked = await page.log_in()
        opened = await page.post("/c/login/key", key.get(asked.json()["security_key"]))
        assert opened.status == 200, opened.body
        assert (await page.send("GET", "/configurations")).status == 200


async def test_the_log_tells_of_keys_and_of_failed_answers(tmp_path: Path) -> None:
    """By whom, from where, and which key; no secret is in it."""
    async with deployed(tmp_path) as registry:
        await Registrar(registry).person("alice")
        browser = await signed_in(registry, "alice")
        key = SoftKey()
        await browser.register(key)
        assert (await browser.sign(key, origin="https://evil.test")).status == 401
        assert (await browser.sign(key)).status == 200
    async with deployed(tmp_path) as registry:  # what was noted is written at the end
        admin = Api(client(registry, basic(ADMIN, ADMIN_PASSWORD)))
        rows = await admin.found("/auditlog-exts?page_size=100")
        told = {
            (row["kind"], row["credential"], row["operation_result"], row["operation_description"])
            for row in rows
            if row["resource"] == "alice" and row["address"]
        }
        assert ("update", "session", True, "update user alice, key: blue, second factor: security key added") in told
        assert ("sign-in", "security key", True, "sign-in user alice") in told
        [reason] = [text for *of, text in told if of == ["sign-in", "security key", False]]
        assert "Invalid origin" in reason
        assert key.get({"challenge": "", "rpId": ""})["credential"] not in json.dumps(rows)


async def test_the_page_asks_in_two_languages(registry: Application) -> None:
    """It shows nothing about anybody, and everything else comes from its own script."""
    anybody = client(registry, {})
    english = await anybody.get("/c/security_keys", headers={"Accept-Language": "fr, en;q=0.5"})
    chinese = await anybody.get("/c/security_keys", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    for answer, language, text in ((english, b"en", "Register a security key"), (chinese, b"zh-Hans", "注册安全密钥")):
        assert (answer.status, b'lang="%b"' % language in answer.body) == (200, True)
        assert text.encode() in answer.body
    for package in ("entrepot.web", "entrepot.web.security_keys"):
        assert texts(package, "en").keys() == texts(package, "zh").keys()
    assert english.body.count(b"<script") == 1
    assert b'<script src="/c/security_keys.js"' in english.body
    script = await anybody.get("/c/security_keys.js")
    assert (script.status, script["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert b"navigator.credentials.create" in script.body
    assert b"innerHTML" not in script.body
