"""`/c/login`, `/c/log_out` and the cookie: what browsers may do with it, and other sites not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from entrepot.access.model import Principal
from entrepot.access.web_sessions import Sessions
from entrepot.metadata import clock
from entrepot.metadata.people import principals
from entrepot.web.application import Application
from entrepot.web.http import Request
from entrepot.web.login import session_routes
from entrepot.web.responses import Response, json_response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, AppOptions, PlainPasswords, open_app

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOST = "registry.test"
ORIGIN = f"https://{HOST}"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class Probe:
    """A resource that says whose session a request belongs to."""

    def __init__(self, gate: SessionGate) -> None:
        self._gate = gate

    async def answer(self, request: Request, services: Services) -> Response:
        """Answer any method."""
        session = await self._gate.authenticate(request)
        name = session.principal.name if session else None
        return json_response(200, {"name": name}, [(b"cache-control", b"no-store")])

    def route(self) -> Route:
        """Return the route."""
        return Route("probe", dict.fromkeys(("GET", "HEAD", "OPTIONS", *UNSAFE), self.answer))


@dataclass
class Browsers:
    """A registry that browsers sign in to."""

    app: App
    application: Application
    sessions: Sessions
    now: list[int]
    alice: Principal

    def client(self, **options: Any) -> AsgiClient:
        """Return a client over https."""
        return AsgiClient(self.application, **{"scheme": "https", "host": HOST, **options})

    async def signed_in(self, name: str = "alice", **options: Any) -> Signed:
        """Sign in."""
        client = self.client(**options)
        answer = await login(client, name)
        assert answer.status == 200, answer.body
        return Signed(client, cookie_of(answer), answer["x-harbor-csrf-token"])


@dataclass
class Signed:
    """A browser with its cookie and token."""

    client: AsgiClient
    cookie: str
    csrf: str

    async def ask(self, method: str = "GET", **headers: str) -> Answer:
        """Ask the probe."""
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.client.request(method, "/probe", headers=sent)

    async def name(self) -> str | None:
        """Return whose session it is."""
        name: str | None = (await self.ask()).json()["name"]
        return name


async def login(client: AsgiClient, name: str, password: str | None = None, **headers: str) -> Answer:
    """Send the form; the password of a test account is its name."""
    body = urlencode({"principal": name, "password": name if password is None else password}).encode()
    return await client.post("/c/login", headers={**FORM, **headers}, body=body)


def cookie_of(answer: Answer) -> str:
    """Return the cookie as a browser would send it."""
    return answer["set-cookie"].partition(";")[0]


@pytest.fixture
async def browsers(tmp_path: Path) -> AsyncIterator[Browsers]:
    """Run one."""
    async with open_app(tmp_path, AppOptions(signed_in=True)) as app:
        now = [clock.now()]
        sessions = Sessions(app.stores.metadata, app.stores.work, now=lambda: now[0])
        gate = SessionGate(sessions, app.services.proxies)
        routes = session_routes(gate, PlainPasswords(app.stores))
        application = Application(app.services, {**routes, "/probe": Probe(gate).route()})
        yield Browsers(app, application, sessions, now, await app.account("alice"))


async def test_signing_in_sets_a_cookie_that_only_browsers_hold(browsers: Browsers) -> None:
    """Over https the cookie is bound to this host, hidden from pages and not sent for other sites; nobody caches it."""
    answer = await login(browsers.client(), "alice")
    name, _, rest = answer["set-cookie"].partition("=")
    assert name == "__Host-sid"
    attributes = rest.split("; ")[1:]
    assert sorted(attributes) == ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Lax", "Secure"]
    assert answer["cache-control"] == "no-store"
    assert answer.body == b""
    signed = await browsers.signed_in()
    assert await signed.name() == "alice"


async def test_a_wrong_password_opens_nothing(browsers: Browsers) -> None:
    """Wrong passwords and unknown names look the same, and set no cookie."""
    answers = [await login(browsers.client(), "alice", "wrong"), await login(browsers.client(), "nobody", "wrong")]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].body == answers[1].body
    assert all("set-cookie" not in answer for answer in answers)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"principal=alice", "application/x-www-form-urlencoded"),
        (b"principal=alice&principal=bob&password=alice", "application/x-www-form-urlencoded"),
        (b'{"principal":"alice","password":"alice"}', "application/json"),
        (b"principal=alice&password=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(50)) + b"&principal=alice&password=alice", FORM["Content-Type"]),
    ],
)
async def test_what_is_no_form_is_refused(browsers: Browsers, body: bytes, kind: str) -> None:
    """Missing and double fields, JSON and broken encodings are answered with what was expected."""
    answer = await browsers.client().post("/c/login", headers={"Content-Type": kind}, body=body)
    assert (answer.status, answer.codes) == (400, ["BAD_REQUEST"])
    assert "principal and password" in answer.json()["errors"][0]["message"]


async def test_an_endless_form_is_cut_off(browsers: Browsers) -> None:
    """More than a form can hold is not read."""
    answer = await browsers.client().post("/c/login", headers=FORM, body=b"principal=" + b"a" * 20_000)
    assert answer.status == 413


@pytest.mark.parametrize("method", UNSAFE)
async def test_a_change_needs_the_token_of_this_session(browsers: Browsers, method: str) -> None:
    """Without the token, with another one, another session's, two, or a cut one: 403; with it: done."""
    signed, other = await browsers.signed_in(), await browsers.signed_in()
    for token in ({}, *({"X_Harbor_CSRF_Token": value} for value in ("", "x", other.csrf, signed.csrf[:-1], "é"))):
        answer = await signed.ask(method, Origin=ORIGIN, **token)
        assert (answer.status, answer.codes) == (403, ["DENIED"]), token
    headers = [("Cookie", signed.cookie), *[("X-Harbor-CSRF-Token", signed.csrf)] * 2]
    assert (await signed.client.request(method, "/probe", headers=headers)).status == 403
    assert (await signed.ask(method, Origin=ORIGIN, X_Harbor_CSRF_Token=signed.csrf)).json() == {"name": "alice"}
    assert (await signed.ask(method, X_Harbor_CSRF_Token=signed.csrf)).status == 200  # a program says no origin


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": f"http://{HOST}"},
        {"Origin": f"https://{HOST}:8443"},
        {"Origin": f"https://{HOST}.evil.test"},
        {"Origin": f"https://evil.test/{HOST}"},
        {"Origin": f"https://{HOST}@evil.test"},
        {"Origin": f"https://{HOST}:port"},
        {"Referer": "https://evil.test/page"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": ORIGIN},
    ],
)
async def test_no_other_site_can_change_anything(browsers: Browsers, method: str, headers: dict[str, str]) -> None:
    """Even a page that knew the token is refused, by what the browser says of it."""
    signed = await browsers.signed_in()
    answer = await signed.ask(method, X_Harbor_CSRF_Token=signed.csrf, **headers)
    assert (answer.status, answer.codes) == (403, ["DENIED"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_reading_needs_the_cookie_alone(browsers: Browsers, method: str) -> None:
    """Whoever follows a link from another site is signed in, and each answer tells the token."""
    signed = await browsers.signed_in()
    answer = await signed.ask(method, Referer="https://elsewhere.test/", Sec_Fetch_Site="cross-site")
    assert answer.status == 200
    assert answer["x-harbor-csrf-token"] == signed.csrf


async def test_another_site_cannot_sign_its_visitor_in_or_out(browsers: Browsers) -> None:
    """A foreign form is refused at the login, and a foreign link or form at the logout."""
    foreign = {"Origin": "https://evil.test"}
    answer = await login(browsers.client(), "alice", **foreign)
    assert answer.status == 403
    assert "set-cookie" not in answer
    signed = await browsers.signed_in()
    for method in ("GET", "POST"):
        headers = {"Cookie": signed.cookie, "Sec-Fetch-Site": "cross-site"}
        assert (await signed.client.request(method, "/c/log_out", headers=headers)).status == 403
    assert await signed.name() == "alice"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_signing_out_ends_the_session(browsers: Browsers, method: str) -> None:
    """The cookie is taken back and worth nothing any more; signing out twice does no harm."""
    signed = await browsers.signed_in()
    for _ in range(2):
        answer = await signed.client.request(method, "/c/log_out", headers={"Cookie": signed.cookie})
        assert answer.status == 200
        assert answer["set-cookie"].startswith("__Host-sid=; Max-Age=0; ")
    assert await signed.name() is None


async def test_a_planted_cookie_is_never_signed_in(browsers: Browsers) -> None:
    """Whatever cookie a browser comes with, a sign-in gives a new one, and ends the session of the old."""
    planted = "__Host-sid=planted-by-somebody"
    answer = await login(browsers.client(), "alice", Cookie=planted)
    assert cookie_of(answer) != planted
    assert await Signed(browsers.client(), planted, "").name() is None
    first = await browsers.signed_in()
    answer = await login(browsers.client(), "alice", Cookie=first.cookie)
    second = Signed(browsers.client(), cookie_of(answer), "")
    assert await second.name() == "alice"
    assert await first.name() is None


async def test_two_cookies_of_one_name_count_for_nothing(browsers: Browsers) -> None:
    """When another host of the domain has put a cookie beside ours, neither is believed."""
    one, two = await browsers.signed_in(), await browsers.signed_in()
    assert await Signed(browsers.client(), f"{one.cookie}; {two.cookie}", "").name() is None
    assert await Signed(browsers.client(), f"theme=dark; {one.cookie}; lang=en", "").name() == "alice"


async def test_time_ends_a_session(browsers: Browsers) -> None:
    """An hour of silence, or half a day of use."""
    signed = await browsers.signed_in()
    browsers.now[0] += 3599 * clock.MICROSECONDS
    assert await signed.name() == "alice"
    browsers.now[0] += 3600 * clock.MICROSECONDS
    assert await signed.name() is None
    signed = await browsers.signed_in()
    for _ in range(12):
        assert await signed.name() == "alice"
        browsers.now[0] += 3599 * clock.MICROSECONDS
    browsers.now[0] += 12 * clock.MICROSECONDS
    assert await signed.name() is None


async def test_a_changed_account_ends_its_sessions(browsers: Browsers) -> None:
    """A new password throws every browser out, at once."""
    signed = await browsers.signed_in()
    assert browsers.alice.id is not None
    account = browsers.alice.id
    await browsers.app.stores.metadata.write(lambda tx: principals.set_secret(tx, account, "new"))
    assert await signed.name() is None
    assert (await login(browsers.client(), "alice", "new")).status == 200


async def test_plain_http_is_for_this_host(browsers: Browsers) -> None:
    """From elsewhere a sign-in over http is refused; from this host it works, under the plain name."""
    answer = await login(browsers.client(scheme="http"), "alice")
    assert (answer.status, answer.codes) == (403, ["DENIED"])
    assert "set-cookie" not in answer
    for host in ("localhost:5000", "127.0.0.1:5000", "[::1]:5000", "registry.localhost"):
        answer = await login(browsers.client(scheme="http", host=host), "alice")
        assert answer["set-cookie"].startswith("sid=")
        assert "Secure" not in answer["set-cookie"]
    signed = await browsers.signed_in(scheme="http", host="localhost:5000")
    assert await signed.name() == "alice"
    over_https = Signed(browsers.client(), signed.cookie, signed.csrf)
    assert await over_https.name() is None


async def test_behind_a_proxy_the_scheme_is_what_the_browser_sees(browsers: Browsers) -> None:
    """A proxy that ends TLS and says so gets the cookie for https, and its visitors' origin fits."""
    client = browsers.client(scheme="http").with_headers(X_Forwarded_Proto="https")
    answer = await login(client, "alice", Origin=ORIGIN)
    assert answer["set-cookie"].startswith("__Host-sid=")
    assert "; Secure" in answer["set-cookie"]


async def test_the_registry_api_takes_no_cookie(browsers: Browsers) -> None:
    """`/v2/` asks for credentials, whatever session a browser has."""
    signed = await browsers.signed_in()
    for method, path in (("GET", "/v2/"), ("GET", "/v2/demo/tags/list"), ("PUT", "/v2/demo/manifests/latest")):
        headers = {"Cookie": signed.cookie, "X-Harbor-CSRF-Token": signed.csrf}
        answer = await signed.client.request(method, path, headers=headers)
        assert answer.status == 401
        assert "x-harbor-csrf-token" not in answer
