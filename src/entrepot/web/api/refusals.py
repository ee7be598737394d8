"""The statuses that the API refuses with: what each means, what Harbor calls it, and how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, ConfigDict


class Error(BaseModel):
    """One thing that is wrong."""

    code: str
    message: str


class Errors(BaseModel):
    """What is wrong."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"errors": [{"code": "NOT_FOUND", "message": "there is no project demo"}]}}
    )

    errors: list[Error]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status: its code, when it comes, and a message that it may come with."""

    code: str
    description: str
    message: str


REFUSALS: Final[Mapping[int, Refusal]] = {
    400: Refusal(
        "BAD_REQUEST",
        "What is asked for cannot be, or it is written in a way that cannot be read.",
        "a label's name has 1 to 128 printable characters",
    ),
    401: Refusal("UNAUTHORIZED", "Nobody has signed in, or the credentials are wrong.", "sign in to do this"),
    403: Refusal(
        "FORBIDDEN",
        "The caller may not do this.",
        "you may not do this: no grant allows project:delete on project demo",
    ),
    404: Refusal(
        "NOT_FOUND",
        "There is no such thing, or the caller may not know of it.",
        "there is no project demo, or you may not see it",
    ),
    405: Refusal(
        "METHOD_NOT_ALLOWED",
        "The registry is set to do without this.",
        "the registry is read-only for now; try again later",
    ),
    408: Refusal("REQUEST_TIMEOUT", "The body came too slowly.", "the body did not arrive within 60 s; send it again"),
    409: Refusal(
        "CONFLICT",
        "It would clash with something that is there already.",
        "there is a project demo already; choose another name",
    ),
    412: Refusal(
        "PRECONDITION",
        "Something else has to be done first.",
        "project demo still has repositories; delete them first",
    ),
    413: Refusal(
        "REQUEST_ENTITY_TOO_LARGE",
        "The body is larger than any request of this API.",
        "the body has more than 1048576 bytes",
    ),
    414: Refusal(
        "UNSUPPORTED",
        "Path and query are too long.",
        "Path and query have 9000 bytes; at most 8192 are accepted.",
    ),
    415: Refusal(
        "UNSUPPORTED_MEDIA_TYPE",
        "The body is no JSON.",
        "send the body as JSON, with Content-Type: application/json",
    ),
    422: Refusal(
        "UNPROCESSABLE_ENTITY",
        "A parameter or the body is not of the form that this document asks for.",
        "page in query: Input should be greater than or equal to 1",
    ),
    429: Refusal(
        "TOO_MANY_REQUEST", "Too many requests or failed sign-ins from there.", "too many requests; try again in 30 s"
    ),
    431: Refusal(
        "UNSUPPORTED",
        "The headers are too large.",
        "The headers have 70000 bytes; at most 65536 are accepted.",
    ),
    500: Refusal(
        "UNKNOWN",
        "A fault of the registry; its log tells more.",
        "an unexpected error happened; the registry's log has it under this answer's X-Request-Id",
    ),
    502: Refusal(
        "BAD_GATEWAY", "Another service that had to be asked does not answer.", "https://id.example.org: no answer"
    ),
    503: Refusal(
        "SERVICE_UNAVAILABLE", "The database cannot be asked now.", "the database is not available; try again"
    ),
    507: Refusal("INSUFFICIENT_STORAGE", "The disk is full.", "no space left; nothing was changed"),
}


def code_of(status: int) -> str:
    """Return what a status is called in the bodies of errors."""
    known = REFUSALS.get(status)
    return known.code if known else HTTPStatus(status).name


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return, for the documentation of a route, refusals that are not every route's; the rest is filled in later."""
    return {status: {"description": REFUSALS[status].description} for status in statuses}
