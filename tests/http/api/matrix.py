"""The authorisation matrix: every route, every kind of caller, every kind of object, and what came back.

A cell is the status of the answer, or `write` where the request changed something: each transaction that was about to
be committed is undone, so that no cell changes what the next one finds.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.authenticator import Authenticator
from entrepot.access.errors import CredentialsRefused, TokenRefused
from entrepot.access.model import ANONYMOUS, Grant, Principal, PrincipalKind
from entrepot.access.permissions import PULL, PUSH, Permission
from entrepot.access.policy import Policy
from entrepot.access.roles import DEVELOPER, GUEST, LIMITED_GUEST, MAINTAINER, PROJECT_ADMIN
from entrepot.metadata import api_keys, clock, grants, principals, projects
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import RawQuery
from entrepot.metadata.sqlite import SqliteDatabase
from tests.http.pushing import push_image
from tests.support.app import App, AppOptions, open_app

API = "/api/v2.0"
WRITE = "write"
SYSTEM = "-"

#: Kinds of objects, and the project that each lies in: the callers are members of `team` alone.
OBJECTS = {"own": "team", "public": "open", "foreign": "secret", "missing": "nowhere"}
PROJECT_NAMES = {"project_name", "project_name_or_id"}
#: Path parameters that are numbers of things in a project.
CHILDREN = {"mid", "label_id"}
CROSSED = "crossed"
_ROLES = {
    "limitedGuest": LIMITED_GUEST,
    "guest": GUEST,
    "developer": DEVELOPER,
    "maintainer": MAINTAINER,
    "projectAdmin": PROJECT_ADMIN,
}
#: Bodies with which a request gets as far as the question of rights; others send an empty object.
BODIES: Mapping[str, Mapping[str, Any]] = {
    "POST /projects": {"project_name": "fresh", "metadata": {"public": "false"}},
    "PUT /projects/{project_name_or_id}/members/{mid}": {"role_id": 2},
    "POST /labels": {"name": "new", "color": "#fff", "scope": "g"},
    "POST /system/oidc/ping": {"url": "https://127.0.0.1:9"},
}


class WouldWrite(Exception):
    """The request was about to change something."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One request, as one caller."""

    method: str
    path: str
    object: str
    caller: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} [{self.object}] {self.caller}"

    def on(self, thing: str) -> Cell:
        """Return the same request about another kind of object."""
        return replace(self, object=thing)

    def by(self, caller: str) -> Cell:
        """Return the same request by another caller."""
        return replace(self, caller=caller)


@dataclass
class Matrix:
    """A registry with every kind of object and caller in it."""

    app: App
    callers: dict[str, Principal | None] = field(default_factory=dict)  #: None: the credentials are refused
    ids: dict[str, dict[str, str]] = field(default_factory=dict)  #: by object, what path parameters become

    async def answer(self, cell: Cell) -> str:
        """Send a cell's request, and say what came of it."""
        client = self.app.client(headers={} if cell.caller == "anonymous" else {"Authorization": cell.caller})
        path = filled(cell.path, self.ids["own" if cell.object == SYSTEM else cell.object])
        body = json.dumps(BODIES.get(f"{cell.method} {cell.path}", {})).encode()
        headers = {"content-type": "application/json"}
        _Blocked.reached = False
        reply = await client.request(cell.method, f"{API}{path}", body=body, headers=headers)
        return WRITE if _Blocked.reached else str(reply.status)


class _Blocked:
    """Whether the request at hand tried to write."""

    reached = False


class _Callers:
    """An authenticator whose credentials are the callers' names, and that asks for their standing as ours does."""

    def __init__(self, callers: Mapping[str, Principal | None], policy: Policy) -> None:
        self._callers = callers
        self._policy = policy

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:
        if authorization is None:
            return ANONYMOUS
        principal = self._callers[authorization]
        if principal is None:
            raise CredentialsRefused
        if not await self._policy.is_current(principal):
            raise TokenRefused
        return principal


async def routes(app: App) -> list[tuple[str, str]]:
    """List every route of the API, by its own documentation."""
    paths = (await app.client().get(f"{API}/openapi.json")).json()["paths"]
    found = [
        (method.upper(), path.removeprefix(API))
        for path, methods in paths.items()
        if path.startswith(API)
        for method in methods
    ]
    return sorted(found, key=lambda route: (route[1], route[0]))


def objects_of(path: str) -> Iterator[str]:
    """Yield the kinds of objects that a path can name; `crossed` is a foreign thing below the path of one's own."""
    names = set(re.findall(r"{(\w+)}", path))
    if not names & (PROJECT_NAMES | CHILDREN):
        yield SYSTEM
        return
    yield from OBJECTS
    if names & PROJECT_NAMES and names & CHILDREN:
        yield CROSSED


def filled(path: str, ids: Mapping[str, str]) -> str:
    """Put an object's names and numbers into a path."""
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, f"{path}: tell the matrix what to put there (tests/http/api/matrix.py, _ids)"
    return path


@asynccontextmanager
async def open_matrix(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Matrix]:
    """Fill a registry, then keep it from changing."""
    callers: dict[str, Principal | None] = {}
    async with open_app(folder, AppOptions(signed_in=True)) as app:
        matrix = Matrix(app, callers)
        authenticator: Authenticator = _Callers(callers, Policy(app.stores.metadata, max_age=0))
        await _fill(matrix)
        object.__setattr__(app.services, "authenticator", authenticator)

        written = SqliteDatabase.write

        async def undone(
            database: SqliteDatabase, work: Callable[[Transaction], Awaitable[Any]], **options: Any
        ) -> None:
            async def go_back(tx: Transaction) -> None:
                await work(tx)
                _Blocked.reached = True
                raise WouldWrite

            await written(database, go_back, **options)

        with monkeypatch.context() as patch:
            patch.setattr(SqliteDatabase, "write", undone)
            yield matrix


async def _fill(matrix: Matrix) -> None:
    app = matrix.app
    admin = await app.account("system-admin", ("*", "*"))
    for project in ("team", "open", "secret"):
        client = await app.bearer(admin, f"repository:{project}/app:pull,push")
        await push_image(client, "v1", name=f"{project}/app")
    await app.publish("open")
    for name, project in OBJECTS.items():
        matrix.ids[name] = await _ids(app, project)
    foreign = matrix.ids["foreign"]
    matrix.ids[CROSSED] = matrix.ids["own"] | {name: foreign[name] for name in CHILDREN if name in foreign}
    await _callers(matrix, admin)


async def _ids(app: App, project: str) -> dict[str, str]:
    """Make what a project can hold, and return what stands for it in paths."""
    database = app.stores.metadata
    found = await projects.find(database, project)
    ids = {
        "project_name_or_id": project,
        "project_name": project,
        "repository_name": "app",
        "reference": "v1",
        "tag_name": "v1",
        "addition": "build_history",
        "meta_name": "auto_scan",
        "label_id": "999999",
        "mid": "999999",
        "user": "current",
        "session_id": "999999",
    } | dict.fromkeys(("grant_id", "group_id", "key_id", "robot_id", "role_id", "user_id"), "999999")
    if found is None:
        return ids
    label = await _label(app, found.id)
    member = await app.account(f"member-of-{project}", (f"project:{project}", "project:read"))
    grant = (await grants.of_principal(database, member.id or 0))[0]
    return ids | {"label_id": str(label), "mid": str(grant.id)}


async def _label(app: App, project_id: int) -> int:
    insert = RawQuery(
        "INSERT INTO labels (project_id, name, description, color, created_at, updated_at) "
        f"VALUES ({project_id}, 'l{project_id}', '', '#fff', 1, 1)"
    )
    await app.stores.metadata.write(lambda tx: tx.execute(insert))
    row = await app.stores.metadata.one(RawQuery("SELECT max(id) FROM labels"))
    assert row is not None
    return int(row[0])


async def _callers(matrix: Matrix, admin: Principal) -> None:
    app, callers = matrix.app, matrix.callers
    callers["nobody"] = await app.account("nobody")
    for name, role in _ROLES.items():
        callers[name] = await _member(app, name, role)
    callers["system-admin"] = admin
    callers["robot-project"] = await _robot(app, "team+ci", "team")
    callers["robot-system"] = await _robot(app, "ci", None)
    narrow = Grant(permissions=frozenset((PULL, Permission("project:read"))), project="team")
    callers["narrow-key"] = replace(admin, key=await _key(app, admin, ends=None), limits=(narrow,))
    callers["expired-key"] = replace(admin, key=await _key(app, admin, ends=clock.now() - 1))
    callers["revoked"] = replace(admin, epoch=admin.epoch - 1)
    callers["wrong-password"] = None


async def _member(app: App, name: str, role: int) -> Principal:
    principal = await app.account(name)

    async def write(tx: Transaction) -> None:
        project = await projects.ensure(tx, "team")
        await grants.add(tx, principal_id=principal.id, role_id=role, project_id=project.id, origin="test")

    await app.stores.metadata.write(write)
    return principal


async def _robot(app: App, name: str, project: str | None) -> Principal:
    database = app.stores.metadata

    async def write(tx: Transaction) -> None:
        await principals.create(tx, principals.ROBOT, name, secret=None)
        record = await principals.find(tx, principals.ROBOT, name)
        assert record is not None
        within = None if project is None else (await projects.ensure(tx, project)).id
        await grants.add(tx, principal_id=record.id, permissions=(PULL, PUSH), project_id=within, origin="test")

    await database.write(write)
    record = await principals.find(database, principals.ROBOT, name)
    assert record is not None
    return Principal(kind=PrincipalKind.ROBOT, name=f"robot${name}", id=record.id, epoch=record.epoch)


async def _key(app: App, owner: Principal, *, ends: int | None) -> int:
    assert owner.id is not None
    name = f"key-{ends}"
    return await app.stores.metadata.write(
        lambda tx: api_keys.add(tx, owner.id or 0, name=name, hashed=name, hint="reg_", expires_at=ends)
    )


@dataclass(frozen=True)
class Table:
    """What every cell came to."""

    cells: dict[Cell, str]

    def text(self) -> str:
        """Return the table for people: a line for each route and object, a column for each caller."""
        callers = list(dict.fromkeys(cell.caller for cell in self.cells))
        rows = dict.fromkeys((cell.path, cell.method, cell.object) for cell in self.cells)
        lines = ["# method path object: " + " ".join(callers)]
        for path, method, thing in rows:
            found = " ".join(f"{self.cells[Cell(method, path, thing, caller)]:>5}" for caller in callers)
            lines.append(f"{found}   {method} {path} {thing}")
        return "\n".join(lines) + "\n"


def read_table(path: Path) -> Table:
    """Read a table that was written by `Table.text`."""
    head, *lines = path.read_text().splitlines()
    callers = head.partition(": ")[2].split()
    cells: dict[Cell, str] = {}
    for line in lines:
        *found, method, route, thing = line.split()
        cells.update({Cell(method, route, thing, who): got for who, got in zip(callers, found, strict=True)})
    return Table(cells)


async def table_of(matrix: Matrix) -> Table:
    """Ask every cell."""
    cells: dict[Cell, str] = {}
    for method, path in await routes(matrix.app):
        for thing in objects_of(path):
            for caller in ("anonymous", *matrix.callers):
                cell = Cell(method, path, thing, caller)
                cells[cell] = await matrix.answer(cell)
    return Table(cells)
