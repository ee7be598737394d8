"""From an error to an answer: the one place that knows HTTP status codes of errors.

Every error is answered in the form of the distribution specification, `{"errors":[{"code","message","detail"}]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from entrepot.metadata.errors import AnotherHost, DatabaseFull, DatabaseUnavailable
from entrepot.oci import errors as oci
from entrepot.oci.errors import ErrorCode, RegistryError
from entrepot.web.body import BodyBroken, BodyTooLarge
from entrepot.web.distribution import locations
from entrepot.web.distribution.challenge import challenge_headers
from entrepot.web.http import Header, Request
from entrepot.web.responses import NO_STORE, BytesResponse, json_response
from entrepot.web.router import PathMoved, PathUnknown
from entrepot.web.services import Services

STATUS_BY_CODE: Final[Mapping[ErrorCode, HTTPStatus]] = {
    ErrorCode.BLOB_UNKNOWN: HTTPStatus.NOT_FOUND,
    ErrorCode.BLOB_UPLOAD_INVALID: HTTPStatus.NOT_FOUND,
    ErrorCode.BLOB_UPLOAD_UNKNOWN: HTTPStatus.NOT_FOUND,
    ErrorCode.DIGEST_INVALID: HTTPStatus.BAD_REQUEST,
    ErrorCode.MANIFEST_BLOB_UNKNOWN: HTTPStatus.BAD_REQUEST,
    ErrorCode.MANIFEST_INVALID: HTTPStatus.BAD_REQUEST,
    ErrorCode.MANIFEST_UNKNOWN: HTTPStatus.NOT_FOUND,
    ErrorCode.MANIFEST_UNVERIFIED: HTTPStatus.BAD_REQUEST,
    ErrorCode.NAME_INVALID: HTTPStatus.BAD_REQUEST,
    ErrorCode.NAME_UNKNOWN: HTTPStatus.NOT_FOUND,
    ErrorCode.PAGINATION_NUMBER_INVALID: HTTPStatus.BAD_REQUEST,
    ErrorCode.RANGE_INVALID: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    ErrorCode.SIZE_INVALID: HTTPStatus.BAD_REQUEST,
    ErrorCode.TAG_INVALID: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.DENIED: HTTPStatus.FORBIDDEN,
    ErrorCode.UNSUPPORTED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.TOOMANYREQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
}

#: Facts whose status says more than their code's.
STATUS_BY_CLASS: Final[Mapping[type[RegistryError], HTTPStatus]] = {
    oci.ManifestTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    oci.InsufficientStorage: HTTPStatus.INSUFFICIENT_STORAGE,
    oci.RequestTimeout: HTTPStatus.REQUEST_TIMEOUT,
    oci.HeaderTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    oci.UriTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    oci.HostInvalid: HTTPStatus.BAD_REQUEST,
}

#: After these the rest of the request's body is not read, so the connection cannot carry another request.
_CLOSING: Final = (oci.RequestTimeout, oci.SizeInvalid, oci.HostInvalid, BodyTooLarge, BodyBroken)
_MAX_DETAILS: Final = 100
_RETRY_SECONDS: Final = 5


def status_of(kind: type[RegistryError]) -> HTTPStatus:
    """Return the status of an error."""
    return STATUS_BY_CLASS.get(kind) or STATUS_BY_CODE[kind.code]


def render_error(error: Exception, request: Request, services: Services) -> BytesResponse:
    """Return the answer for anything that a handler raised; of the unexpected, nothing but that it happened."""
    if isinstance(error, PathMoved):
        return BytesResponse(HTTPStatus.MOVED_PERMANENTLY.value, (_moved(error, request),), b"")
    if isinstance(error, RegistryError):
        status, body = status_of(type(error)), _bodies(error)
    else:
        status, body = _foreign(error)
    return json_response(status.value, {"errors": body}, _headers(error, status, request, services))


def _moved(moved: PathMoved, request: Request) -> Header:
    query = request.scope["query_string"]
    return (b"location", moved.path.encode() + (b"?" + query if query else b""))


def _foreign(error: Exception) -> tuple[HTTPStatus, list[dict[str, Any]]]:
    """Errors of other layers, in the protocol's words."""
    match error:
        case PathUnknown():
            message = "There is nothing at this path; the registry's API is at /v2/."
            return HTTPStatus.NOT_FOUND, [_body(ErrorCode.NAME_UNKNOWN, message)]
        case BodyBroken():
            return HTTPStatus.BAD_REQUEST, [_body(ErrorCode.SIZE_INVALID, str(error))]
        case BodyTooLarge():
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [_body(ErrorCode.SIZE_INVALID, str(error))]
        case DatabaseFull():
            return status_of(oci.InsufficientStorage), _bodies(oci.InsufficientStorage())
        case DatabaseUnavailable() | AnotherHost():
            return status_of(oci.Unavailable), _bodies(oci.Unavailable())
    message = "An unexpected error happened; the registry's log has it under this answer's X-Request-Id."
    return HTTPStatus.INTERNAL_SERVER_ERROR, [_body(ErrorCode.UNKNOWN, message)]


def _bodies(error: RegistryError) -> list[dict[str, Any]]:
    # registry:2 tells one error for each missing blob, and clients print them one by one.
    if isinstance(error.detail, list) and isinstance(error, oci.ManifestBlobUnknown):
        return [_body(error.code, error.message, detail) for detail in error.detail[:_MAX_DETAILS]]
    return [_body(error.code, error.message, error.detail)]


def _body(code: ErrorCode, message: str, detail: object = None) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code.value, "message": message}
    if detail is not None:
        body["detail"] = detail
    return body


def _headers(error: Exception, status: HTTPStatus, request: Request, services: Services) -> list[Header]:
    headers = [NO_STORE]  # what is not there may be there the next time
    match error:
        case oci.Unauthorized():
            headers += challenge_headers(error, request, services)
        case oci.UploadRangeInvalid(offset=int(offset)) if request.name and request.target:
            headers += [upload_range(offset), locations.upload(request, services, request.name, request.target, offset)]
        case oci.BlobRangeInvalid():
            headers += [(b"content-range", b"bytes */%d" % error.size)]
        case oci.TooManyRequests() | oci.Unavailable():
            headers += [(b"retry-after", b"%d" % error.retry_after)]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers += [(b"allow", _allowed_methods(request))]
    if status == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, oci.Unavailable):
        headers += [(b"retry-after", b"%d" % _RETRY_SECONDS)]
    if isinstance(error, _CLOSING) and request.scope.get("http_version", "1.1").startswith("1"):
        headers.append((b"connection", b"close"))
    return headers


def _allowed_methods(request: Request) -> bytes:
    """A method that is switched off is not allowed either, hence not listed."""
    refused = request.method.encode("latin-1")
    return b", ".join(method for method in request.allow.split(b", ") if method != refused)


def upload_range(offset: int) -> Header:
    """Return the Range header that tells how far an upload has come; `0-0` for nothing, as registry:2 writes it."""
    return (b"range", b"0-%d" % max(offset - 1, 0))
