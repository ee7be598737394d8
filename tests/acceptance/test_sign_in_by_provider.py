"""A person signs in with a browser by a real OpenID provider, makes an API key, and pushes with it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession
from typer.testing import CliRunner

from entrepot.cli.app import app
from tests.support.browser import Browser, browser
from tests.support.container_storage import container_storage
from tests.support.network import Network
from tests.support.openid import CLIENT_ID, CLIENT_SECRET, OpenId, open_id_provider
from tests.support.pages import blocks
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.terminal import Terminal, open_terminal

#: Names by the provider's subject; each test has a person of its own, so that they may run in any order.
PEOPLE = {
    subject: {
        "preferred_username": subject,
        "email": f"{subject}@example.org",
        "name": subject.title(),
        "groups": ["registry-users", "developers"],
    }
    for subject in ("alice", "bob", "carol", "dave", "erin", "grace", "heidi")
}
#: Somebody in no group that may enter.
PEOPLE["ivan"] = {**PEOPLE["alice"], "preferred_username": "ivan", "groups": ["guests"]}
#: Somebody whose name at the provider nobody can have here.
PEOPLE["frank"] = {**PEOPLE["alice"], "preferred_username": "admin"}
HOW_TO = "how-to/sign-in-with-keycloak.md"
#: How long until a change at the provider must be in force: `check` and its pause, in place of five minutes.
PATIENCE = 40.0


class Here(Network):
    """The machine's own network: the browser, the provider and the registry listen on free ports of the loopback."""

    @property
    def prefix(self) -> list[str]:
        """Give nothing to put before a command."""
        return []


@dataclass(slots=True)
class Site:
    """A registry whose people come from a provider."""

    server: Server
    provider: OpenId

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API as the administrator."""
        async with (
            ClientSession(trust_env=False) as http,
            http.request(
                method,
                f"{self.server.url}/api/v2.0{path}",
                json=body,
                headers=_basic("admin", ADMIN_PASSWORD),
            ) as answer,
        ):
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def status_with(self, name: str, key: str) -> int:
        """Give the status of `/v2/` for a key."""
        async with (
            ClientSession(trust_env=False) as http,
            http.get(f"{self.server.url}/v2/", headers=_basic(name, key)) as answer,
        ):
            return answer.status

    async def until(self, wanted: Callable[[], Any], what: str) -> float:
        """Wait until something is so; gives the seconds that it took."""
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            if await wanted():
                return time.monotonic() - begun
            await asyncio.sleep(0.25)
        pytest.fail(f"{what} within {PATIENCE} s\n{self.server.logs()[-3000:]}")


@dataclass(slots=True)
class Person:
    """Somebody at a browser."""

    site: Site
    page: Browser
    csrf: str = field(default="", repr=False)

    async def sign_in(self, name: str, *, provider: str = "keycloak", onboard: str = "") -> None:
        """Sign in at the provider, agree, and choose a name where one is asked for."""
        await self.page.forget()
        await self.page.visit(f"{self.site.server.url}/c/oidc/login?provider={provider}&redirect_url=/readyz")
        await self.page.fill(login=name, password="whatever")
        await self.page.submit()
        await self.page.submit()
        if onboard:
            assert await self.page.path() == "/c/oidc/onboard", await self.page.text()
            await self.page.fill(username=onboard)
            await self.page.submit()

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the API from a page of the registry, with the cookie, as its own pages will."""
        options = {"method": method, "headers": {"Content-Type": "application/json"}}
        if self.csrf:
            options["headers"]["X-Harbor-CSRF-Token"] = self.csrf
        if body is not None:
            options["body"] = json.dumps(body)
        script = f"""(async () => {{
            const answer = await fetch({json.dumps("/api/v2.0" + path)}, {json.dumps(options)});
            return [answer.status, await answer.text(), answer.headers.get("x-harbor-csrf-token") || ""];
        }})()"""
        status, text, token = await self.page.run(script)
        self.csrf = token or self.csrf
        return status, json.loads(text) if text.startswith(("{", "[")) else text

    async def make_key(self, name: str) -> str:
        """Make an API key as the person signed in."""
        status, _ = await self.api("GET", "/users/current")
        assert status == 200
        status, made = await self.api("POST", "/users/current/keys", {"name": name})
        assert status == 201, made
        return str(made["secret"])


def _basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the provider and the registry, each knowing the other."""
    with open_id_provider(PEOPLE) as provider, _registry(provider, check="5s") as server:
        provider.start([f"{server.url}/c/oidc/callback/{name}" for name in ("keycloak", "short")], f"{server.url}/")
        yield Site(server, provider)


def page_of(provider: OpenId, data: Path) -> str:
    """Give the how-to page's configuration to the letter, with this provider's address, a secret and a folder."""
    secret = provider.folder / "client-secret"
    secret.write_text(CLIENT_SECRET)
    text = blocks(HOW_TO, "yaml")[0]
    for example, real in {
        "https://keycloak.example.org/realms/main": provider.issuer,
        "keycloak.example.org": "127.0.0.1",
        "/etc/entrepot/keycloak-secret": str(secret),
        "/var/lib/registry": str(data),
    }.items():
        assert example in text
        text = text.replace(example, real)
    return text


def configuration(provider: OpenId, data: Path, **changes: str) -> str:
    """Give the page's configuration, and a second way to the same provider without offline access.

    Nothing else is added, or what the page says would not be what is shown; `changes` are of times alone.
    """
    config = yaml.safe_load(page_of(provider, data))
    [section] = config["access"]["oidc"]
    assert section["clientid"] == CLIENT_ID
    section |= changes
    scopes = [scope for scope in section["scopes"] if scope != "offline_access"]
    config["access"]["oidc"].append({**section, "name": "short", "title": "Short", "scopes": scopes})
    return yaml.safe_dump(config)


@contextmanager
def _registry(provider: OpenId, **changes: str) -> Iterator[Server]:
    data = provider.folder / "data"
    with Server(text=configuration(provider, data, **changes), data=data) as server:
        yield server


@pytest.fixture
async def person(site: Site) -> AsyncIterator[Person]:
    """Give somebody at a browser that has been nowhere yet."""
    async with browser() as page:
        await page.ignore_policies()
        yield Person(site, page)


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Terminal]:
    """Give Podman with storage of its own."""
    terminal = open_terminal(tmp_path / "home", Here(name=""), {})
    with container_storage(terminal, tmp_path / "containers") as made:
        yield made


async def test_a_person_signs_in_and_pushes(site: Site, person: Person, podman: Terminal, busybox: Path) -> None:
    """The group is mapped to maintainer; the key pushes to the group's project, and nowhere else, with the reason."""
    await site.admin("POST", "/projects", {"project_name": "app"})
    await site.admin("POST", "/projects", {"project_name": "other"})
    await site.admin("POST", "/usergroups", {"group_name": "developers", "group_type": 3, "provider": "oidc:keycloak"})
    member = {"role_id": 4, "member_group": {"group_name": "developers"}}
    await site.admin("POST", "/projects/app/members", member)

    await person.sign_in("alice")
    assert await person.page.path() == "/readyz"
    status, me = await person.api("GET", "/users/current")
    assert status == 200
    assert (me["username"], me["email"], me["realname"]) == ("alice", "alice@example.org", "Alice")
    cookie = (await person.page.cookies())["sid"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    key = await person.make_key("laptop")

    image = podman.run("podman", "pull", "--quiet", f"oci:{busybox}:latest")
    address = site.server.address
    login = ("podman", "login", "--tls-verify=false", "--username", "alice", "--password-stdin", address)
    podman.run(*login, given=key)
    podman.run("podman", "push", "--tls-verify=false", image, f"{address}/app/web:1")
    said = podman.refused("podman", "push", "--tls-verify=false", image, f"{address}/other/web:1")
    assert "denied" in said or "unauthorized" in said, said
    assert "secret" not in site.server.logs()
    assert key not in site.server.logs()


def test_the_page_is_tried_before_a_start(site: Site, tmp_path: Path) -> None:
    """The page's file is whole, and asks the provider without a restart; an issuer that is spelt otherwise is told."""
    file = tmp_path / "config.yml"
    file.write_text(page_of(site.provider, tmp_path / "data"))
    good = CliRunner().invoke(app, ["config", "check", str(file), "--ask"])
    assert good.exit_code == 0, good.output
    assert "access.oidc" not in good.output
    file.write_text(file.read_text().replace(site.provider.issuer, f"{site.provider.issuer}/"))
    wrong = CliRunner().invoke(app, ["config", "check", str(file), "--ask"])
    assert wrong.exit_code == 1
    assert "down to the last slash" in wrong.output


async def test_a_rotated_key_does_not_keep_people_out(site: Site, person: Person) -> None:
    """After the provider has changed its key, the next sign-in succeeds, and so does the one after it."""
    await person.sign_in("bob")
    for _ in range(2):
        site.provider.rotate_key()
        await person.sign_in("bob")
        assert await person.page.path() == "/readyz", await person.page.text()


async def test_somebody_removed_at_the_provider_is_out_here(site: Site, person: Person) -> None:
    """Key and session end by themselves, and the provider lets nobody in; back there, the same key works again."""
    await person.sign_in("carol")
    key = await person.make_key("ci")
    assert await site.status_with("carol", key) == 200
    site.provider.remove("carol")

    async def refused() -> bool:
        return await site.status_with("carol", key) == 401

    await site.until(refused, "the key of somebody who was removed was not refused")
    await site.until(lambda: _signed_out(person), "the session of somebody who was removed did not end")
    site.provider.set_people({**site.provider.people, "carol": PEOPLE["carol"]})
    await person.sign_in("carol")
    assert await person.page.path() == "/readyz"

    async def accepted() -> bool:
        return await site.status_with("carol", key) == 200

    assert await site.until(accepted, "the key was not accepted again") < 10


@pytest.mark.full
async def test_five_minutes_are_enough_with_the_pages_own_times() -> None:
    """With the page's configuration to the letter, somebody disabled there is refused here within five minutes."""
    with open_id_provider(PEOPLE) as provider, _registry(provider) as server:
        provider.start([f"{server.url}/c/oidc/callback/keycloak"], f"{server.url}/")
        site = Site(server, provider)
        async with browser() as page:
            await page.ignore_policies()
            person = Person(site, page)
            await person.sign_in("carol")
            key = await person.make_key("ci")
            provider.remove("carol")
            begun = time.monotonic()
            while await site.status_with("carol", key) == 200:
                assert time.monotonic() - begun < 300
                await asyncio.sleep(1)


async def test_without_a_refresh_token_people_are_asked_about_while_they_can_be(site: Site, person: Person) -> None:
    """Groups follow, the log says what is missing, and a token that ends early throws nobody out: keys go on."""
    await person.sign_in("grace", provider="short")
    key = await person.make_key("ci")
    assert "a provider gave no refresh token" in site.server.logs()
    site.provider.change("grace", groups=["registry-users", "registry-admins"])
    await site.until(lambda: _signed_out(person), "the group did not arrive")
    site.provider.remove("grace")

    async def told() -> bool:
        return "can be asked about an account no more" in site.server.logs()

    await site.until(told, "the end of the token was not told")
    assert await site.status_with("grace", key) == 200
    [account] = await site.admin("GET", "/users?q=username%3Dgrace")
    assert (account["state"], account["provider_asked_at"]) == ("active", None)
    assert account["works_until"] is not None


async def test_a_person_makes_a_key_on_the_page_of_themselves(site: Site, person: Person) -> None:
    """Where signing in leads, without a script of the page's or of ours: the key that is shown signs in."""
    await person.page.forget()
    await person.page.visit(f"{site.server.url}/c/oidc/login?provider=keycloak")
    await person.page.fill(login="heidi", password="whatever")
    await person.page.submit()
    await person.page.submit()
    assert await person.page.path() == "/c/account"
    shown = await person.page.text()
    assert "heidi@example.org" in shown
    assert "Your sign-in provider asks for your second factor" in shown
    await person.page.fill(name="laptop")
    await person.page.submit()
    [key] = re.findall(r"reg_\w{36}", await person.page.text())
    assert await site.status_with("heidi", key) == 200
    await person.page.visit(f"{site.server.url}/c/security_keys")
    await _seen(person.page, "No security key is registered here.")
    assert not await person.page.run("document.getElementById('add').checkVisibility()")


async def test_a_refusal_does_not_lead_back_to_itself(site: Site, person: Person) -> None:
    """The provider knows its visitor, and would send the same person again: it is asked for another one."""
    await person.sign_in("ivan")
    assert "none of the groups that may use this registry" in await person.page.text()
    await person.page.submit(".ways a")
    assert await person.page.has("[name=login]"), await person.page.text()
    assert "by the provider 'keycloak'" in site.server.logs()


async def _seen(page: Browser, text: str) -> None:
    end = time.monotonic() + PATIENCE
    while text not in (shown := await page.text()):
        assert time.monotonic() < end, shown
        await asyncio.sleep(0.1)


async def test_a_name_that_is_taken_is_asked_for(site: Site, person: Person) -> None:
    """The provider's `admin` is not ours, and chooses another name on a page of ours."""
    await person.sign_in("frank", onboard="frank")
    assert await person.page.path() == "/readyz"
    assert (await person.api("GET", "/users/current"))[1]["username"] == "frank"


async def _signed_out(person: Person) -> bool:
    return (await person.api("GET", "/users/current"))[0] == 401


async def test_groups_follow_in_the_background(site: Site, person: Person) -> None:
    """Somebody put into the provider's group of administrators is one here soon, by a new sign-in, until taken out."""
    await person.sign_in("dave")

    async def is_admin() -> bool:
        return bool((await person.api("GET", "/users/current"))[1]["admin_role_in_auth"])

    async def is_none() -> bool:
        return not await is_admin()

    assert not await is_admin()
    site.provider.change("dave", groups=["registry-users", "registry-admins"])
    await site.until(lambda: _signed_out(person), "the group did not arrive, or ended nothing")
    await person.sign_in("dave")
    assert await is_admin()
    site.provider.change("dave", groups=["registry-users"])
    await site.until(is_none, "the group did not leave")


async def test_signing_out_ends_the_session_at_the_provider(site: Site, person: Person) -> None:
    """The provider asks whether to sign out there, too, and leads back; the next sign-in asks for the password."""
    await person.sign_in("erin")
    await person.page.visit(f"{site.server.url}/c/log_out")
    assert (await person.page.url()).startswith(f"{site.provider.issuer}/session/end")
    await person.page.submit("form [name=logout], button[type=submit]")
    assert (await person.page.url()) == f"{site.server.url}/ui/"
    assert "sid" not in await person.page.cookies()
    await person.page.visit(f"{site.server.url}/c/oidc/login?provider=keycloak")
    assert await person.page.has("[name=login]"), await person.page.text()
