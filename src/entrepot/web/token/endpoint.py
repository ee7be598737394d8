"""The handlers of `/token`, and of `/service/token`, under which Harbor's clients look for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from entrepot.access.challenge import TOKEN_PATH
from entrepot.access.errors import AccessRefused
from entrepot.access.passwords.credentials import Basic
from entrepot.access.tokens.token_requests import ANONYMOUS_SCOPES, Answer, ServiceUnknown, TokenDesk, TooManyScopes
from entrepot.oci.errors import ErrorCode, RequestTimeout
from entrepot.oci.scope import format_scopes
from entrepot.web.body import BodyBroken
from entrepot.web.http import Header, Request
from entrepot.web.responses import Response, json_response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.token import parameters
from entrepot.web.token.parameters import MAX_FORM_BYTES, FormInvalid, TokenForm, read_form, read_query

#: Tokens are credentials: nothing between us and the client may keep them (RFC 6749, section 5.1).
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_CLOSE: Final[Header] = (b"connection", b"close")
_BASIC: Final[Header] = (b"www-authenticate", b'Basic realm="entrepot"')
#: The whole form, which has a few hundred bytes, must have arrived after this time.
FORM_SECONDS: Final = 10.0
#: Types of token that an exchange takes and gives (RFC 8693, section 3).
_TOKEN_TYPES: Final = ("urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt")
_ISSUED: Final = "urn:ietf:params:oauth:token-type:access_token"
PATHS: Final = (TOKEN_PATH, "/service/token")


def token_routes(desk: TokenDesk) -> Mapping[str, Route]:
    """Return the routes of the token endpoint."""
    endpoint = TokenEndpoint(desk)
    route = Route("token", {"GET": endpoint.get, "POST": endpoint.post})
    return dict.fromkeys(PATHS, route)


class _GrantInvalid(Exception):
    """The token that was sent for an exchange is worth nothing here (RFC 6749, section 5.2)."""


class TokenEndpoint:
    """Reads token requests and writes their answers."""

    def __init__(self, desk: TokenDesk, *, form_seconds: float = FORM_SECONDS) -> None:
        self._desk = desk
        self._form_seconds = form_seconds

    async def get(self, request: Request, services: Services) -> Response:  # noqa: ARG002 - a handler's signature
        """Answer a GET, with Basic credentials or anonymous (token specification, "Requesting a Token")."""
        wanted = read_query(
            request.query_values("service"), request.query_values("scope"), request.query("offline_token")
        )
        try:
            answer = await self._desk.by_header(
                request.header(b"authorization"),
                request.client,
                service=wanted.service,
                scopes=wanted.scopes,
                offline=wanted.offline,
            )
        except AccessRefused as refused:
            return _refused(refused)
        except ServiceUnknown:
            return _service_unknown()
        except TooManyScopes:
            return _bad_request("invalid_scope", f"without signing in, ask for {ANONYMOUS_SCOPES} scopes at most")
        document = _document(answer)
        return json_response(HTTPStatus.OK, {"token": answer.token.text, **document}, (_NO_STORE,))

    async def post(self, request: Request, services: Services) -> Response:  # noqa: ARG002 - a handler's signature
        """Answer a POST of a form (token specification, "OAuth2")."""
        try:
            body = await self._read(request)
        except BodyBroken as broken:
            refusal = _bad_request("invalid_request", str(broken))
            refusal.headers = (*refusal.headers, _CLOSE)
            return refusal
        try:
            form = read_form(request.header(b"content-type"), body)
            answer = await self._by_form(form, request.client)
        except FormInvalid as invalid:
            return _bad_request("invalid_request", str(invalid))
        except _GrantInvalid as invalid:
            return _bad_request("invalid_grant", str(invalid))
        except AccessRefused as refused:
            return _refused(refused)
        except ServiceUnknown:
            return _service_unknown()
        document = _document(answer) | {"scope": format_scopes(answer.token.scopes)}
        if form.outside_token:
            document |= {"token_type": "Bearer", "issued_token_type": _ISSUED}
        return json_response(HTTPStatus.OK, document, (_NO_STORE,))

    async def _read(self, request: Request) -> bytes:
        """Return the form; whoever has not signed in may not hold a place for as long as an upload may.

        Raises:
            BodyTooLarge: It has more than `MAX_FORM_BYTES`.
            RequestTimeout: It did not arrive in time.
        """
        try:
            async with asyncio.timeout(self._form_seconds):
                return await request.body.read(MAX_FORM_BYTES)
        except TimeoutError:
            raise RequestTimeout(f"The form did not arrive within {self._form_seconds:g} s; send it again.") from None

    async def _by_form(self, form: TokenForm, client: str) -> Answer:
        match form.grant_type:
            case "password":
                basic = Basic(form.username, form.password)
                return await self._desk.by_password(
                    basic, client, service=form.service, scopes=form.scopes, offline=form.offline
                )
            case "refresh_token":
                return await self._desk.by_refresh_token(
                    form.refresh_token, client, service=form.service, scopes=form.scopes
                )
            case parameters.TOKEN_EXCHANGE | parameters.JWT_BEARER:
                return await self._exchange(form, client)
        raise FormInvalid("grant_type must be password, refresh_token, or the exchange of a token (RFC 8693, RFC 7523)")

    async def _exchange(self, form: TokenForm, client: str) -> Answer:
        """Exchange an outside token; `client_id` names the robot that it speaks for."""
        if form.grant_type == parameters.TOKEN_EXCHANGE and form.outside_type not in _TOKEN_TYPES:
            raise FormInvalid(f"subject_token_type must be {' or '.join(_TOKEN_TYPES)}")
        if not form.outside_token or not form.client_id:
            raise FormInvalid("send the token as subject_token (or assertion), and the robot's name as client_id")
        try:
            return await self._desk.by_outside_token(
                form.client_id, form.outside_token, client, service=form.service, scopes=form.scopes
            )
        except AccessRefused as refused:
            raise _GrantInvalid(refused.message) from None


def _document(answer: Answer) -> dict[str, Any]:
    issued = datetime.fromtimestamp(answer.token.issued_at, UTC).isoformat().replace("+00:00", "Z")
    document: dict[str, Any] = {
        "access_token": answer.token.text,
        "expires_in": answer.token.expires_in,
        "issued_at": issued,
    }
    if answer.refresh_token is not None:
        document["refresh_token"] = answer.refresh_token
    return document


def _refused(refused: AccessRefused) -> Response:
    body = {"errors": [{"code": refused.code.value, "message": refused.message}]}
    return json_response(HTTPStatus.UNAUTHORIZED, body, (_BASIC, _NO_STORE))


def _service_unknown() -> Response:
    return _bad_request("invalid_target", "this endpoint has no tokens for that service; use the one of the challenge")


def _bad_request(error: str, message: str) -> Response:
    """Say it in both languages: OAuth's for token clients, the registry's for the rest."""
    body = {
        "error": error,
        "error_description": message,
        "errors": [{"code": ErrorCode.UNSUPPORTED.value, "message": message}],
    }
    return json_response(HTTPStatus.BAD_REQUEST, body, (_NO_STORE,))
