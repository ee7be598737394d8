"""Where the things that were made can be found."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Header, Request, Response

from entrepot.web.api.mount import REQUEST
from entrepot.web.api.services import ApiServices

BASE: Final = "/api/v2.0"

#: Where what was made is, for the documentation of routes whose answer has a body as well.
LOCATED: Final[dict[int | str, dict[str, Any]]] = {
    201: {"headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}}
}

NameInLocation = Annotated[
    bool,
    Header(alias="X-Resource-Name-In-Location", description="Put the name into Location in place of the id."),
]


def set_location_below(response: Response, request: Request, name: str) -> None:
    """Say in `Location` that the thing is below the path that was asked, as it was written."""
    path = str(request.scope[REQUEST].raw_path, "latin-1").rstrip("/")
    response.headers["Location"] = f"{path}/{quote(name, safe='')}"


def set_location(response: Response, services: ApiServices, path: str) -> None:
    """Say in `Location` where the thing is: its path below `/api/v2.0`, as Harbor writes it."""
    prefix = services.web.settings.prefix.rstrip("/")
    response.headers["Location"] = f"{prefix}{BASE}{quote(path, safe='/$+%')}"
