"""`/c/security_keys`: where people register, see and remove their security keys, and sign in with one.

The page is plain HTML without anything about anybody; its script asks the API for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from http import HTTPStatus
from importlib import resources
from typing import Final

from entrepot.web.http import Request
from entrepot.web.pages import scripted_page
from entrepot.web.responses import DATA_POLICY, BytesResponse, Response
from entrepot.web.router import Route
from entrepot.web.security_keys.texts import wanted
from entrepot.web.services import Services
from entrepot.web.session.answers import NO_STORE

PAGE_PATH: Final = "/c/security_keys"
SCRIPT_PATH: Final = "/c/security_keys.js"
#: What the script says, by the names of its texts.
_SAID: Final = (
    *("added", "used", "never", "backed-up", "remove"),
    *("touch", "registered", "removed", "unknown", "no-answer", "need-code", "failed"),
)


def key_page_routes() -> Mapping[str, Route]:
    """Return the routes of the page and its script."""
    return {
        PAGE_PATH: Route("security_keys_page", {"GET": show}),
        SCRIPT_PATH: Route("security_keys_script", {"GET": script}),
    }


async def show(request: Request, services: Services) -> Response:
    """Show the page, in English or Chinese."""
    language, texts = wanted(request.header(b"accept-language") or "")
    said = {name: escape(text) for name, text in texts.items()}
    prefix = services.settings.prefix.rstrip("/")
    body = f"{_data(prefix, said)}{_SIGN_IN.format_map(said)}{_KEYS.format_map(said)}"
    return scripted_page(HTTPStatus.OK, texts["title"], body, script=prefix + SCRIPT_PATH, language=language)


async def script(request: Request, services: Services) -> Response:  # noqa: ARG001 - a handler's signature
    """Give the page's script."""
    headers = ((b"content-type", b"text/javascript; charset=utf-8"), DATA_POLICY, NO_STORE)
    return BytesResponse(HTTPStatus.OK, headers, _script())


@cache
def _script() -> bytes:
    return resources.files(__package__).joinpath("page.js").read_bytes()


def _data(prefix: str, said: Mapping[str, str]) -> str:
    texts = "".join(f' data-{name}="{said[name]}"' for name in _SAID)
    return (
        f'<div id="said" data-prefix="{escape(prefix)}"{texts}></div>\n<noscript><p>{said["script"]}</p></noscript>\n'
        '<p id="trouble" role="alert" hidden></p>\n<p id="news" role="status" hidden></p>\n'
    )


_SIGN_IN: Final = """<form id="sign-in" method="post" hidden>
<p><label for="name">{name}</label>
<input id="name" name="name" autocomplete="username" maxlength="255" required></p>
<p><label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required></p>
<p><label for="code">{code}</label>
<input id="code" name="code" autocomplete="one-time-code" maxlength="64"></p>
<p><button type="submit">{sign-in}</button></p>
</form>
"""
_KEYS: Final = """<section id="keys" hidden>
<p id="must" hidden>{must}</p>
<p id="whose" hidden>{signed-in} <b id="who"></b> <button id="sign-out" type="button">{sign-out}</button></p>
<p id="none" hidden>{none}</p>
<ul id="list"></ul>
<form id="remove" method="post" hidden>
<p><b id="removed-key"></b></p>
<p><label for="remove-password">{again}</label>
<input id="remove-password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required></p>
<p><button type="submit">{remove}</button> <button id="cancel" type="button">{cancel}</button></p>
</form>
<form id="add" method="post">
<p><label for="label">{label}</label>
<input id="label" name="label" maxlength="64" required></p>
<p id="again"><label for="add-password">{again}</label>
<input id="add-password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required></p>
<p><button type="submit">{add}</button></p>
</form>
</section>
<section id="codes" hidden>
<p>{codes}</p>
<ul id="code-list"></ul>
</section>
"""
