"""`/users/current/sessions`: the browsers that somebody is signed in with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from entrepot.access.faults import NotFound
from entrepot.access.web_sessions import SessionInfo
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.people.own_account import gate_of, require_person
from entrepot.web.api.refusals import refusals
from entrepot.web.api.values import moment

Id = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        description="The id of the session, from the list.",
        examples=["5d41402abc4b2a76b9719d91"],
    ),
]


class SessionOut(BaseModel):
    """One session."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "5d41402abc4b2a76b9719d91",
                "provider": "password",
                "address": "192.0.2.7",
                "agent": "Mozilla/5.0",
                "creation_time": "2026-01-02T03:04:05Z",
                "last_used": "2026-01-02T03:34:05Z",
                "current": True,
            }
        }
    )

    id: str
    provider: str
    address: str
    agent: str
    creation_time: datetime
    last_used: datetime
    current: bool

    @classmethod
    def of(cls, info: SessionInfo) -> SessionOut:
        """Return what is shown of a session."""
        return cls(
            id=info.id,
            provider=info.provider,
            address=info.address,
            agent=info.agent,
            creation_time=moment(info.created_at),
            last_used=moment(info.seen_at),
            current=info.current,
        )


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["session"])
    add = routes.add_api_route
    add("/users/current/sessions", list_sessions, methods=["GET"], responses=refusals(404), operation_id="listSessions")
    add(
        "/users/current/sessions",
        end_others,
        methods=["DELETE"],
        responses=refusals(404),
        operation_id="endOtherSessions",
    )
    add("/users/current/sessions/{session_id}", end_session, methods=["DELETE"], operation_id="endSession")
    return routes


async def list_sessions(caller: CallerOf, services: ServicesOf) -> list[SessionOut]:
    """List one's own sessions, the newest first."""
    require_person(caller)
    found = await gate_of(services).sessions.list(caller.principal, current=_current(caller))
    return [SessionOut.of(info) for info in found]


async def end_others(caller: CallerOf, services: ServicesOf) -> None:
    """End all of one's own sessions but the one that asks."""
    require_person(caller)
    await gate_of(services).sessions.revoke_others(caller.principal, _current(caller), caller.source)


async def end_session(caller: CallerOf, services: ServicesOf, session_id: Id) -> None:
    """End one of one's own sessions."""
    require_person(caller)
    if not await gate_of(services).sessions.revoke(caller.principal, session_id, caller.source):
        raise NotFound("you have no session of that id")


def _current(caller: Caller) -> str:
    return "" if caller.session is None else caller.session.id
