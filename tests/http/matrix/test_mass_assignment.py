"""Fields that a request is not meant to have: an account that makes itself an administrator (CVE-2019-16097).

Every field that any model of the API has, and Harbor's, is added to every body that is sent to it. What the request
then writes must be what it writes without the field, unless the field is one of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.http.matrix.asking import Matrix, open_matrix
from tests.http.matrix.cells import Row
from tests.http.matrix.ledger import Statement
from tests.http.matrix.models import Models, names_in, with_fields
from tests.http.matrix.people import client

CALLERS = ("anon", "user", "padmin", "probot")
OBJECTS = ("own", "self", "system", "-")
METHODS = ("POST", "PUT", "PATCH")
API = "/api/v2.0"
SAME, REFUSED, CHANGED = "same", "refused", "changed"
#: The fields that do something: each belongs to what its request is for.
MEANT = {
    "PATCH /robots/{robot_id}": {"grace"},
    "POST /labels": {"description"},
    "POST /projects/{project_name_or_id}/immutabletagrules": {"disabled", "priority"},
    "POST /projects/{project_name_or_id}/members": {"expires_at", "repositories", "tags"},
    "POST /projects/{project_name}/repositories/{repository_name}/artifacts/{reference}/purge": {"reason"},
    "POST /projects/{project_name}/repositories/{repository_name}/purge": {"reason"},
    "POST /robots": {"description", "disable"},
    "POST /users": {"realname"},
    "POST /users/{user}/keys": {"expires_at"},
    "POST /users/{user}/keys/{key_id}/rotate": {"expires_at", "grace"},
    "PUT /labels/{label_id}": {"description"},
    "PUT /projects/{project_name_or_id}": {"public"},
    "PUT /projects/{project_name_or_id}/immutabletagrules/{immutable_rule_id}": {"disabled", "priority"},
    "PUT /projects/{project_name_or_id}/members/{mid}": {"expires_at", "repositories", "tags"},
    "PUT /robots/{robot_id}": {"disable", "duration", "permissions", "trust"},
    "PUT /users/{user_id}": {"comment"},
}
#: What would make an account more than it is.
PRIVILEGES = (
    "sysadmin_flag",
    "has_admin_role",
    "admin_role_in_auth",
    "is_admin",
    "admin",
    "role",
    "role_id",
    "permissions",
    "user_id",
    "id",
    "provider",
    "subject",
    "disabled",
    "must_change",
    "epoch",
    "salt",
    "expires_at",
)


@dataclass(frozen=True)
class Outcome:
    """What came of a request: its status, and what it was about to write."""

    status: int
    transactions: tuple[str, ...]
    statements: tuple[Statement, ...]


@dataclass(frozen=True, order=True)
class Finding:
    """A field that was added to a request, and what it did."""

    route: str
    caller: str
    field: str
    effect: str


async def outcome(matrix: Matrix, row: Row, caller: str, fields: Mapping[str, object]) -> Outcome:
    """Send a row's request with more fields."""
    who = matrix.callers[caller]
    answer = await matrix.send(with_fields(matrix.request(row, who), fields), who)
    return Outcome(answer.status, tuple(matrix.ledger.reached), tuple(matrix.ledger.statements))


def steady(one: Outcome, other: Outcome) -> list[tuple[str, dict[str, object]]]:
    """Return what is the same in the statements of two equal requests: not times, secrets and numbers of requests."""
    pairs = zip(one.statements, other.statements, strict=True)
    return [
        (name, {key: value for key, value in given.items() if again[key] == value})
        for (name, given), (_, again) in pairs
    ]


def effect(base: Outcome, again: Outcome, found: Outcome) -> str:
    """Say what a field did: nothing, a refusal, or something else."""
    if not found.transactions:
        return SAME if (found.status, base.transactions) == (base.status, ()) else REFUSED
    if found.transactions != base.transactions or len(found.statements) != len(base.statements):
        return CHANGED
    for (name, kept), (found_name, given) in zip(steady(base, again), found.statements, strict=True):
        if name != found_name or any(given.get(key) != value for key, value in kept.items()):
            return CHANGED
    return SAME


async def findings(matrix: Matrix) -> list[Finding]:
    """Try every field on every body, as every caller."""
    document = (await client(matrix.application, {}).get(f"{API}/openapi.json")).json()
    models = Models(document)
    rows = [row for row in await matrix.rows() if row.method in METHODS and row.path.startswith(API)]
    return [
        finding
        for row in rows
        if row.object in OBJECTS
        for caller in CALLERS
        for finding in await _of_row(matrix, models, row, caller)
    ]


async def _of_row(matrix: Matrix, models: Models, row: Row, caller: str) -> list[Finding]:
    """Try every field on one request: many at once, and those one by one that do something."""
    base, again = [await outcome(matrix, row, caller, {}) for _ in range(2)]
    present = set(names_in(matrix.request(row, matrix.callers[caller])))
    values = {name: models.value(row.method, row.path, name) for name in models.fields() if name not in present}
    route = f"{row.method} {row.path.removeprefix(API)}"

    async def of(names: list[str]) -> list[Finding]:
        came = effect(base, again, await outcome(matrix, row, caller, {name: values[name] for name in names}))
        if len(names) == 1 or came == SAME or not base.transactions:
            return [Finding(route, caller, name, came) for name in names]
        middle = len(names) // 2
        return await of(names[:middle]) + await of(names[middle:])

    return await of(list(values))


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """Try everything once, in a registry where people may make accounts for themselves."""

    async def run() -> list[Finding]:
        async with open_matrix(tmp_path_factory.mktemp("mass"), self_registration=True) as matrix:
            return await findings(matrix)

    with asyncio.Runner() as runner:
        return runner.run(run())


def of_route(tried: list[Finding], route: str, caller: str) -> dict[str, str]:
    """Return what each field did to a route's body, as one caller."""
    return {found.field: found.effect for found in tried if (found.route, found.caller) == (route, caller)}


def test_a_body_changes_what_it_is_for(tried: list[Finding]) -> None:
    """Of all fields that there are, those do something that the request is for, and no other."""
    changed: dict[str, set[str]] = {}
    for found in tried:
        if found.effect == CHANGED:
            changed.setdefault(found.route, set()).add(found.field)
    assert changed == MEANT
    assert len(tried) > 15_000
    assert {found.caller for found in tried} == set(CALLERS)


@pytest.mark.parametrize("field", PRIVILEGES)
def test_cve_2019_16097_nobody_registers_as_an_administrator(tried: list[Finding], field: str) -> None:
    """Whoever makes an account for themselves makes the same one with the field; others' fields do show."""
    registering = of_route(tried, "POST /users", "anon")
    assert registering["realname"] == CHANGED
    assert registering[field] == SAME


@pytest.mark.parametrize("field", PRIVILEGES)
@pytest.mark.parametrize("caller", ["user", "padmin"])
def test_nobody_promotes_themselves(tried: list[Finding], caller: str, field: str) -> None:
    """A person who changes their own account changes nothing but what is said of them."""
    own = of_route(tried, "PUT /users/{user_id}", caller)
    assert own["comment"] == CHANGED
    assert own[field] == SAME


@pytest.mark.parametrize("field", ["storage_limit", "owner_id", "owner_name", "registry_id", "project_id", "deleted"])
def test_a_project_administrator_sets_no_quota_and_no_owner(tried: list[Finding], field: str) -> None:
    """A project's settings are its administrators', its quota, owner and number are not."""
    assert of_route(tried, "PUT /projects/{project_name_or_id}", "padmin")[field] in (SAME, REFUSED)
