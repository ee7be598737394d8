"""The few pages of a sign-in by a provider: plain HTML without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from entrepot.web.http import Header
from entrepot.web.pages import ACCOUNT_PATH, Frame, alert, page
from entrepot.web.responses import BytesResponse


def problem(
    status: HTTPStatus, message: str, frame: Frame, *, somebody_else: str = "", headers: tuple[Header, ...] = ()
) -> BytesResponse:
    """Return a page that says why nobody was signed in.

    The way on never leads straight back to where the refusal came from: a provider that knows its visitor would send
    the same person again. `somebody_else` is the address at which it asks who it is.
    """
    words = frame.words
    links = {somebody_else: words["somebody-else"]} if somebody_else else {}
    links[frame.prefix + ACCOUNT_PATH] = words["other-way"]
    return page(status, words["refused"], f"{alert(message)}{_list(links)}", frame, headers)


def choice(providers: Mapping[str, str], frame: Frame) -> BytesResponse:
    """Return a page with one link for each provider; the keys are addresses."""
    return page(
        HTTPStatus.OK, frame.words["choose-way"], _list({at: escape(title) for at, title in providers.items()}), frame
    )


def name_form(*, action: str, token: str, suggestion: str, title: str, trouble: str, frame: Frame) -> BytesResponse:
    """Return the page on which somebody new chooses a name."""
    words = frame.words
    body = (
        f"<p>{words['welcome-what'].replace('{title}', escape(title))}</p>\n"
        f'{alert(trouble)}<form method="post" action="{escape(action)}">\n'
        f'<input type="hidden" name="token" value="{escape(token)}">\n'
        f'<div><label for="username">{words["name"]}</label>\n'
        f'<input id="username" name="username" value="{escape(suggestion)}" maxlength="255" required autofocus></div>\n'
        f'<p><button class="primary" type="submit">{words["create"]}</button></p>\n</form>\n'
    )
    return page(HTTPStatus.CONFLICT if trouble else HTTPStatus.OK, words["welcome"], body, frame)


def _list(links: Mapping[str, str]) -> str:
    entries = "".join(f'<li><a href="{escape(address)}">{title}</a></li>\n' for address, title in links.items())
    return f'<ul class="ways">\n{entries}</ul>\n'
