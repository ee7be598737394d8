"""`/c/oidc/...`: the pages and cookies of a sign-in by a provider, and what other sites cannot do with them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from entrepot.access.web_sessions import Sessions
from entrepot.accounts.providers.mapping import Rules
from entrepot.accounts.providers.pending_sign_ins import Journeys, Strangers
from entrepot.accounts.providers.people import People
from entrepot.accounts.providers.provider_tokens import Grips
from entrepot.accounts.providers.sign_in import ProviderParts, ProviderSignIn
from entrepot.metadata.people import users
from entrepot.telemetry.access_format import RequestRecord
from entrepot.telemetry.access_log import AccessLog
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from entrepot.web.application import Application
from entrepot.web.login import session_routes
from entrepot.web.oidc.routes import ProviderPages
from entrepot.web.session.gate import SessionGate
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, AppOptions, PlainPasswords, open_app
from tests.support.vouching import Vouching, VouchingSource

HOST = "registry.test"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{HOST}"}


class Remembered(AccessLog):
    """An access log that keeps what it would write."""

    def __init__(self) -> None:
        super().__init__(enabled=True)
        self.records: list[RequestRecord] = []

    def write(self, record: RequestRecord) -> None:
        """Keep it."""
        self.records.append(record)


@dataclass
class Site:
    """A registry with a provider."""

    app: App
    application: Application
    provider: Vouching
    sessions: Sessions
    log: Remembered

    def person(self, scheme: str = "https") -> Person:
        """Give a browser."""
        return Person(AsgiClient(self.application, scheme=scheme, host=HOST))


@dataclass
class Person:
    """A browser that keeps its cookies."""

    client: AsgiClient
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, target: str, body: dict[str, str] | None = None, **headers: str) -> Answer:
        """Ask for a page."""
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = ({"Cookie": kept} if kept else {}) | (FORM if body is not None else {}) | headers
        encoded = None if body is None else urlencode(body).encode()
        answer = await self.client.request(method, target, headers=sent, body=encoded)
        for header in answer.values("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in header:
                del self.cookies[name]
        return answer

    async def leave(self, query: str = "") -> str:
        """Go to the provider; gives the state that it was told."""
        answer = await self.ask("GET", f"/c/oidc/login{query}")
        assert answer.status == 303, answer.body
        return parse_qs(urlsplit(answer["location"]).query)["state"][0]

    async def come_back(self, subject: str, state: str) -> Answer:
        """Come back from it as somebody."""
        return await self.ask("GET", "/c/oidc/callback/main?" + urlencode({"state": state, "code": subject}))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Give a registry with a provider that makes accounts unasked."""
    async with open_app(tmp_path, AppOptions(signed_in=True)) as app:
        yield make_site(app, tmp_path)


def make_site(app: App, folder: Path, *providers: Vouching, settings: Sequence[Vouching] = ()) -> Site:
    """Add sign-in by providers to a registry: by those of a configuration file, and by those of the settings."""
    provider = Vouching(rules=Rules(auto_onboard=True))
    vault = Vault(app.stores.metadata, KeySource(folder, {}))
    sessions = Sessions(app.stores.metadata, app.stores.work)
    gate = SessionGate(sessions, app.services.proxies)
    parts = ProviderParts(
        people=People(app.stores.metadata),
        grips=Grips(app.stores.metadata, vault),
        sessions=sessions,
        journeys=Journeys(vault),
        strangers=Strangers(app.stores.work, vault),
    )
    source = VouchingSource([provider, *providers], settings)
    pages = ProviderPages(gate, lambda: ProviderSignIn(source, parts))
    routes = {
        **session_routes(gate, PlainPasswords(app.stores), pages.farewell),
        **pages.routes(source.fixed),
    }
    log = Remembered()
    return Site(app, Application(replace(app.services, access_log=log), routes), provider, sessions, log)


async def test_there_and_back(site: Site) -> None:
    """A person comes back signed in, where they wanted to go, with a cookie that only this registry sees."""
    site.provider.add("7", "alice")
    person = site.person()
    state = await person.leave("?redirect_url=/projects%3Fpage=2")
    [journey] = person.cookies
    assert re.fullmatch(r"__Host-oidc-[0-9a-f]{12}", journey)
    answer = await person.come_back("7", state)
    assert (answer.status, answer["location"], answer["cache-control"]) == (303, "/projects?page=2", "no-store")
    assert list(person.cookies) == ["__Host-sid"]
    for cookie in answer.values("set-cookie"):
        assert {"HttpOnly", "SameSite=Lax", "Secure", "Path=/"} <= set(cookie.split("; "))
    session = await site.sessions.authenticate(person.cookies["__Host-sid"])
    assert session is not None
    assert (session.principal.name, session.provider) == ("alice", "oidc:main")


async def test_the_code_is_in_no_log(site: Site) -> None:
    """What a provider sends along in the address is not written down, whatever came of it."""
    site.provider.add("secret-subject", "alice")
    person = site.person()
    await person.come_back("secret-subject", await person.leave())
    await person.come_back("secret-subject", "wrong state")
    written = json.dumps([record.exchange.target for record in site.log.records])
    assert "secret-subject" not in written
    assert written.count("/c/oidc/callback/main?hidden") == 2
    assert site.log.records[1].exchange.user == "alice"


async def test_one_provider_is_led_on_to_and_several_are_shown(site: Site, tmp_path: Path) -> None:
    """`/c/oidc/login`, which Harbor's clients know, leads on; with two providers a page shows both, names escaped."""
    answer = await site.person().ask("GET", "/c/oidc/login?redirect_url=/a%26b")
    assert answer.status == 303
    assert answer["location"].startswith("https://provider.test/auth?")
    both = make_site(site.app, tmp_path, Vouching(name="other", title="Other"))
    page = await both.person().ask("GET", "/c/oidc/login?redirect_url=/a")
    text = page.body.decode()
    assert '<a href="/c/oidc/login?provider=main&amp;redirect_url=%2Fa">Main &lt;login&gt;</a>' in text
    assert '<a href="/c/oidc/login?provider=other&amp;redirect_url=%2Fa">Other</a>' in text
    check_page(page)


async def test_the_provider_of_the_settings_has_harbors_redirect_address(site: Site, tmp_path: Path) -> None:
    """It may have another name at any time: the browser comes back to `/c/oidc/callback`, without a name."""
    harbor = Vouching(name="harbor", rules=Rules(auto_onboard=True))
    harbor.add("7", "alice")
    person = make_site(site.app, tmp_path, settings=[harbor]).person()
    state = await person.leave("?provider=harbor&redirect_url=/projects")
    answer = await person.ask("GET", "/c/oidc/callback?" + urlencode({"state": state, "code": "7"}))
    assert (answer.status, answer["location"]) == (303, "/projects")
    state = await person.leave("?provider=main")
    mixed = await person.ask("GET", "/c/oidc/callback?" + urlencode({"state": state, "code": "7"}))
    assert mixed.status == 403


@pytest.mark.parametrize(
    "target", ["//evil.test", "https://evil.test", "/%5Cevil.test", "/%0d%0aset-cookie:a=b", "/\\x"]
)
async def test_nobody_is_led_elsewhere(site: Site, target: str) -> None:
    """An address of another site is refused before the journey begins (CVE-2024-22244)."""
    person = site.person()
    answer = await person.ask("GET", "/c/oidc/login?provider=main&" + urlencode({"redirect_url": target}))
    assert answer.status == 400
    assert "evil" not in answer.body.decode()
    assert person.cookies == {}
    check_page(answer)


async def test_another_browsers_answer_signs_nobody_in(site: Site) -> None:
    """The answer to one browser's journey is worth nothing in another: no login by a link that somebody sends."""
    site.provider.add("7", "mallory")
    mallory, victim = site.person(), site.person()
    state = await mallory.leave()
    answer = await victim.come_back("7", state)
    assert answer.status == 403
    assert "begin again" in answer.body.decode()
    await victim.leave()
    assert (await victim.come_back("7", state)).status == 403
    assert "__Host-sid" not in victim.cookies
    assert (await mallory.come_back("7", state)).status == 303


async def test_two_journeys_of_one_browser_both_arrive(site: Site) -> None:
    """Two pages on their way to the provider do not take each other's place, and each answer counts once."""
    site.provider.add("7", "alice")
    person = site.person()
    first, second = await person.leave("?redirect_url=/one"), await person.leave("?redirect_url=/two")
    assert (await person.come_back("7", first))["location"] == "/one"
    assert (await person.come_back("7", second))["location"] == "/two"
    assert (await person.come_back("7", first)).status == 403


async def test_parameters_that_come_twice_count_as_none(site: Site) -> None:
    """What two parsers could read in two ways is not read at all."""
    site.provider.add("7", "alice")
    person = site.person()
    state = await person.leave()
    twice = urlencode([("state", state), ("state", "other"), ("code", "7")])
    assert (await person.ask("GET", "/c/oidc/callback/main?" + twice)).status == 403
    many = "&".join(f"p{number}=1" for number in range(100))
    assert (await person.ask("GET", f"/c/oidc/callback/main?{many}")).status == 403
    assert (await person.ask("GET", "/c/oidc/callback/main")).status == 403


async def test_a_no_is_shown_without_markup(site: Site) -> None:
    """What the provider says is text on our page, and no link of the page leads straight back to the same refusal."""
    person = site.person()
    state = await person.leave()
    query = urlencode({"state": state, "error": '<script>alert("x")</script>'})
    answer = await person.ask("GET", f"/c/oidc/callback/main?{query}")
    assert answer.status == 403
    assert "&lt;script&gt;" in answer.body.decode()
    links = re.findall(r'<li><a href="([^"]+)">', answer.body.decode())
    assert links == [
        "/c/oidc/login?provider=main&amp;redirect_url=%2Fc%2Faccount&amp;anew=1",
        "/c/account",
    ]
    anew = await person.ask("GET", links[0].replace("&amp;", "&"))
    assert anew["location"].endswith("&prompt=login")
    check_page(answer)


async def test_a_provider_that_is_down_is_said_so(site: Site) -> None:
    """On the way there and back the person reads that it is the provider, and nobody is signed in."""
    site.provider.add("7", "alice")
    person = site.person()
    state = await person.leave()
    site.provider.down = {"*"}
    assert (await person.come_back("7", state)).status == 502
    answer = await person.ask("GET", "/c/oidc/login?provider=main")
    assert answer.status == 502
    assert "The provider cannot be asked." in answer.body.decode()
    assert "__Host-sid" not in person.cookies


async def test_plain_http_opens_no_session(site: Site) -> None:
    """A session would travel in the clear: refused before the journey and after it."""
    person = site.person("http")
    for path in ("/c/oidc/login?provider=main", "/c/oidc/callback/main?state=x&code=7"):
        answer = await person.ask("GET", path)
        assert answer.status == 403
        assert "sign in over https" in answer.body.decode()


async def test_somebody_new_chooses_a_name(site: Site) -> None:
    """The form shows the provider's name for them; the account is made with the name they choose."""
    site.provider.rules = Rules()
    site.provider.add("7", '"><b>al')
    person = site.person()
    answer = await person.come_back("7", await person.leave("?redirect_url=/projects"))
    assert (answer.status, answer["location"]) == (303, "/c/oidc/onboard")
    assert list(person.cookies) == ["__Host-oidc-ticket"]
    page = await person.ask("GET", "/c/oidc/onboard")
    assert "<b>" not in page.body.decode()
    check_page(page)
    token = token_of(page)
    taken = await site.app.account("admin")
    again = await person.ask("POST", "/c/oidc/onboard", {"token": token, "username": taken.name})
    assert again.status == 409
    assert "There is an account named admin already" in again.body.decode()
    done = await person.ask("POST", "/c/oidc/onboard", {"token": token, "username": "alice"})
    assert (done.status, done["location"]) == (303, "/projects")
    assert list(person.cookies) == ["__Host-sid"]
    found = await users.find(site.app.stores.metadata, "alice")
    assert found is not None
    assert (found.provider, found.subject) == ("oidc:main", "7")


async def test_nobody_else_chooses_the_name(site: Site) -> None:
    """Without the ticket's cookie, the form's token or our own origin no account is made."""
    site.provider.rules = Rules()
    site.provider.add("7", "al")
    person, other = site.person(), site.person()
    await person.come_back("7", await person.leave())
    token = token_of(await person.ask("GET", "/c/oidc/onboard"))
    form = {"token": token, "username": "mallory"}
    tries = [
        (other, form, {}),
        (person, {**form, "token": "0" * 64}, {}),
        (person, {"username": "mallory"}, {}),
        (person, form, {"Origin": "https://evil.test"}),
        (person, form, {"Origin": "null"}),
        (person, form, {"Sec-Fetch-Site": "cross-site"}),
    ]
    for browser, body, headers in tries:
        assert (await browser.ask("POST", "/c/oidc/onboard", body, **headers)).status == 403
    wrong = await person.ask("POST", "/c/oidc/onboard", form, **{"Content-Type": "text/plain"})
    assert wrong.status == 400
    assert await users.find(site.app.stores.metadata, "mallory") is None
    assert (await other.ask("GET", "/c/oidc/onboard")).status == 403


async def test_a_sign_in_ends_the_session_before(site: Site) -> None:
    """Nobody's old cookie becomes somebody else's session: a new one is made, and the old one ends."""
    site.provider.add("7", "alice")
    site.provider.add("8", "bob")
    person = site.person()
    await person.come_back("7", await person.leave())
    old = person.cookies["__Host-sid"]
    await person.come_back("8", await person.leave())
    assert person.cookies["__Host-sid"] != old
    assert await site.sessions.authenticate(old) is None


async def test_signing_out_leads_to_the_provider(site: Site) -> None:
    """After our session has ended the browser ends the provider's, and is to come back to us."""
    site.provider.add("7", "alice")
    person = site.person()
    await person.come_back("7", await person.leave())
    answer = await person.ask("GET", "/c/log_out")
    assert answer.status == 302
    assert answer["location"] == f"https://provider.test/end?hint=hint+of+7&back_to=https://{HOST}/"
    assert person.cookies == {}


@pytest.mark.parametrize(
    "path",
    ["/c/oidc/login?provider=other", "/c/oidc/login/main", "/c/oidc/callback", "/c/oidc/callback/other", "/c/oidc/"],
)
async def test_what_is_not_there(site: Site, path: str) -> None:
    """A provider that nobody configured has no pages."""
    assert (await site.person().ask("GET", path)).status == 404


def check_page(answer: Answer) -> None:
    """A page runs nothing, loads one style sheet, is framed and kept by nobody, and tells its address to nobody."""
    assert answer["content-type"] == "text/html; charset=utf-8"
    assert answer["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert answer["referrer-policy"] == "same-origin"
    assert answer["cache-control"] == "no-store"
    assert answer["x-content-type-options"] == "nosniff"
    body = answer.body.decode().replace('<link rel="stylesheet" href="/c/pages.css">', "", 1)
    assert not re.search(r"<(script|style|img|link)|\son\w+=", body, re.IGNORECASE)


def token_of(page: Answer) -> str:
    """Read the form's token."""
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page.body.decode())
    assert found is not None
    return found[1]
