"""What the pages of signing in answer to programs and scripts, and what a session is said to come from."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from entrepot.web.http import Header
from entrepot.web.responses import BytesResponse, json_response

#: What names a session that a password opened, whatever was asked for beside it.
PROVIDER: Final = "password"
NO_STORE: Final[Header] = (b"cache-control", b"no-store")


def refused(
    status: HTTPStatus, code: str, message: str, headers: tuple[Header, ...] = (), **more: Any
) -> BytesResponse:
    """Return a refusal, with what the browser needs to go on, if there is anything."""
    document = {"errors": [{"code": code, "message": message}], **more}
    return json_response(status, document, (NO_STORE, *headers))
