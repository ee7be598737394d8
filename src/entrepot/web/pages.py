"""What the few pages have in common: plain HTML without scripts or styles of their own."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import Final

from entrepot.web.http import Header, Request
from entrepot.web.responses import BytesResponse

#: Nothing is loaded, nothing may frame the page, and its form goes nowhere else. The address of a page may hold a code
#: or a token: no other site hears it.
PAGE_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
#: What stands in the access log for a query that held a secret.
_HIDDEN: Final = b"hidden"


def page(status: HTTPStatus, title: str, body: str, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page; `body` is HTML."""
    text = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title></head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}</main>\n</body>\n"
        "</html>\n"
    )
    return BytesResponse(status, (*PAGE_HEADERS, *headers), text.encode())


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
