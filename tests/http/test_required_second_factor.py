"""`access.secondfactor.administrators`: a password alone administers nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.roles import DEVELOPER
from entrepot.access.second_factor.totp import STEP, Seed
from entrepot.metadata.people import grants, principals
from entrepot.web.application import Application
from tests.http.matrix.deployed import ADMIN, ADMIN_PASSWORD, deployed
from tests.http.matrix.people import Registrar, basic, client, password_of
from tests.http.transport import Answer
from tests.support.api import Api, refusal
from tests.support.rights import give

SETTING = "REGISTRY_ACCESS_SECONDFACTOR_ADMINISTRATORS"
REFRESH = {"REGISTRY_ACCESS_TOKEN_REFRESH": "true"}
FACTOR = "/users/current/second_factor"
SCOPE = "repository:demo/app:pull,push"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://registry.test"}
BY_PASSWORD = basic(ADMIN, ADMIN_PASSWORD)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Application]:
    """Give a registry with the setting, and with what was there before it was made: a project and a person."""
    async with deployed(tmp_path) as before:
        registrar = Registrar(before)
        await registrar.admin.made("/projects", {"project_name": "demo"})
        await registrar.person("devel")
        await registrar.member("devel", DEVELOPER, "demo")
    async with deployed(tmp_path, {SETTING: "true"}) as running:
        yield running


async def log_in(registry: Application, name: str, password: str, code: str = "") -> Answer:
    """Sign in as a browser does."""
    form = urlencode({"principal": name, "password": password, "code": code}).encode()
    return await client(registry, {}).post("/c/login", headers=FORM, body=form)


async def enrol(registry: Application) -> str:
    """Set up the administrator's second factor with nothing but the password, and return the app's secret."""
    api = Api(client(registry, BY_PASSWORD))
    begun = await api.post(FACTOR)
    assert begun.status == 201, begun.body
    secret = str(begun.json()["secret"])
    done = await api.post(f"{FACTOR}/confirm", {"code": code_of(secret)})
    assert (done.status, len(done.json()["recovery_codes"])) == (200, 10)
    return secret


def code_of(secret: str, later: int = 0) -> str:
    """Return what the app shows, now or some steps later."""
    return Seed(secret=secret)._codes().generate((int(time.time()) // STEP + later) * STEP).decode()


async def test_a_password_alone_is_good_for_setting_one_up(registry: Application) -> None:
    """Everything else is refused, with what to do next: on the API, in a browser, and by `docker login`."""
    api = Api(client(registry, BY_PASSWORD))
    for path in ("/users/current", "/projects", "/configurations", "/users/current/keys"):
        answer = await api.get(path)
        assert refusal(answer) == (403, "FORBIDDEN"), path
        assert FACTOR in answer.json()["errors"][0]["message"]
    assert (await api.post("/users/current/keys", {"name": "around it"})).status == 403
    assert (await api.get(FACTOR)).json()["enabled"] is False
    for answer in (
        await log_in(registry, ADMIN, ADMIN_PASSWORD),
        await client(registry, BY_PASSWORD).get("/token?scope=repository:demo/app:pull&offline_token=true"),
    ):
        assert answer.status == 401
        assert "second factor" in answer.body.decode()
        assert "set-cookie" not in answer
    pull = await client(registry, BY_PASSWORD).get("/v2/demo/app/tags/list")
    assert pull.status == 401
    assert "second factor" in pull.body.decode()


async def test_a_wrong_password_learns_nothing_of_it(registry: Application) -> None:
    """Whoever does not have the password is told the same as for anybody else."""
    answers = [await log_in(registry, name, "no such password") for name in (ADMIN, "devel")]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].body == answers[1].body


async def test_with_a_second_factor_an_administrator_administers(registry: Application) -> None:
    """Once set up, a browser signs in with a code, and its session may everything; the password alone still nothing.

    Whoever is made an administrator needs one from then on.
    """
    secret = await enrol(registry)
    async with asyncio.timeout(10):
        # What the password opened a moment ago is remembered for some seconds.
        while code_in(await log_in(registry, ADMIN, ADMIN_PASSWORD)) != "CODE_NEEDED":
            await asyncio.sleep(0.5)
    opened = await log_in(registry, ADMIN, ADMIN_PASSWORD, code_of(secret, 1))
    assert opened.status == 200, opened.body
    cookie, token = opened.values("set-cookie")[0].partition(";")[0], opened["x-harbor-csrf-token"]
    admin = Api(client(registry, {"Cookie": cookie, "X-Harbor-CSRF-Token": token, "Origin": "https://registry.test"}))
    assert (await admin.get("/configurations")).status == 200
    assert (await Api(client(registry, BY_PASSWORD)).get("/configurations")).status == 401
    key = (await admin.post("/users/current/keys", {"name": "laptop"})).json()["secret"]
    assert (await Api(client(registry, {"Authorization": f"Bearer {key}"})).get("/configurations")).status == 200

    number = next(each["user_id"] for each in await admin.found("/users") if each["username"] == "devel")
    assert (await admin.put(f"/users/{number}/sysadmin", {"sysadmin_flag": True})).status == 200
    assert (await log_in(registry, "devel", password_of("devel"))).status == 401
    assert (await Api(client(registry, basic("devel", password_of("devel")))).get("/projects")).status in (401, 403)


async def test_others_are_not_affected(registry: Application) -> None:
    """Who administers nothing signs in with the password."""
    devel = basic("devel", password_of("devel"))
    assert (await log_in(registry, "devel", password_of("devel"))).status == 200
    assert (await client(registry, devel).get("/token?scope=repository:demo/app:pull")).status == 200
    assert [each["name"] for each in await Api(client(registry, devel)).found("/projects")] == ["demo"]


def code_in(answer: Answer) -> str:
    """Return the code of a refusal."""
    return str(answer.json()["errors"][0]["code"])


async def test_keys_and_robots_go_on(tmp_path: Path) -> None:
    """What was made for programs before the setting needs no code."""
    async with deployed(tmp_path) as before:
        registrar = Registrar(before)
        await registrar.admin.made("/projects", {"project_name": "demo"})
        key = await registrar.key(name="laptop")
        _, robot = await registrar.robot("ci", "project", "demo")
    async with deployed(tmp_path, {SETTING: "true"}) as running:
        assert (await Api(client(running, key)).get("/configurations")).status == 200
        for headers in (key, robot):
            answer = await client(running, headers).get("/token?scope=repository:demo/app:pull,push")
            assert answer.status == 200


class Opened:
    """What somebody's password has opened: a session, a refresh token and a token."""

    def __init__(self, registry: Application, session: dict[str, str], refresh: str, bearer: str) -> None:
        self._registry = registry
        self._session = session
        self._refresh = refresh
        self._bearer = bearer

    @classmethod
    async def by(cls, registry: Application, name: str) -> Opened:
        """Sign in every way that a password has."""
        asked = f"/token?{urlencode({'scope': SCOPE})}&offline_token=true&service=entrepot&client_id=tests"
        given = await client(registry, basic(name, password_of(name))).get(asked)
        assert given.status == 200, given.body
        document = given.json()
        session = await session_of(registry, name)
        return cls(registry, session, document["refresh_token"], document["token"])

    def at(self, registry: Application) -> Opened:
        """Return the same at the same registry after a restart."""
        return Opened(registry, self._session, self._refresh, self._bearer)

    @property
    def api(self) -> Api:
        """Return what the session asks by."""
        return Api(client(self._registry, self._session))

    async def redeem(self) -> Answer:
        """Ask for a token with the refresh token."""
        wanted = {"grant_type": "refresh_token", "refresh_token": self._refresh, "scope": SCOPE, "service": "entrepot"}
        return await client(self._registry, {}).post(
            "/token", headers=FORM, body=urlencode({**wanted, "client_id": "tests"}).encode()
        )

    async def pull(self) -> Answer:
        """Pull with the token."""
        return await client(self._registry, {"Authorization": f"Bearer {self._bearer}"}).get("/v2/demo/app/tags/list")

    async def push(self) -> Answer:
        """Begin an upload with the token."""
        bearer = {"Authorization": f"Bearer {self._bearer}"}
        return await client(self._registry, bearer).post("/v2/demo/app/blobs/uploads/")


async def session_of(registry: Application, name: str) -> dict[str, str]:
    """Sign in with a browser, and return the headers of its requests."""
    opened = await log_in(registry, name, password_of(name))
    assert opened.status == 200, opened.body
    cookie = opened.values("set-cookie")[0].partition(";")[0]
    return {"Cookie": cookie, "X-Harbor-CSRF-Token": opened["x-harbor-csrf-token"], "Origin": "https://registry.test"}


async def assert_good_for_nothing(opened: Opened) -> None:
    """See that writes are refused at once, and reads within the time in which rights are taken."""
    key = await opened.api.post("/users/current/keys", {"name": "around it"})
    assert refusal(key) == (403, "FORBIDDEN")
    assert FACTOR in key.json()["errors"][0]["message"]
    assert refusal(await opened.api.get("/users/current")) == (403, "FORBIDDEN")
    redeemed, pushed = await opened.redeem(), await opened.push()
    assert (redeemed.status, pushed.status) == (401, 401)
    assert "second factor" in redeemed.body.decode()
    assert "second factor" in pushed.body.decode()
    async with asyncio.timeout(10):
        while (pulled := await opened.pull()).status != 401:
            await asyncio.sleep(0.5)
    assert "second factor" in pulled.body.decode()


async def test_what_the_password_opened_before_it_was_required_counts_no_longer(tmp_path: Path) -> None:
    """Sessions, refresh tokens and tokens are good for setting one up, once the setting is made or their owner becomes
    an administrator by whatever way; those of others go on, and of who is none any more, again.
    """
    async with deployed(tmp_path, REFRESH) as before:
        registrar = Registrar(before)
        await registrar.admin.made("/projects", {"project_name": "demo"})
        await registrar.person("devel")
        await registrar.member("devel", DEVELOPER, "demo")
        admin, devel = await Opened.by(before, ADMIN), await Opened.by(before, "devel")
        assert (await admin.api.get("/configurations")).status == 200
    async with deployed(tmp_path, {**REFRESH, SETTING: "true"}) as running:
        admin, devel = admin.at(running), devel.at(running)
        await assert_good_for_nothing(admin)
        await assert_goes_on(devel)
        metadata = running._services.registry.lookup.metadata
        account = await principals.find(metadata, principals.USER, "devel")
        assert account is not None
        grant = await give(metadata, "*", "*", principal_id=account.id)
        await assert_good_for_nothing(devel)
        await metadata.write(lambda tx: grants.remove(tx, grant))
        await assert_goes_on(devel)
        await assert_sets_one_up(running, admin)


async def assert_goes_on(opened: Opened) -> None:
    """See that everything counts as ever."""
    assert (await opened.api.get("/users/current")).status == 200
    assert [each.status for each in (await opened.redeem(), await opened.push(), await opened.pull())] == [
        200,
        202,
        404,
    ]


async def assert_sets_one_up(registry: Application, opened: Opened) -> None:
    """Set a second factor up in the session, which goes on; a token of before does not."""
    begun = await opened.api.post(FACTOR)
    assert begun.status == 201, begun.body
    done = await opened.api.post(f"{FACTOR}/confirm", {"code": code_of(str(begun.json()["secret"]))})
    assert done.status == 200, done.body
    cookie, token = done.values("set-cookie")[0].partition(";")[0], done["x-harbor-csrf-token"]
    renewed = {"Cookie": cookie, "X-Harbor-CSRF-Token": token, "Origin": "https://registry.test"}
    assert (await Api(client(registry, renewed)).get("/configurations")).status == 200
    assert (await opened.redeem()).status == 401


async def test_whom_a_provider_signed_in_is_asked_there(registry: Application) -> None:
    """A session that a sign-in provider opened needs no second factor here."""
    account = await principals.find(registry._services.registry.lookup.metadata, principals.USER, ADMIN)
    assert account is not None
    gate = registry._services.sessions
    assert gate is not None
    admin = Principal(kind=PrincipalKind.USER, name=ADMIN, id=account.id, epoch=account.epoch)
    name = (await session_of(registry, "devel"))["Cookie"].partition("=")[0]
    for provider, status in (("oidc:corp", 200), ("password", 403), ("ldap", 403)):
        opened = await gate.sessions.open(admin, provider=provider, address="", agent="")
        api = Api(client(registry, {"Cookie": f"{name}={opened.cookie}"}))
        assert (await api.get("/configurations")).status == status, provider
