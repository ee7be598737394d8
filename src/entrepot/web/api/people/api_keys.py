"""`/users/{user}/keys`: API keys, one's own or somebody else's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from entrepot.access.api_key_limits import KeyLimit, read_limits
from entrepot.access.faults import Forbidden
from entrepot.access.permissions import Permission
from entrepot.accounts.keys import NewKey
from entrepot.metadata.clock import MICROSECONDS
from entrepot.metadata.people.api_keys import ApiKeyRecord
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.locations import LOCATED, set_location
from entrepot.web.api.people.users import owner_of
from entrepot.web.api.refusals import refusals
from entrepot.web.api.values import moment, moment_or_none

_READ, _UPDATE = Permission("user:read"), Permission("user:update")
_EXAMPLE: Final[dict[str, Any]] = {
    "id": 12,
    "name": "laptop",
    "hint": "reg_Ab3d",
    "limits": [{"permissions": ["repository:pull"], "project": "demo", "repositories": None, "tags": None}],
    "creation_time": "2026-01-02T03:04:05Z",
    "expires_at": "2027-01-01T00:00:00Z",
    "last_used": None,
}

UserRef = Annotated[str, Path(max_length=20, description="`current`, or somebody's number.", examples=["current"])]
KeyId = Annotated[int, Path(ge=1, lt=2**63, description="The key's number.", examples=[12])]
_Text = Annotated[str, Field(min_length=1, max_length=512)]


class Limit(BaseModel):
    """Permissions on a part of the registry; a key does nothing outside its limits."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"permissions": ["repository:pull"], "project": "demo"}}
    )

    permissions: Annotated[list[_Text], Field(min_length=1, max_length=200)]
    project: _Text | None = None
    repositories: _Text | None = None
    tags: _Text | None = None

    def limit(self) -> KeyLimit:
        """Return it as the use cases know it."""
        return KeyLimit(
            permissions=tuple(self.permissions),
            project=self.project,
            repositories=self.repositories,
            tags=self.tags,
        )


class Key(BaseModel):
    """A key without its secret; without limits it does whatever its account may."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: int
    name: str
    hint: str
    limits: list[Limit] | None
    creation_time: datetime
    expires_at: datetime | None
    last_used: datetime | None

    @classmethod
    def of(cls, record: ApiKeyRecord) -> Key:
        """Return what is shown of a key."""
        return cls(**_fields(record))


class KeyMade(Key):
    """A key that was just made: its secret is shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXAMPLE, "secret": "reg_..."}})

    secret: str

    @classmethod
    def of_new(cls, made: NewKey) -> KeyMade:
        """Return a key with its secret."""
        return cls(**_fields(made.record), secret=made.secret)


class KeyRequest(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "laptop", "limits": [{"permissions": ["repository:pull"], "project": "demo"}]}
        },
    )

    name: Annotated[str, Field(max_length=255)]
    limits: Annotated[list[Limit], Field(max_length=100)] | None = None
    expires_at: AwareDatetime | None = None


class RotateRequest(BaseModel):
    """How a key is replaced: for how many seconds the old secret goes on, and when the new key ends."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"grace": 3600}})

    grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    expires_at: AwareDatetime | None = None


class KeyChange(BaseModel):
    """What can be changed of a key: what people call it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "desktop"}})

    name: Annotated[str, Field(max_length=255)]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["key"])
    add = routes.add_api_route
    every = "/users/{user}/keys"
    add(every, list_keys, methods=["GET"], operation_id="listKeys")
    add(
        every,
        create_key,
        methods=["POST"],
        status_code=201,
        responses=LOCATED | refusals(409),
        operation_id="createKey",
    )
    one = f"{every}/{{key_id}}"
    add(one, get_key, methods=["GET"], operation_id="getKey")
    add(one, rename_key, methods=["PUT"], responses=refusals(409), operation_id="renameKey")
    add(one, delete_key, methods=["DELETE"], operation_id="deleteKey")
    add(
        f"{one}/rotate",
        rotate_key,
        methods=["POST"],
        status_code=201,
        responses=LOCATED | refusals(409),
        operation_id="rotateKey",
    )
    return routes


async def list_keys(user: UserRef, caller: CallerOf, services: ServicesOf) -> list[Key]:
    """List the keys of an account, the oldest first."""
    owner = await _owner_of_key(caller, services, user, None, _READ)
    return [Key.of(record) for record in await services.accounts.keys.list(owner)]


async def get_key(user: UserRef, key_id: KeyId, caller: CallerOf, services: ServicesOf) -> Key:
    """Return one key of an account."""
    owner = await _owner_of_key(caller, services, user, key_id, _READ)
    return Key.of(await services.accounts.keys.find(owner, key_id))


async def create_key(
    user: UserRef, body: KeyRequest, response: Response, caller: CallerOf, services: ServicesOf
) -> KeyMade:
    """Make a key; it can do nothing that the caller cannot do now."""
    owner = await owner_of(caller, services, user, _UPDATE)
    made = await services.accounts.keys.create(
        owner,
        body.name,
        acting=caller.principal,
        by=caller.source,
        limits=None if body.limits is None else [limit.limit() for limit in body.limits],
        expires_at=_end(body.expires_at),
    )
    set_location(response, services, f"/users/{user}/keys/{made.record.id}")
    return KeyMade.of_new(made)


async def rotate_key(
    user: UserRef, key_id: KeyId, body: RotateRequest, response: Response, caller: CallerOf, services: ServicesOf
) -> KeyMade:
    """Put a new key in the place of one, with its name and limits."""
    owner = await owner_of(caller, services, user, _UPDATE)
    made = await services.accounts.keys.rotate(
        owner,
        key_id,
        acting=caller.principal,
        by=caller.source,
        grace=body.grace,
        expires_at=_end(body.expires_at),
    )
    set_location(response, services, f"/users/{user}/keys/{made.record.id}")
    return KeyMade.of_new(made)


async def rename_key(user: UserRef, key_id: KeyId, body: KeyChange, caller: CallerOf, services: ServicesOf) -> Key:
    """Give a key another name."""
    owner = await _owner_of_key(caller, services, user, key_id, _UPDATE)
    return Key.of(await services.accounts.keys.rename(owner, key_id, body.name, by=caller.source))


async def delete_key(user: UserRef, key_id: KeyId, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a key, and with it whatever it opened; a key may remove itself."""
    owner = await _owner_of_key(caller, services, user, key_id, _UPDATE)
    await services.accounts.keys.remove(owner, key_id, by=caller.source)


async def _owner_of_key(
    caller: Caller, services: ServicesOf, user: str, key_id: int | None, permission: Permission
) -> int:
    """Return whose key it is (None: all of them); among one's own, one key cannot see the others, or take them away.

    Raises:
        Forbidden: A key with limits, or a token, asks for another key than itself.
    """
    owner = await owner_of(caller, services, user, permission)
    if owner == caller.principal.id and caller.principal.key != key_id:
        narrow = caller.principal.limits is not None or caller.principal.scopes is not None
        if narrow or caller.principal.fleeting:
            raise Forbidden("a key with limits, or a token, cannot see or change other keys; sign in with the password")
    return owner


def _end(moment_: datetime | None) -> int | None:
    return None if moment_ is None else int(moment_.astimezone(UTC).timestamp() * MICROSECONDS)


def _fields(record: ApiKeyRecord) -> dict[str, Any]:
    limits = read_limits(record.limits)
    return {
        "id": record.id,
        "name": record.name,
        "hint": record.hint,
        "limits": None if limits is None else [_limit(limit) for limit in limits],
        "creation_time": moment(record.created_at),
        "expires_at": moment_or_none(record.expires_at),
        "last_used": moment_or_none(record.last_used_at),
    }


def _limit(limit: KeyLimit) -> Limit:
    return Limit(
        permissions=list(limit.permissions), project=limit.project, repositories=limit.repositories, tags=limit.tags
    )
