"""No parameter of a list becomes a part of a statement, and no list can be asked for what it does not show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from entrepot.metadata.query import RawQuery
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.databases import tables_of
from tests.support.documented import Operation, operations
from tests.support.injections import PAYLOADS, SECRET_FIELDS

SECONDS = 2.0


@pytest.fixture
async def lists(app: App, admin: Api) -> list[Operation]:
    """Fill a registry, and give all its operations that read with parameters."""
    await admin.made("/projects", {"project_name": "library"})
    await admin.made("/labels", {"name": "release", "scope": "g"})
    await admin.made("/usergroups", {"group_name": "developers"})
    found = [operation for operation in await operations(app) if operation.method == "GET" and operation.query]
    # What is exported is chosen as the list beside it is; it comes in pieces, without a length.
    return [operation for operation in found if not operation.path.endswith("/export")]


def attacks(operation: Operation) -> Iterator[dict[str, Any]]:
    """Yield queries: each parameter with each payload, in `q` also as the value of a field that there is."""
    for name in operation.query:
        for payload in PAYLOADS:
            yield {**_required(operation), name: payload}
            if name == "q":
                for field in ("name", "username", "id"):
                    yield {**_required(operation), "q": f"{field}={payload}"}
                    yield {**_required(operation), "q": f"{field}=~{payload}"}


def _required(operation: Operation) -> dict[str, Any]:
    """Return what the route refuses to do without."""
    names = ("username", "groupname", "action") if operation.path.endswith(("search", "explain")) else ()
    return {name: operation.query[name] for name in names if name in operation.query} | (
        {"scope": "g"} if operation.path == "/labels" else {}
    )


async def _tables(app: App) -> dict[str, int]:
    counted = {}
    for name in await tables_of(app.stores.metadata):
        row = await app.stores.metadata.one(RawQuery(f"SELECT count(*) FROM {name}"))
        assert row is not None
        counted[name] = int(row[0])
    return counted


async def test_cve_2019_19026_no_parameter_becomes_a_statement(app: App, admin: Api, lists: list[Operation]) -> None:
    """Every parameter of every list with every payload is text, or refused; nothing fails, waits, grows or goes.

    Also CVE-2019-19029 (groups of users) and CVE-2024-22261 (ids of logs).
    """
    before = await _tables(app)
    tried = 0
    for operation in lists:
        for query in attacks(operation):
            begun = time.perf_counter()
            answer = await admin.get(operation.target(query=query))
            assert answer.status in (200, 400, 403, 404, 412, 422), (str(operation), query, answer.body)
            assert time.perf_counter() - begun < SECONDS, (str(operation), query)
            assert b"argon2" not in answer.body, (str(operation), query)
            tried += 1
    assert tried > 2000
    assert await _tables(app) == before


async def test_cve_2019_19029_a_value_is_compared_as_it_is(app: App, admin: Api) -> None:
    """What would be true of every row is true of none: a value matches what is called so, and nothing else."""
    for name in ("one", "two"):
        await admin.made("/usergroups", {"group_name": name})
    for payload in PAYLOADS:
        value = payload.replace('"', "").replace("\x00", "")
        for query in (f'group_name="{value}"', f'group_name=~"{value}"'):
            answer = await admin.get("/usergroups?" + urlencode({"q": query}))
            assert answer.status in (200, 400), query
            if answer.status == 200 and value:
                assert all(value.lower() in group["group_name"].lower() for group in answer.json()), query


async def test_cve_2025_30086_secrets_cannot_be_asked_for(admin: Api, lists: list[Operation]) -> None:
    """No list is filtered or sorted by what it does not show: letter by letter, that would tell all of it."""
    tried = 0
    for field in SECRET_FIELDS:
        for operation in lists:
            for query in ({"q": f"{field}=~a"}, {"q": f"{field}=a"}, {"sort": field}, {"sort": f"-{field}"}):
                (name,) = query
                if name not in operation.query or operation.path == "/search":
                    continue
                answer = await admin.get(operation.target(query={**_required(operation), **query}))
                if answer.status != 404:  # of a project or repository that is not there
                    assert refusal(answer) == (400, "BAD_REQUEST"), (str(operation), query)
                    tried += 1
    assert tried > 400
