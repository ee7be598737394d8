"""The few pages of a sign-in by a provider: plain HTML without scripts or styles of their own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from entrepot.web.http import Header
from entrepot.web.pages import alert, page
from entrepot.web.responses import BytesResponse


def problem(status: HTTPStatus, message: str, again: str, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page that says why nobody was signed in, with the way to try again."""
    body = f'{alert(message)}<p><a href="{escape(again)}">Sign in again</a></p>\n'
    return page(status, "You are not signed in", body, headers)


def choice(providers: Mapping[str, str]) -> BytesResponse:
    """Return a page with one link for each provider; the keys are addresses."""
    links = "".join(
        f'<li><a href="{escape(address)}">{escape(title)}</a></li>\n' for address, title in providers.items()
    )
    return page(HTTPStatus.OK, "Sign in", f"<ul>\n{links}</ul>\n")


def name_form(*, action: str, token: str, suggestion: str, title: str, trouble: str) -> BytesResponse:
    """Return the page on which somebody new chooses a name."""
    body = (
        f"<p>{escape(title)} has said who you are. Choose the name that this registry will know you by.</p>\n"
        f'{alert(trouble)}<form method="post" action="{escape(action)}">\n'
        f'<input type="hidden" name="token" value="{escape(token)}">\n'
        '<p><label for="username">User name</label>\n'
        f'<input id="username" name="username" value="{escape(suggestion)}" maxlength="255" required autofocus></p>\n'
        '<p><button type="submit">Create the account</button></p>\n</form>\n'
    )
    return page(HTTPStatus.CONFLICT if trouble else HTTPStatus.OK, "Welcome", body)
