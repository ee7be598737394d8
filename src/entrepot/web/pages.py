"""What the few pages have in common: plain HTML with one style sheet, and all but one without a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from http import HTTPStatus
from importlib import resources
from typing import Final

from entrepot.web.http import Header, Request
from entrepot.web.responses import DATA_POLICY, BytesResponse, Response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.texts import language_for, texts

#: Where somebody who is signed in sees themselves, and everybody else signs in.
ACCOUNT_PATH: Final = "/c/account"
START_PATH: Final = "/ui/"
STYLE_PATH: Final = "/c/pages.css"
_COMMON: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_POLICY: Final = b"content-security-policy"
_NO_FORMS: Final = b"form-action 'none'; base-uri 'none'"
#: Nothing is loaded but the style sheet, nothing may frame the page, and its form goes nowhere else. The address of a
#: page may hold a code or a token: no other site hears it.
PAGE_HEADERS: Final[tuple[Header, ...]] = (
    *_COMMON,
    (_POLICY, b"default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
)
#: Nothing more but a script of ours, which asks nobody but us; forms go nowhere by themselves.
_SCRIPTED_HEADERS: Final[tuple[Header, ...]] = (
    *_COMMON,
    (
        _POLICY,
        b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
        + _NO_FORMS,
    ),
)
_STYLE_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/css; charset=utf-8"),
    (b"cache-control", b"no-store"),
    DATA_POLICY,
)
#: What stands in the access log for a query that held a secret.
_HIDDEN: Final = b"hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is around a page: where its links lead, and the language of who looks at it."""

    prefix: str  #: `http.prefix` without its last slash
    language: str

    @classmethod
    def of(cls, request: Request, services: Services) -> Frame:
        """Return what is around the answer to a request."""
        language = language_for(request.header(b"accept-language") or "")
        return cls(prefix=services.settings.prefix.rstrip("/"), language=language)

    @property
    def words(self) -> Mapping[str, str]:
        """What the pages say in that language, as HTML."""
        return _escaped("entrepot.web", self.language)

    def text(self, name: str) -> str:
        """Return something that the pages say, as it is."""
        return texts("entrepot.web", self.language)[name]


def style_route() -> Mapping[str, Route]:
    """Return the route of the style sheet."""
    return {STYLE_PATH: Route("pages_style", {"GET": _show_style})}


async def _show_style(request: Request, services: Services) -> Response:  # noqa: ARG001 - a handler's signature
    return BytesResponse(HTTPStatus.OK, _STYLE_HEADERS, _style())


@cache
def _style() -> bytes:
    return resources.files("entrepot.web").joinpath("pages.css").read_bytes()


@cache
def _escaped(package: str, language: str) -> Mapping[str, str]:
    return {name: escape(text) for name, text in texts(package, language).items()}


def page(status: HTTPStatus, title: str, body: str, frame: Frame, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a page; `title` and `body` are HTML."""
    return BytesResponse(status, (*PAGE_HEADERS, *headers), _document(title, body, "", frame))


def scripted_page(status: HTTPStatus, title: str, body: str, frame: Frame, *, script: str) -> BytesResponse:
    """Return a page with a script of ours, by its path below the prefix; `title` and `body` are HTML."""
    loaded = f'<script src="{escape(frame.prefix + script)}" defer></script>'
    return BytesResponse(status, _SCRIPTED_HEADERS, _document(title, body, loaded, frame))


def _document(title: str, body: str, more: str, frame: Frame) -> bytes:
    prefix = escape(frame.prefix)
    language = "zh-Hans" if frame.language == "zh" else frame.language
    text = (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{title}</title><link rel="stylesheet" href="{prefix}{STYLE_PATH}">{more}</head>\n<body>\n'
        f'<header class="top"><a class="brand" href="{prefix}{START_PATH}">Entrepot</a></header>\n'
        f"<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
    return text.encode()


def alert(text: str) -> str:
    """Return a paragraph that says what is wrong; nothing where nothing is."""
    return f'<p class="flash bad" role="alert">{escape(sentence(text))}</p>\n' if text else ""


def sentence(text: str) -> str:
    """Return a message of ours as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "。")) else ".")


def taken_query(request: Request) -> str:
    """Return the query of a request, and keep it out of the access log."""
    raw = str(request.scope["query_string"], "latin-1")
    request.scope["query_string"] = _HIDDEN if raw else b""
    return raw
