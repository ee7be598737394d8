"""The few pages of a sign-in by a provider: plain HTML without scripts or styles of their own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Final

from entrepot.web.http import Header
from entrepot.web.responses import BytesResponse

#: Nothing is loaded, nothing may frame the page, and its form goes nowhere else. The address of a page that a provider
#: leads to holds a code: no other site hears it.
PAGE_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)


def page(status: HTTPStatus, title: str, body: str, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page; `body` is HTML."""
    text = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title></head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}</main>\n</body>\n"
        "</html>\n"
    )
    return BytesResponse(status, (*PAGE_HEADERS, *headers), text.encode())


def problem(status: HTTPStatus, message: str, again: str, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page that says why nobody was signed in, with the way to try again."""
    body = f'<p role="alert">{escape(_sentence(message))}</p>\n<p><a href="{escape(again)}">Sign in again</a></p>\n'
    return page(status, "You are not signed in", body, headers)


def choice(providers: Mapping[str, str]) -> BytesResponse:
    """Return a page with one link for each provider; the keys are addresses."""
    links = "".join(
        f'<li><a href="{escape(address)}">{escape(title)}</a></li>\n' for address, title in providers.items()
    )
    return page(HTTPStatus.OK, "Sign in", f"<ul>\n{links}</ul>\n")


def name_form(*, action: str, token: str, suggestion: str, title: str, trouble: str) -> BytesResponse:
    """Return the page on which somebody new chooses a name."""
    alert = f'<p role="alert">{escape(_sentence(trouble))}</p>\n' if trouble else ""
    body = (
        f"<p>{escape(title)} has said who you are. Choose the name that this registry will know you by.</p>\n"
        f'{alert}<form method="post" action="{escape(action)}">\n'
        f'<input type="hidden" name="token" value="{escape(token)}">\n'
        '<p><label for="username">User name</label>\n'
        f'<input id="username" name="username" value="{escape(suggestion)}" maxlength="255" required autofocus></p>\n'
        '<p><button type="submit">Create the account</button></p>\n</form>\n'
    )
    return page(HTTPStatus.CONFLICT if trouble else HTTPStatus.OK, "Welcome", body)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
