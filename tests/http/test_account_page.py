"""`/c/account`: the page of oneself, made of forms alone, and what other sites and other people cannot do with it."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from entrepot.web.application import Application
from tests.http.matrix.deployed import ADMIN, ADMIN_PASSWORD, deployed
from tests.http.matrix.people import basic, client
from tests.http.transport import Answer, AsgiClient
from tests.support.api import Api

ORIGIN = "https://registry.test"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
PROVIDER = (
    '[{"name": "main", "title": "Main <login>", "issuer": "https://p.test", "clientid": "r", "clientsecret": "s"}]'
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Person:
    """A browser that keeps its cookies."""

    application: Application
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, target: str, form: Mapping[str, str] | None = None, **headers: str) -> Answer:
        """Ask for a page, or post a form."""
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = ({"Cookie": kept} if kept else {}) | (FORM if form is not None else {}) | headers
        method, body = ("GET", None) if form is None else ("POST", urlencode(form).encode())
        browser = AsgiClient(self.application, scheme="https", host="registry.test")
        answer = await browser.request(method, target, headers=sent, body=body)
        for header in answer.values("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return answer

    async def sign_in(self, name: str = ADMIN, password: str = ADMIN_PASSWORD, **headers: str) -> Answer:
        """Send the form of the page."""
        form = {"principal": name, "password": password, "code": ""}
        return await self.ask("/c/account", form, **headers)

    async def page(self) -> str:
        """Read the page."""
        answer = await self.ask("/c/account")
        assert answer.status == 200
        return answer.body.decode()

    async def post(self, target: str, **fields: str) -> Answer:
        """Send one of the page's forms."""
        token = re.findall(r'name="token" value="([^"]+)"', await self.page())[0]
        return await self.ask(target, {"token": token, **fields})

    async def key(self, **fields: str) -> Answer:
        """Send one of the forms about keys."""
        return await self.post("/c/account/key", **fields)

    async def number(self, name: str) -> str:
        """Read a key's number off the page's links."""
        row = (await self.page()).partition(f"<b>{name}</b>")[2]
        return re.findall(r"\?id=(\d+)", row)[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Application]:
    """Give a registry with a sign-in provider; each test has keys of its own names."""
    async with deployed(tmp_path_factory.mktemp("registry"), {"REGISTRY_ACCESS_OIDC": PROVIDER}) as application:
        yield application


@pytest_asyncio.fixture(loop_scope="module")
async def admin(registry: Application) -> Person:
    """Give the administrator's browser, signed in by the page."""
    person = Person(registry)
    answer = await person.sign_in()
    assert (answer.status, answer["location"]) == (303, "/c/account")
    return person


def secret_of(answer: Answer) -> str:
    """Read a new key off its page."""
    assert answer.status == 201, answer.body
    return re.findall(r"reg_\w{36}", answer.body.decode())[0]


async def signs_in(registry: Application, secret: str) -> bool:
    """Tell whether a key signs the administrator in."""
    return (await client(registry, basic(ADMIN, secret)).get("/v2/")).status == 200


async def is_refused(registry: Application, secret: str) -> None:
    """Wait until a key signs nobody in; what a worker knows of one it believes for some seconds."""
    async with asyncio.timeout(20):
        while await signs_in(registry, secret):
            await asyncio.sleep(0.2)


async def test_whoever_is_not_signed_in_sees_how_to(registry: Application) -> None:
    """A form, and the providers by their names; a wrong password says so and keeps the name."""
    person = Person(registry)
    page = await person.page()
    assert 'name="principal"' in page
    assert '<a href="/c/oidc/login?provider=main&amp;redirect_url=%2Fc%2Faccount">Main &lt;login&gt;</a>' in page
    wrong = await person.sign_in(password="wrong")
    assert (wrong.status, person.cookies) == (401, {})
    assert 'value="admin"' in wrong.body.decode()
    assert "password is wrong" in wrong.body.decode()


async def test_a_form_with_nul_is_refused_with_the_reason(registry: Application, admin: Person) -> None:
    """PostgreSQL keeps no such text, and nobody could sign in by such a password: nothing is asked, nothing changed."""
    stranger = Person(registry)
    for form in ({"principal": "a\0", "password": "b"}, {"principal": "a", "password": "b\0"}, {"principal\0": "a"}):
        answer = await stranger.ask("/c/account", form)
        assert answer.status == 400
        assert "the character NUL" in answer.body.decode()
    new = "seven boats\0 on the lake"
    for form in ({"old": ADMIN_PASSWORD, "new": new, "again": new}, {"old": "\0"}):
        answer = await admin.post("/c/account/password", **form)
        assert answer.status == 403
        assert "the character NUL" in answer.body.decode()
    assert (await admin.key(do="make", name="nul\0", days="90")).status == 403
    assert (await Person(registry).sign_in()).status == 303
    reset = await stranger.ask("/c/reset_password", {"token": "a", "password": new, "again": new})
    assert (reset.status, "the character NUL" in reset.body.decode()) == (403, True)


async def test_who_am_i_in_two_languages(admin: Person) -> None:
    """Name, way of signing in, keys, second factor, and the way out."""
    page = await admin.page()
    for text in ("Your account", ">admin<", "a password of this registry", "your password alone", "/c/log_out"):
        assert text in page
    chinese = (await admin.ask("/c/account", **{"Accept-Language": "zh-CN"})).body.decode()
    assert '<html lang="zh-Hans">' in chinese
    assert "您的账户" in chinese


async def test_a_key_is_made_renewed_and_removed(registry: Application, admin: Person) -> None:
    """Shown once; renewed, the old secret is refused, removed, the new one too; each is asked about first."""
    first = secret_of(await admin.key(do="make", name="laptop", days="90"))
    assert await signs_in(registry, first)
    assert first not in await admin.page()
    number = await admin.number("laptop")
    asked = (await admin.ask(f"/c/account/key?id={number}&do=renew")).body.decode()
    assert "Renew the key laptop?" in asked
    assert await signs_in(registry, first)
    second = secret_of(await admin.key(do="renew", id=number))
    assert await signs_in(registry, second)
    await is_refused(registry, first)
    number = await admin.number("laptop")
    removed = await admin.key(do="remove", id=number)
    assert (removed.status, removed["location"]) == (303, "/c/account?removed=1")
    await is_refused(registry, second)
    assert "<b>laptop</b>" not in await admin.page()


async def test_what_cannot_be_a_key_is_said_on_the_page(admin: Person) -> None:
    """A name that is there, or none, an end that was not offered, somebody else's key, and nothing to do."""
    secret_of(await admin.key(do="make", name="once", days=""))
    for fields, status in (
        ({"do": "make", "name": "once", "days": "90"}, 409),
        ({"do": "make", "name": "", "days": "90"}, 400),
        ({"do": "make", "name": "x", "days": "9000"}, 400),
        ({"do": "remove", "id": "999999"}, 404),
        ({"do": "renew", "id": "1 or 1=1"}, 404),
        ({"do": "sell", "id": await admin.number("once")}, 400),
    ):
        answer = await admin.key(**fields)
        assert answer.status == status, fields
        assert 'role="alert"' in answer.body.decode()
    assert (await admin.ask("/c/account/key?id=999999&do=remove")).status == 404


async def test_markup_in_a_name_is_text(admin: Person) -> None:
    """Of what people write, nothing is read as HTML."""
    made = await admin.key(do="make", name="<b title=x>", days="30")
    for body in (made.body.decode(), await admin.page()):
        assert "<b title" not in body
        assert "&lt;b title=x&gt;" in body


@pytest.mark.parametrize("spoilt", ["token", "no token", "another site", "signed out"])
async def test_no_other_site_makes_a_key(registry: Application, admin: Person, spoilt: str) -> None:
    """A form without the session's token, or from elsewhere, is refused; without a session one signs in."""
    page = await admin.page()
    token = re.findall(r'name="token" value="([^"]+)"', page)[0]
    form = {"token": token, "do": "make", "name": f"of {spoilt}", "days": "90"}
    headers = {}
    if spoilt == "token":
        form["token"] = "guessed"
    elif spoilt == "no token":
        del form["token"]
    elif spoilt == "another site":
        headers = {"Origin": "https://evil.test"}
    else:
        admin.cookies.clear()
    answer = await admin.ask("/c/account/key", form, **headers)
    assert answer.status == (401 if spoilt == "signed out" else 403)
    again = Person(registry)
    await again.sign_in()
    assert f"of {spoilt}" not in await again.page()


async def test_no_other_site_signs_a_visitor_in(registry: Application) -> None:
    """Under somebody else's name a visitor would give away what they do."""
    person = Person(registry)
    assert (await person.sign_in(Origin="https://evil.test")).status == 403
    assert person.cookies == {}


async def test_keys_and_robots_open_no_page(registry: Application, admin: Person) -> None:
    """A key in place of the password opens no session, which would outlive it."""
    secret = secret_of(await admin.key(do="make", name="not here", days="30"))
    assert (await Person(registry).sign_in(password=secret)).status == 401
    answer = await client(registry, basic(ADMIN, secret)).get("/c/account")
    assert 'name="principal"' in answer.body.decode()


async def test_signing_out_leads_a_browser_on(admin: Person) -> None:
    """An empty page says nothing; a script is answered as before."""
    answer = await admin.ask("/c/log_out", Accept="text/html,*/*")
    assert (answer.status, answer["location"]) == (302, "/c/account?signed_out=1")
    assert "You are signed out." in (await admin.ask(answer["location"])).body.decode()
    assert (await admin.ask("/c/log_out", Accept="*/*")).status == 200


async def test_a_password_of_somebody_else_is_changed_first(registry: Application) -> None:
    """Whoever must choose another password makes no key before."""
    api = Api(client(registry, basic(ADMIN, ADMIN_PASSWORD)))
    body = {"username": "erin", "email": "e@example.org", "realname": "Erin", "password": "seven boats at anchor"}
    place = (await api.post("/users", body))["location"].removeprefix("/api/v2.0")
    new = {"new_password": "eight boats at anchor", "must_change": True}
    assert (await api.put(f"{place}/password", new)).status == 200
    erin = Person(registry)
    assert (await erin.sign_in("erin", "eight boats at anchor")).status == 303
    page = await erin.page()
    assert "Your password was set by somebody else" in page
    assert 'name="days"' not in page
    for old, new, again, status in (
        ("wrong", "nine boats at anchor", "nine boats at anchor", 403),
        ("eight boats at anchor", "nine boats at anchor", "ten boats at anchor", 400),
        ("eight boats at anchor", "short", "short", 400),
        ("eight boats at anchor", "nine boats at anchor", "nine boats at anchor", 303),
    ):
        assert (await erin.post("/c/account/password", old=old, new=new, again=again)).status == status
    assert "Your password is changed." in (await erin.ask("/c/account?changed=1")).body.decode()
    assert (await erin.sign_in("erin", "nine boats at anchor")).status == 303
    assert 'name="days"' in await erin.page()


async def test_one_time_codes_are_set_up_and_turned_off(registry: Application) -> None:
    """The app's secret is shown once, a code of it turns them on, and one of the recovery codes turns them off."""
    api = Api(client(registry, basic(ADMIN, ADMIN_PASSWORD)))
    body = {"username": "frank", "email": "f@example.org", "realname": "F", "password": "seven boats at anchor"}
    await api.post("/users", body)
    frank = Person(registry)
    await frank.sign_in("frank", body["password"])
    begun = (await frank.post("/c/account/codes", do="begin")).body.decode()
    [secret] = re.findall(r"<code class=\"secret\">([A-Z2-7]{32})</code>", begun)
    wrong = await frank.post("/c/account/codes", do="confirm", code="000000")
    assert (wrong.status, secret in wrong.body.decode()) == (400, False)
    shown = await frank.post("/c/account/codes", do="confirm", code=code_of(secret))
    codes = re.findall(r"[a-z0-9]{4}(?:-[a-z0-9]{4}){3}", shown.body.decode())
    assert len(set(codes)) == 10
    assert "One-time codes of an app are on." in await frank.page()
    other = Person(registry)
    assert (await other.sign_in("frank", body["password"])).status == 401
    again = await frank.post("/c/account/codes", do="renew", code=codes[0])
    newer = re.findall(r"[a-z0-9]{4}(?:-[a-z0-9]{4}){3}", again.body.decode())
    assert not {*codes} & {*newer}
    used = await frank.post("/c/account/codes", do="disable", code=codes[1])
    assert (used.status, "recovery code is wrong, or was used already" in used.body.decode()) == (400, True)
    assert (await frank.post("/c/account/codes", do="disable", code=newer[0])).status == 303
    assert "your password alone" in await frank.page()
    assert (await frank.post("/c/account/codes", do="sell")).status == 400


def code_of(secret: str) -> str:
    """Say what an app shows now."""
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(int(time.time())).decode()
