"""Where the things that were made can be found."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Header, Response

from entrepot.web.api.services import ApiServices

BASE: Final = "/api/v2.0"

NameInLocation = Annotated[
    bool,
    Header(alias="X-Resource-Name-In-Location", description="Put the name into Location in place of the id."),
]


def set_location(response: Response, services: ApiServices, path: str) -> None:
    """Say in `Location` where the thing is: its path below `/api/v2.0`, as Harbor writes it."""
    prefix = services.web.settings.prefix.rstrip("/")
    response.headers["Location"] = f"{prefix}{BASE}{quote(path, safe='/$+%')}"
