"""What the few pages have in common: plain HTML without styles, and all but one without a script."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import Final

from entrepot.web.http import Header, Request
from entrepot.web.responses import BytesResponse

_COMMON: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_POLICY: Final = b"content-security-policy"
_NO_FORMS: Final = b"form-action 'none'; base-uri 'none'"
#: Nothing is loaded, nothing may frame the page, and its form goes nowhere else. The address of a page may hold a code
#: or a token: no other site hears it.
PAGE_HEADERS: Final[tuple[Header, ...]] = (
    *_COMMON,
    (_POLICY, b"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
)
#: Nothing but a script of ours, which asks nobody but us; forms go nowhere by themselves.
_SCRIPTED_HEADERS: Final[tuple[Header, ...]] = (
    *_COMMON,
    (_POLICY, b"default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; " + _NO_FORMS),
)
#: What stands in the access log for a query that held a secret.
_HIDDEN: Final = b"hidden"


def page(status: HTTPStatus, title: str, body: str, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page; `body` is HTML."""
    return BytesResponse(status, (*PAGE_HEADERS, *headers), _document(title, body, "", "en"))


def scripted_page(status: HTTPStatus, title: str, body: str, *, script: str, language: str) -> BytesResponse:
    """Return a page with a script of ours, by its path; `body` is HTML."""
    loaded = f'<script src="{escape(script)}" defer></script>'
    return BytesResponse(status, _SCRIPTED_HEADERS, _document(title, body, loaded, language))


def _document(title: str, body: str, more: str, language: str) -> bytes:
    text = (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>{more}</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}</main>\n"
        "</body>\n</html>\n"
    )
    return text.encode()


def alert(text: str) -> str:
    """Return a paragraph that says what is wrong; nothing where nothing is."""
    return f'<p role="alert">{escape(sentence(text))}</p>\n' if text else ""


def sentence(text: str) -> str:
    """Return a message of ours as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def taken_query(request: Request) -> str:
    """Return the query of a request, and keep it out of the access log."""
    raw = str(request.scope["query_string"], "latin-1")
    request.scope["query_string"] = _HIDDEN if raw else b""
    return raw
