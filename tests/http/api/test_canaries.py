"""Secrets that go in come out nowhere: not in answers, the log, the audit log, nor readable in the database."""

from __future__ import annotations

from typing import Any, Final

import pytest

from entrepot.metadata.query import RawQuery
from tests.http.transport import Answer
from tests.support.api import Api
from tests.support.app import App
from tests.support.databases import tables_of

CANARY: Final = "Canary-7c1e-of-the-secret-fields-9"
RIGHTS: Final = [{"kind": "system", "namespace": "/", "access": [{"resource": "label", "action": "list"}]}]
#: Every field of the API that takes a secret, in a body that is taken; and what its request answers.
TAKEN: Final[list[tuple[str, str, dict[str, Any], int]]] = [
    ("POST", "/users", {"username": "alice", "password": CANARY}, 201),
    ("PUT", "/users/{user}/password", {"new_password": CANARY}, 200),
    ("PUT", "/configurations", {"ldap_search_password": CANARY}, 200),
    ("PUT", "/configurations", {"oidc_client_secret": CANARY}, 200),
    ("PATCH", "/robots/{robot}", {"secret": CANARY}, 200),
]
#: The same fields in requests that cannot be done: a refusal does not repeat what it refuses.
REFUSED: Final[list[tuple[str, str, dict[str, Any]]]] = [
    ("POST", "/users", {"username": "", "password": CANARY}),
    ("POST", "/users", {"username": "bob", "password": [CANARY]}),
    ("POST", "/users", {"username": "bob", "password": CANARY * 20}),
    ("PUT", "/users/{user}/password", {"old_password": [CANARY], "new_password": {"a": CANARY}}),
    ("PUT", "/users/1/password", {"old_password": CANARY, "new_password": CANARY}),
    ("PUT", "/configurations", {"ldap_search_password": [CANARY]}),
    ("PUT", "/configurations", {"oidc_client_secret": {"a": CANARY}}),
    ("PATCH", "/robots/{robot}", {"secret": [CANARY]}),
    ("PATCH", "/robots/999999", {"secret": CANARY}),
    ("POST", "/robots", {"name": "x", "secret": [CANARY]}),
    ("POST", "/users/reset_password", {"token": CANARY, "new_password": CANARY}),
    ("POST", "/users/reset_password", {"token": [CANARY], "new_password": [CANARY]}),
    ("POST", "/users/current/second_factor/confirm", {"code": CANARY}),
    ("POST", "/users/current/second_factor/disable", {"code": [CANARY]}),
    ("POST", "/users/current/second_factor/recovery_codes", {"code": CANARY}),
    ("POST", "/users/current/second_factor/keys", {"password": CANARY}),
    ("POST", "/users/current/second_factor/keys", {"password": [CANARY]}),
    ("POST", "/users/current/second_factor/keys/1/remove", {"password": CANARY}),
    ("POST", "/ldap/ping", {"ldap_url": "ldap://127.0.0.1:1", "ldap_search_password": CANARY}),
    ("POST", "/ldap/ping", {"ldap_url": "ldap://127.0.0.1:1", "ldap_search_password": [CANARY]}),
]


@pytest.fixture
async def places(admin: Api) -> dict[str, str]:
    """Make a person and a robot, and return the numbers that paths need."""
    user = await admin.made("/users", {"username": "zoe", "password": "Zoes-first-long-one-4"})
    made = await admin.post("/robots", {"name": "ci", "level": "system", "duration": 1, "permissions": RIGHTS})
    return {"user": user.rpartition("/")[2], "robot": str(made.json()["id"])}


async def test_canary_in_every_secret_field(
    app: App, admin: Api, places: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is done with it, a secret is in no answer, no line of the log, no event and no row."""
    caplog.set_level(0)
    answers = [await _taken(admin, places, *each) for each in TAKEN]
    for method, path, document in REFUSED:
        answers.append(await admin.send(method, path.format(**places), document))
    answers += [await app.client().get("/token", headers=headers) for headers in _sign_ins()]
    answers += [
        await admin.get(path) for path in ("/configurations", "/auditlog-exts?page_size=100", "/users", "/robots")
    ]
    for answer in answers:
        assert CANARY not in answer.body.decode(), answer.body
        assert not any(CANARY in str(header) for header in answer.headers)
    assert CANARY not in caplog.text
    rows = await _rows(app)
    assert any("update" in row and "configuration" in row for row in rows)
    assert not [row for row in rows if CANARY in row]


async def _rows(app: App) -> list[str]:
    """Give all that is stored but accounts, whose passwords the registry of these tests does not hash."""
    found: list[str] = []
    for database in {app.stores.metadata, app.stores.work}:
        for name in await tables_of(database):
            if name != "principals":
                found += map(repr, await database.all(RawQuery(f"SELECT * FROM {name}")))
    return found


async def _taken(admin: Api, places: dict[str, str], method: str, path: str, document: Any, status: int) -> Answer:
    answer = await admin.send(method, path.format(**places), document)
    assert answer.status == status, (path, answer.status, answer.body)
    return answer


def _sign_ins() -> list[dict[str, str]]:
    return [{"Authorization": f"Bearer {CANARY}"}, {"Authorization": f"Basic {CANARY}"}]
