"""Who asks: every kind of caller, made through the registry's own API and signed in with its own credentials."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from entrepot.access.policy import MAX_AGE
from entrepot.access.roles import DEVELOPER, GUEST, LIMITED_GUEST, MAINTAINER, PROJECT_ADMIN
from entrepot.web.application import Application
from tests.http.matrix.cells import CALLERS
from tests.http.matrix.deployed import ADMIN, ADMIN_PASSWORD
from tests.http.transport import AsgiClient
from tests.support.api import Api

HOST = "registry.test"
ORIGIN = f"https://{HOST}"
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
_PULL_AND_PUSH = [{"resource": "repository", "action": action} for action in ("pull", "push")]
_MEMBERS = {
    "lguest": LIMITED_GUEST,
    "guest": GUEST,
    "devel": DEVELOPER,
    "maint": MAINTAINER,
    "padmin": PROJECT_ADMIN,
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who asks: what their requests carry, and what is theirs."""

    headers: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    password: str = ""  #: what the form of `/token` takes; empty where there is none
    own: Mapping[str, str] = field(default_factory=dict)  #: what stands for theirs in requests


def client(application: Application, headers: Mapping[str, str]) -> AsgiClient:
    """Return a client of the registry, over HTTPS as browsers need it."""
    return AsgiClient(application, headers=headers, host=HOST, scheme="https")


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header of name and password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def password_of(name: str) -> str:
    """Return what somebody's password becomes."""
    return ADMIN_PASSWORD if name == ADMIN else f"{name} at anchor here"


class Registrar:
    """Makes people, robots and keys."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.admin = self.api(basic(ADMIN, ADMIN_PASSWORD))

    def api(self, headers: Mapping[str, str]) -> Api:
        """Return a client of the API."""
        return Api(client(self._application, headers))

    async def stranger(self, name: str) -> int:
        """Make an account whose password its owner has not changed yet."""
        made = await self.admin.made("/users", {"username": name, "password": f"first of {name} here"})
        return number(made)

    async def person(self, name: str) -> Caller:
        """Make an account whose owner chose the password, made a key and signed in with a browser."""
        user_id = await self.stranger(name)
        change = {"old_password": f"first of {name} here", "new_password": password_of(name)}
        answer = await self.api(basic(name, f"first of {name} here")).put(f"/users/{user_id}/password", change)
        assert answer.status == 200, answer.body
        return await self.known(name)

    async def known(self, name: str) -> Caller:
        """Return somebody who has an account, once they made a key and signed in with a browser."""
        headers = basic(name, password_of(name))
        api = self.api(headers)
        key = number(await api.made("/users/current/keys", {"name": "spare"}))
        await self.session(name)
        session = (await api.found("/users/current/sessions"))[0]["id"]
        user_id = (await api.found("/users/current"))["user_id"]
        own = {"self": str(user_id), "self_key": str(key), "self_session": session, "password": password_of(name)}
        return Caller(headers=headers, name=name, password=password_of(name), own=own)

    async def session(self, name: str) -> str:
        """Sign in with a browser, and return its cookie."""
        form = urlencode({"principal": name, "password": password_of(name)}).encode()
        answer = await client(self._application, {}).post("/c/login", headers=_FORM, body=form)
        assert answer.status == 200, answer.body
        return answer.values("set-cookie")[0].partition(";")[0]

    async def member(self, name: str, role: int, project: str) -> int:
        """Give somebody a role on a project."""
        document = {"role_id": role, "member_user": {"username": name}}
        return number(await self.admin.made(f"/projects/{project}/members", document))

    async def robot(self, name: str, level: str, namespace: str) -> tuple[int, dict[str, str]]:
        """Make a robot that may pull and push; gives its number and what it signs in with."""
        permission = {"kind": "project", "namespace": namespace, "access": _PULL_AND_PUSH}
        wanted = {"name": name, "level": level, "duration": 30, "permissions": [permission]}
        answer = await self.admin.post("/robots", wanted)
        assert answer.status == 201, answer.body
        made = answer.json()
        return made["id"], basic(made["name"], made["secret"])

    async def key(self, **wanted: object) -> dict[str, str]:
        """Make a key of the administrator's, and return its header."""
        answer = await self.admin.post("/users/current/keys", wanted)
        assert answer.status == 201, answer.body
        return {"Authorization": f"Bearer {answer.json()['secret']}"}

    async def passing_key(self) -> dict[str, str]:
        """Make a key of the administrator's that has expired, and return its header."""
        end = datetime.now(UTC) + timedelta(seconds=3)
        headers = await self.key(name="passing", expires_at=end.isoformat())
        await asyncio.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()))
        return headers

    async def token(self, name: str) -> dict[str, str]:
        """Get a token for all of the project `own` that somebody may have, and return its header."""
        answer = await client(self._application, basic(name, password_of(name))).get(
            "/token?scope=repository:own/app:pull,push"
        )
        return {"Authorization": f"Bearer {answer.json()['token']}"}


def number(location: str) -> int:
    """Return the number at the end of a location."""
    return int(location.rpartition("/")[2])


async def make_callers(registrar: Registrar) -> dict[str, Caller]:
    """Make every caller; the projects are there already."""
    narrow = {"permissions": ["repository:pull", "project:read"], "project": "own"}
    admin = await registrar.known(ADMIN)
    people = {name: await registrar.person(name) for name in ("user", "tenant", "leaver", "closed", *_MEMBERS)}
    for name, role in _MEMBERS.items():
        await registrar.member(name, role, "own")
    await registrar.member("tenant", PROJECT_ADMIN, "foreign")
    made = {
        **people,
        "anon": Caller(),
        "wrong": Caller(headers=basic(ADMIN, "a wrong guess")),
        "expird": Caller(headers=await registrar.passing_key(), own=admin.own),
        "revokd": await _revoked(registrar, people["leaver"]),
        "disabl": people["closed"],
        "unver": await _unverified(registrar),
        "admin": admin,
        "cookie": Caller(headers={"Cookie": await registrar.session(ADMIN)}, own=admin.own),
        "narrow": Caller(headers=await registrar.key(name="narrow", limits=[narrow]), own=admin.own),
        "probot": _robot(*await registrar.robot("ci", "project", "own")),
        "srobot": _robot(*await registrar.robot("ci", "system", "*")),
    }
    answer = await registrar.admin.put(f"/users/{people['closed'].own['self']}/disabled", {"disabled": True})
    assert answer.status == 200, answer.body
    await asyncio.sleep(MAX_AGE)  # reads are decided on what was true so long ago
    return {name: made[name] for name in CALLERS}


async def _revoked(registrar: Registrar, leaver: Caller) -> Caller:
    """Return somebody who goes on using a token from before they changed their password."""
    await registrar.member(leaver.name, PROJECT_ADMIN, "own")
    headers = await registrar.token(leaver.name)
    change = {"old_password": leaver.password, "new_password": "quite another anchor"}
    answer = await registrar.api(leaver.headers).put(f"/users/{leaver.own['self']}/password", change)
    assert answer.status == 200, answer.body
    return Caller(headers=headers, own=leaver.own)


async def _unverified(registrar: Registrar) -> Caller:
    user_id = await registrar.stranger("unver")
    await registrar.member("unver", PROJECT_ADMIN, "own")
    password = password_of("unver")
    change = {"new_password": password, "must_change": True}
    answer = await registrar.admin.put(f"/users/{user_id}/password", change)
    assert answer.status == 200, answer.body
    own = {"self": str(user_id), "password": password}
    return Caller(headers=basic("unver", password), name="unver", password=password, own=own)


def _robot(robot_id: int, headers: Mapping[str, str]) -> Caller:
    name, _, secret = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
    return Caller(headers=headers, name=name, password=secret, own={"self": str(robot_id), "password": secret})
