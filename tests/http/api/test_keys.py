"""API keys through the API: one's own, and those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from entrepot.access.api_key_limits import KeyLimit
from entrepot.access.model import ANONYMOUS, Principal
from tests.support.api import Api, refusal
from tests.support.app import Opener

AsUser = Callable[[str], Api]
KEYS = "/users/current/keys"
LIMITS = [{"permissions": ["repository:pull"], "project": "demo", "repositories": None, "tags": None}]


async def test_a_key_is_made_shown_renamed_replaced_and_removed(nobody: Api) -> None:
    """The secret is shown once; the key keeps its limits when it is replaced."""
    made = await nobody.post(KEYS, {"name": "laptop", "limits": LIMITS, "expires_at": "2099-01-01T00:00:00Z"})
    assert made.status == 201
    key = made.json()
    assert made["Location"] == f"/api/v2.0{KEYS}/{key['id']}"
    secret = key.pop("secret")
    assert secret.startswith("reg_")
    assert secret.startswith(key["hint"])
    assert (key["name"], key["limits"], key["expires_at"]) == ("laptop", LIMITS, "2099-01-01T00:00:00Z")
    assert await nobody.found(KEYS) == [key] == [await nobody.found(f"{KEYS}/{key['id']}")]
    renamed = await nobody.put(f"{KEYS}/{key['id']}", {"name": "desktop"})
    assert (renamed.status, renamed.json()["name"]) == (200, "desktop")
    new = await nobody.post(f"{KEYS}/{key['id']}/rotate", {"grace": 60})
    assert new.status == 201
    assert new.json()["secret"] != secret
    assert (new.json()["name"], new.json()["limits"]) == ("desktop", LIMITS)
    assert len(await nobody.found(KEYS)) == 2
    for entry in await nobody.found(KEYS):
        assert (await nobody.delete(f"{KEYS}/{entry['id']}")).status == 200
    assert await nobody.found(KEYS) == []
    assert refusal(await nobody.delete(f"{KEYS}/{key['id']}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": ""}, 400),
        ({"name": "taken"}, 409),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"name": "x", "limits": []}, 400),
        ({"name": "x", "limits": [{"permissions": ["nothing:do"]}]}, 400),
        ({"name": "x", "limits": [{"permissions": ["repository:pull"], "repositories": "a{b"}]}, 400),
        ({"name": "x", "limits": [{"permissions": ["repository:pull"], "owner": 1}]}, 422),
        ({"name": "x", "principal_id": 1}, 422),
        ({"name": "x", "expires_at": "tomorrow"}, 422),
    ],
)
async def test_what_cannot_be_a_key(nobody: Api, body: dict[str, object], status: int) -> None:
    """Names in use, ends that lie behind, limits that mean nothing, fields that are not for the caller."""
    await nobody.post(KEYS, {"name": "taken"})
    assert (await nobody.post(KEYS, body)).status == status


async def test_keys_of_others(admin: Api, nobody: Api, as_user: AsUser) -> None:
    """An administrator sees and removes them; nobody else learns of them."""
    await nobody.post(KEYS, {"name": "laptop"})
    number = (await nobody.found("/users/current"))["user_id"]
    path = f"/users/{number}/keys"
    (key,) = await admin.found(path)
    for answer in (await as_user("maker").get(path), await as_user("maker").delete(f"{path}/{key['id']}")):
        assert refusal(answer) == (403, "FORBIDDEN")
    assert refusal(await nobody.get(f"{KEYS}/{key['id'] + 1}")) == (404, "NOT_FOUND")
    assert refusal(await admin.get(f"{KEYS}/{key['id']}")) == (404, "NOT_FOUND")
    assert (await admin.delete(f"{path}/{key['id']}")).status == 200
    for absent in ("0", "999", "x", "99999999999999999999", "-1"):
        assert (await admin.get(f"/users/{absent}/keys")).status == 404


class _ByName:
    """Takes the header's value as the name of a principal, as a key would be one."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self.principals = dict(principals)

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:
        return ANONYMOUS if authorization is None else self.principals[authorization]


async def test_a_limited_key_makes_no_wider_one_and_leaves_the_others_alone(open_registry: Opener) -> None:
    """It may make a narrower one, and end itself."""
    signed_in = _ByName({})
    app = await open_registry(signed_in=True, services={"authenticator": signed_in})
    alice = await app.account("alice", ("project:demo", "pull,push"))
    signed_in.principals["alice"] = alice
    whole = Api(app.client(headers={"Authorization": "alice"}))
    first = (await whole.post(KEYS, {"name": "whole"})).json()
    second = (await whole.post(KEYS, {"name": "narrow", "limits": LIMITS})).json()
    grant = KeyLimit(permissions=("repository:pull",), project="demo").as_grant()
    signed_in.principals["key"] = Principal(
        kind=alice.kind, name=alice.name, id=alice.id, epoch=alice.epoch, key=second["id"], limits=(grant,)
    )
    key = Api(app.client(headers={"Authorization": "key"}))
    for answer in (
        await key.post(KEYS, {"name": "wider"}),
        await key.post(KEYS, {"name": "wider", "limits": [{"permissions": ["repository:push"], "project": "demo"}]}),
        await key.delete(f"{KEYS}/{first['id']}"),
        await key.put(f"{KEYS}/{first['id']}", {"name": "mine"}),
        await key.post(f"{KEYS}/{first['id']}/rotate", {}),
        await key.put(f"/users/{alice.id}", {"realname": "x"}),
        await key.put(f"/users/{alice.id}/password", {"old_password": "alice", "new_password": "correct horse"}),
    ):
        assert refusal(answer) == (403, "FORBIDDEN")
    assert (await key.post(KEYS, {"name": "narrower", "limits": LIMITS})).status == 201
    assert (await key.delete(f"{KEYS}/{second['id']}")).status == 200


async def test_no_key_of_an_administrator_becomes_the_administrator(open_registry: Opener) -> None:
    """A key that may change accounts makes no link with which its own account's password could be set."""
    signed_in = _ByName({})
    app = await open_registry(signed_in=True, services={"authenticator": signed_in})
    chief = await app.account("chief", ("*", "*"))
    limit = KeyLimit(permissions=("user:update",)).as_grant()
    signed_in.principals["key"] = Principal(
        kind=chief.kind, name=chief.name, id=chief.id, epoch=chief.epoch, key=7, limits=(limit,)
    )
    key = Api(app.client(headers={"Authorization": "key"}))
    assert refusal(await key.post(f"/users/{chief.id}/reset_link")) == (403, "FORBIDDEN")
