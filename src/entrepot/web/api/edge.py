"""What stands between the server and FastAPI: the body is read with our limits, and no error gets past.

FastAPI would read a body of any size and any speed, and answer errors in a form of its own.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from fastapi import Request as AsgiRequest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from entrepot.access.faults import Invalid
from entrepot.oci.strict_json import JsonInvalid, loads
from entrepot.web.api.errors import UnsupportedBody, render
from entrepot.web.api.mount import REQUEST
from entrepot.web.body import BodyBroken, ClientGone, Message
from entrepot.web.http import Request
from entrepot.web.middleware.errors import CLIENT_GONE

_LOGGER = logging.getLogger(__name__)
KIB: Final = 1024
#: The largest body that a caller with credentials may send, and one without.
BODY_BYTES: Final = 1024 * KIB
ANONYMOUS_BODY_BYTES: Final = 64 * KIB
_NUL_IN_QUERY: Final = b"%00"
_NUL_IN_JSON: Final = b"\\u0000"
_FORM: Final = "application/x-www-form-urlencoded"


class ApiEdge:
    """ASGI middleware around the routes of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever goes wrong."""
        own: Request = scope[REQUEST]
        try:
            _check_head(scope)
            body = await _read(own)
            await self._app(scope, _Body(own, body).receive, send)
        except BodyBroken as error:
            answer = render(error, AsgiRequest(scope))
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)
            own.status = CLIENT_GONE  # in nearly every case nobody reads the answer
        except ClientGone:
            # FastAPI would answer with 500; whoever called it sees that nothing was answered.
            if own.started:
                raise
        except Exception as error:
            if own.started:
                raise
            answer = render(error, AsgiRequest(scope))
            if answer.status_code >= 500:  # noqa: PLR2004 - a fault of ours
                _LOGGER.exception("request %s failed: %s %s", own.id, own.method, own.raw_path)
            await answer(scope, receive, send)


def _check_head(scope: Scope) -> None:
    """Refuse what no route would take.

    Raises:
        HTTPException: The path is written out in a route and has other methods: `current` is nobody's number.
        Invalid: A parameter holds the one character that PostgreSQL cannot be asked for.
    """
    if scope["app"].state.table.lacks(scope["path"], scope["method"]):
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
    if _NUL_IN_QUERY in scope["query_string"]:
        raise Invalid("a parameter holds the character NUL, which nothing here has in its name")


async def _read(own: Request) -> bytes:
    """Return the body.

    Raises:
        BodyTooLarge: It is larger than any request of the API.
        Invalid: It is no JSON, or JSON that two programs could read differently.
        UnsupportedBody: It is neither JSON nor a form.
    """
    if own.body.empty:
        return b""
    known = own.header(b"authorization") or own.header(b"cookie")
    body = await own.body.read(BODY_BYTES if known else ANONYMOUS_BODY_BYTES)
    kind = (own.header(b"content-type") or "").partition(";")[0].strip().lower()
    if not body or kind == _FORM:
        return body
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedBody
    try:
        document = loads(body)
    except JsonInvalid as error:
        raise Invalid(f"the body is no JSON that we take: {error}") from None
    if _NUL_IN_JSON in body and _holds_nul(document):
        raise Invalid("the body holds the character NUL, which no text of ours can have")
    return body


def _holds_nul(value: object) -> bool:
    """Tell whether a text has the one character that PostgreSQL cannot keep."""
    match value:
        case str():
            return "\0" in value
        case list():
            return any(map(_holds_nul, value))
        case dict():
            return any("\0" in key or _holds_nul(each) for key, each in value.items())
    return False


class _Body:
    """Gives the body that was read, and after it word of the client's leaving."""

    def __init__(self, own: Request, body: bytes) -> None:
        self._own = own
        self._body: bytes | None = body

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._own.wait_until_gone()
        return {"type": "http.disconnect"}
