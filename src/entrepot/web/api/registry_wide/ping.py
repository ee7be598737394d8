"""`/ping`: is there anybody?"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["ping"])
    routes.add_api_route(
        "/ping",
        ping,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {"example": "Pong"}}}},
        summary="Answer",
        operation_id="getPing",
    )
    return routes


async def ping() -> str:
    """Answer, as long as the process answers at all."""
    return "Pong"
