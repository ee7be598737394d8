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
from entrepot.web.pages import ACCOUNT_PATH, Frame, scripted_page
from entrepot.web.responses import DATA_POLICY, BytesResponse, Response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.session.answers import NO_STORE
from entrepot.web.texts import texts

PAGE_PATH: Final = "/c/security_keys"
SCRIPT_PATH: Final = "/c/security_keys.js"
#: What the script says, by the names of its texts.
_SAID: Final = (
    *("added", "used", "never", "backed-up", "remove"),
    *("touch", "registered", "removed", "unknown", "no-answer", "need-code", "failed"),
    *("copy", "copied", "last-key", "last-factor"),
)


def key_page_routes() -> Mapping[str, Route]:
    """Return the routes of the page and its script."""
    return {
        PAGE_PATH: Route("security_keys_page", {"GET": show}),
        SCRIPT_PATH: Route("security_keys_script", {"GET": script}),
    }


async def show(request: Request, services: Services) -> Response:
    """Show the page, in English or Chinese."""
    frame = Frame.of(request, services)
    said = {name: escape(text) for name, text in texts(__package__, frame.language).items()}
    said["account-address"] = escape(frame.prefix + ACCOUNT_PATH)
    body = f"{_data(frame.prefix, said)}{_SIGN_IN.format_map(said)}{_KEYS.format_map(said)}"
    return scripted_page(HTTPStatus.OK, said["title"], body, frame, script=SCRIPT_PATH)


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
        f'<div id="said" hidden data-prefix="{escape(prefix)}"{texts}></div>\n'
        f'<noscript><p class="flash warn">{said["script"]}</p></noscript>\n'
        '<p class="flash bad" id="trouble" role="alert" hidden></p>\n'
        '<p class="flash ok" id="news" role="status" hidden></p>\n'
    )


_SIGN_IN: Final = """<form id="sign-in" method="post" hidden>
<div><label for="name">{name}</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="255" required></div>
<div><label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required></div>
<div><label for="code">{code}</label>
<input id="code" name="code" autocomplete="one-time-code" maxlength="64"></div>
<p><button class="primary" type="submit">{sign-in}</button></p>
</form>
"""
_KEYS: Final = """<section id="codes" hidden>
<h2>{codes-title}</h2>
<p>{codes}</p>
<ul class="codes" id="code-list"></ul>
<p class="row"><button id="copy" type="button">{copy}</button></p>
<form id="kept" method="post">
<p class="check"><input id="kept-box" name="kept" type="checkbox" required>
<label for="kept-box">{kept}</label></p>
<p><button type="submit">{done}</button></p>
</form>
</section>
<section id="keys" hidden>
<p class="flash warn" id="must" hidden>{must}</p>
<p class="row" id="whose" hidden><span>{signed-in} <b id="who"></b></span>
<a class="btn" href="{account-address}">{account}</a>
<button id="sign-out" type="button">{sign-out}</button></p>
<p id="theirs" hidden>{theirs}</p>
<p id="none" hidden>{none}</p>
<ul class="list" id="list"></ul>
<form id="remove" method="post" hidden>
<p>{removing} <b id="removed-key"></b></p>
<p class="flash warn" id="last" hidden></p>
<div><label for="remove-password">{again}</label>
<input id="remove-password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required></div>
<p class="row"><button class="danger" type="submit">{remove}</button>
<button id="cancel" type="button">{cancel}</button></p>
</form>
<form id="add" method="post">
<div><label for="label">{label}</label>
<input id="label" name="label" maxlength="64" required></div>
<div id="again"><label for="add-password">{again}</label>
<input id="add-password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required></div>
<p><button class="primary" type="submit">{add}</button></p>
</form>
</section>
"""
