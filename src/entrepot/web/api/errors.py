"""From faults to answers, in Harbor's form: `{"errors":[{"code","message"}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from entrepot.access import faults
from entrepot.metadata.errors import AnotherHost, DatabaseFull, DatabaseUnavailable, TookTooLong
from entrepot.metadata.filtering import FieldUnknown
from entrepot.oci import errors as oci
from entrepot.web.api.refusals import code_of
from entrepot.web.api.route_table import RouteTable
from entrepot.web.body import BodyBroken, BodyTooLarge
from entrepot.web.distribution.errors import status_of

_RETRY_SECONDS: Final = 5
_SHOWN: Final = 10
_BASIC: Final = 'Basic realm="entrepot"'


class UnsupportedBody(Exception):
    """The body is of a type that the API does not read."""

    def __init__(self) -> None:
        super().__init__("send the body as JSON, with Content-Type: application/json")


_FAULTS: Final[Mapping[type[Exception], HTTPStatus]] = {
    faults.NotFound: HTTPStatus.NOT_FOUND,
    faults.Conflict: HTTPStatus.CONFLICT,
    faults.Invalid: HTTPStatus.BAD_REQUEST,
    faults.Forbidden: HTTPStatus.FORBIDDEN,
    faults.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    FieldUnknown: HTTPStatus.BAD_REQUEST,
    UnsupportedBody: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    TookTooLong: HTTPStatus.SERVICE_UNAVAILABLE,
    BodyBroken: HTTPStatus.BAD_REQUEST,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}

#: Where Harbor answers otherwise than the registry API does.
_STATUSES: Final[Mapping[type[oci.RegistryError], HTTPStatus]] = {oci.TagImmutable: HTTPStatus.PRECONDITION_FAILED}


def install(app: FastAPI) -> None:
    """Answer all that handlers raise, and what FastAPI itself finds wrong, in our form."""
    for kind in (faults.Fault, oci.RegistryError, FieldUnknown, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handler)


async def _handler(request: Request, error: Exception) -> JSONResponse:
    return render(error, request)


def render(error: Exception, request: Request) -> JSONResponse:
    """Return the answer for anything that was raised; of the unexpected, nothing but that it happened."""
    status, messages, headers = _described(error)
    if status == HTTPStatus.UNAUTHORIZED and _is_program(request):
        headers["www-authenticate"] = _BASIC
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_table(request).methods(request.scope["path"])))
    body = {"errors": [{"code": code_of(status), "message": message} for message in messages]}
    return JSONResponse(body, status, headers)


def _described(error: Exception) -> tuple[int, list[str], dict[str, str]]:
    """Return status, messages and headers for an error."""
    match error:
        case oci.RegistryError():
            return _STATUSES.get(type(error)) or status_of(type(error)), [error.message], _retry(error)
        case RequestValidationError():
            return HTTPStatus.UNPROCESSABLE_ENTITY, _validation(error), {}
        case HTTPException():
            return error.status_code, [_of_http(error)], dict(error.headers or {})
        case DatabaseFull():
            return _described(oci.InsufficientStorage())
        case DatabaseUnavailable() | AnotherHost():
            return _described(oci.Unavailable(_RETRY_SECONDS))
    return _plain(error)


def _plain(error: Exception) -> tuple[int, list[str], dict[str, str]]:
    for kind, status in _FAULTS.items():
        if isinstance(error, kind):
            return status, [str(error)], {}
    message = "an unexpected error happened; the registry's log has it under this answer's X-Request-Id"
    return HTTPStatus.INTERNAL_SERVER_ERROR, [message], {}


def _retry(error: oci.RegistryError) -> dict[str, str]:
    if isinstance(error, oci.TooManyRequests | oci.Unavailable):
        return {"retry-after": str(error.retry_after)}
    return {}


def _validation(error: RequestValidationError) -> list[str]:
    """Say where each mistake is; never what was sent, which may be a secret."""
    return [f"{_place(found['loc'])}: {found['msg']}" for found in error.errors()[:_SHOWN]]


def _place(path: tuple[Any, ...]) -> str:
    where, *names = path
    return ".".join(str(name)[: _SHOWN * 5] for name in names) + f" in {where}" if names else str(where)


def _of_http(error: HTTPException) -> str:
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return "there is nothing at this path; GET /api/v2.0/openapi.json lists what there is"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return "this resource does not have that method; the Allow header lists those it has"
    return str(error.detail)


def _table(request: Request) -> RouteTable:
    return cast("RouteTable", request.app.state.table)


def _is_program(request: Request) -> bool:
    """Tell whether the caller is no page in a browser, which would open a window of its own for the password."""
    return not {"cookie", "x-requested-with", "hx-request"} & set(request.headers.keys())
