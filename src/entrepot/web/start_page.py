"""`/` and `/ui/`: what somebody sees who points a browser at the registry. Everybody else gets registry:2's answer.

The page says what this is, how a client signs in and where the manual is.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Final

from entrepot.web.http import Request
from entrepot.web.pages import ACCOUNT_PATH, START_PATH, Frame, page, style_route
from entrepot.web.responses import Response
from entrepot.web.router import Route
from entrepot.web.services import Services

_NO_CACHE: Final = (b"cache-control", b"no-store")
#: What is answered follows what the client takes.
_VARY: Final = (b"vary", b"accept")
_API: Final = "/api/v2.0/openapi.json"


def start_routes(*, has_accounts: bool) -> Mapping[str, Route]:
    """Return the routes; only where there are accounts people can sign in by a browser."""
    show = functools.partial(_show, has_accounts=has_accounts)
    return {
        "/": Route("root", {"GET": _root, "HEAD": _root}),
        START_PATH: Route("start_page", {"GET": show, "HEAD": show}),
        **style_route(),
    }


async def _root(request: Request, services: Services) -> Response:
    """Lead a browser to the page; answer others with an empty 200, which load balancers of registry:2 look for."""
    if request.method == "GET" and _is_browser(request):
        place = services.settings.prefix.rstrip("/") + START_PATH
        return Response(HTTPStatus.FOUND, ((b"location", place.encode()), _NO_CACHE, _VARY))
    return Response(HTTPStatus.OK, (_NO_CACHE, _VARY))


async def _show(request: Request, services: Services, *, has_accounts: bool) -> Response:
    frame = Frame.of(request, services)
    words = frame.words
    origin = escape(services.proxies.origin(request) or "https://registry.example.org")
    host = origin.partition("://")[2]
    commands = f"docker login {host}\ndocker pull {host}/team/app:v1\nentrepot login {origin}"
    sign_in = (
        f'<p><a href="{escape(frame.prefix + ACCOUNT_PATH)}">{words["start-sign-in"]}</a></p>\n' if has_accounts else ""
    )
    api = escape(frame.prefix + _API)
    body = (
        f"<p>{words['start-what']}</p>\n{sign_in}<p>{words['start-clients']}</p>\n<pre>{commands}</pre>\n"
        f'<p>{words["start-manual"]}</p>\n<p>{words["start-api"]} <a href="{api}">{api}</a></p>\n'
    )
    return page(HTTPStatus.OK, "Entrepot", body, frame, ((b"vary", b"accept-language"),))


def _is_browser(request: Request) -> bool:
    """Tell whether a page is asked for by its name; `*/*`, which programs send, asks for none."""
    return any("text/html" in value for value in request.header_values(b"accept"))
