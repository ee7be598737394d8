"""`access.secondfactor.administrators`: a password alone administers nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from entrepot.access.roles import DEVELOPER
from entrepot.access.totp import STEP, Seed
from entrepot.web.application import Application
from tests.http.matrix.deployed import ADMIN, ADMIN_PASSWORD, deployed
from tests.http.matrix.people import Registrar, basic, client, password_of
from tests.http.transport import Answer
from tests.support.api import Api, refusal

SETTING = "REGISTRY_ACCESS_SECONDFACTOR_ADMINISTRATORS"
FACTOR = "/users/current/second_factor"
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
    assert (await api.get(FACTOR)).json() == {"enabled": False, "recovery_codes_left": 0}
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
