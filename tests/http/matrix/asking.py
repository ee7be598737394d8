"""Asks the cells: each is a request to the registry as it is deployed, and what came of it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from entrepot.oci.scope import Scope, parse_scopes
from entrepot.web.application import Application
from tests.http.matrix.cells import CALLERS, MOUNT, WRITE, Cell, Row, Table
from tests.http.matrix.deployed import deployed
from tests.http.matrix.ledger import Ledger
from tests.http.matrix.people import Caller, Registrar, client, make_callers
from tests.http.matrix.requests import Sent, names_of, objects_of, request_of
from tests.http.matrix.routes import routes_of
from tests.http.matrix.things import Things, make_things
from tests.http.transport import Answer

_TOKEN_PATHS = ("/token", "/service/token")


@dataclass(frozen=True)
class Matrix:
    """A registry with every kind of object and caller in it."""

    application: Application
    callers: dict[str, Caller]
    things: Things
    ledger: Ledger

    async def rows(self) -> list[Row]:
        """List every row that there has to be."""
        routes = await routes_of(self.application)
        return sorted(Row(path, method, thing) for method, path in routes for thing in objects_of(method, path))

    def request(self, row: Row, caller: Caller) -> Sent:
        """Return a row's request, as somebody."""
        own = {**caller.own, "caller": caller.name, "password": caller.password or "none"}
        return request_of(row, self.things.of(row.object, names_of(row), own))

    async def send(self, sent: Sent, caller: Caller) -> Answer:
        """Send a request; the ledger has what it was about to change."""
        asking = client(self.application, caller.headers)
        with self.ledger.asking():
            return await asking.request(sent.method, sent.target, headers=sent.headers, body=sent.body)

    async def cell(self, row: Row, caller: Caller) -> str:
        """Send a row's request, and say what came of it."""
        answer = await self.send(self.request(row, caller), caller)
        if self.ledger.reached:
            return MOUNT if "mount blob" in self.ledger.reached else WRITE
        return _granted(answer) if row.path in _TOKEN_PATHS else str(answer.status)

    async def table(self) -> Table:
        """Ask every cell."""
        rows = await self.rows()
        return Table(
            {Cell(row, name): await self.cell(row, caller) for row in rows for name, caller in self.callers.items()}
        )


def _granted(answer: Answer) -> str:
    """Return the actions that a token names, by their first letters, or the status of a refusal."""
    if answer.status != HTTPStatus.OK:
        return str(answer.status)
    document = answer.json()
    scopes = parse_scopes(document["scope"]) if "scope" in document else _scopes_of(document["token"])
    return "+".join(action[:3] for scope in scopes for action in scope.actions) or "none"


@asynccontextmanager
async def open_matrix(folder: Path, database: str = "", **settings: object) -> AsyncIterator[Matrix]:
    """Fill a registry, then keep it from changing; `settings` are those that an administrator makes.

    `database` is the address of a PostgreSQL database, if it is not on SQLite.
    """
    before = logging.root.manager.disable
    async with deployed(folder, database=database) as application:
        registrar = Registrar(application)
        things = await make_things(application, registrar)
        callers = await make_callers(registrar)
        answer = await registrar.admin.put("/configurations", settings)
        assert answer.status == HTTPStatus.OK, answer.body
        ledger = Ledger()
        logging.disable(logging.CRITICAL)  # each undone transaction is a failure of the server to whoever looks
        try:
            with ledger.open():
                yield Matrix(application, callers, things, ledger)
        finally:
            logging.disable(before)


async def ask_all(folder: Path, database: str = "") -> Table:
    """Ask every cell of a new registry, on SQLite or in a PostgreSQL database."""
    async with open_matrix(folder, database) as matrix:
        assert list(matrix.callers) == list(CALLERS)
        return await matrix.table()


def _scopes_of(token: str) -> list[Scope]:
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return [Scope(each["type"], each["name"], tuple(each["actions"])) for each in claims["access"]]
