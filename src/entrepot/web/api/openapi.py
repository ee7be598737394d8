"""The API's own documentation: what FastAPI writes of each route, with the refusals, headers and examples of all.

FastAPI knows parameters, bodies and answers from the types of handlers. What it cannot know follows from rules that
hold for every route: which refusals there are, which headers come with them, and what things look like.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from entrepot.web.api.caller import caller_changing_password, caller_of, caller_setting_up
from entrepot.web.api.examples import NoExample, example_of
from entrepot.web.api.locations import BASE
from entrepot.web.api.refusals import REFUSALS, Errors

Document = dict[str, Any]

_JSON: Final = "application/json"
_UNSAFE: Final = frozenset(("post", "put", "patch", "delete"))
_EVERY: Final = (429, 431, 500, 503)
_OF_BODY: Final = (400, 408, 413, 415, 422)
_WHOLE: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}
_SECURITY: Final[Document] = {
    "basic": {"type": "http", "scheme": "basic", "description": "Name and password, or a key or robot's secret."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a token of `GET /token`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-sid",
        "description": "A browser's session; what changes something needs `X-Harbor-CSRF-Token` as well.",
    },
}
#: Headers of answers: by status, what they are; `*` comes with all of them.
_HEADERS: Final[Mapping[str, Mapping[str, Document]]] = {
    "*": {"X-Request-Id": {"description": "Names the request in the registry's log.", "schema": _TEXT}},
    "401": {"WWW-Authenticate": {"description": "How to sign in; not told to pages in a browser.", "schema": _TEXT}},
    "405": {"Allow": {"description": "The methods that there are.", "schema": _TEXT}},
    "429": {"Retry-After": {"description": "After how many seconds to try again.", "schema": _WHOLE}},
    "503": {"Retry-After": {"description": "After how many seconds to try again.", "schema": _WHOLE}},
}


def documented(
    app: FastAPI, routes: Sequence[APIRoute], *, title: str, description: str, prefix: str
) -> Callable[[], Document]:
    """Return what makes the document when it is first asked for; `routes` are those of the API, without its base.

    What is returned raises `NoExample`, with the operation's name, for a shape of which nobody says what it looks like.
    """

    def openapi() -> Document:
        if app.openapi_schema is None:
            made = get_openapi(title=title, version=app.version, description=description, routes=app.routes)
            app.openapi_schema = _completed(_whole_numbers(made), routes, prefix)
        return app.openapi_schema

    return openapi


class Told:
    """Answers with the document: made in a thread, as that takes seconds, and kept as it is sent."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._body: bytes | None = None
        self._making = asyncio.Lock()

    async def answer(self, _request: Request) -> Response:
        """Answer a request."""
        async with self._making:
            if self._body is None:
                self._body = await asyncio.to_thread(self._made)
        return Response(self._body, media_type=_JSON)

    def _made(self) -> bytes:
        return json.dumps(self._app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()


def _completed(document: Document, routes: Iterable[APIRoute], prefix: str) -> Document:
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = _SECURITY
    parts["responses"] = {_name(status): _refusal(status) for status in REFUSALS}
    schemas = parts.setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas |= _schemas_of_errors()
    document["security"] = [{name: []} for name in _SECURITY] + [{}]
    document["servers"] = [{"url": prefix or "/"}]
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    known = {(method.lower(), BASE + route.path_format): route for route in routes for method in route.methods or ()}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            try:
                _complete(operation, method, known[method, path], schemas)
            except NoExample as error:
                raise NoExample(f"{method.upper()} {path}: {error}") from None
        if any(map(_is_conditional, methods.values())):
            _tell_states(methods)
    return document


def _is_conditional(operation: Document) -> bool:
    return any(parameter["name"].lower() == "if-match" for parameter in operation.get("parameters", ()))


def _tell_states(methods: Document) -> None:
    """Say that reading and changing a thing names its state."""
    for method in methods.keys() & {"get", "put"}:
        methods[method]["responses"]["200"]["headers"]["ETag"] = {
            "description": "The state that it has now, for If-Match.",
            "schema": _TEXT,
        }


def _complete(operation: Document, method: str, route: APIRoute, schemas: Document) -> None:
    """Add to one operation what follows from the rules."""
    own = operation["responses"]
    own.pop("422", None)
    for status in (*own, *map(str, _refused(operation, method, route))):
        if int(status) >= 400 and "content" not in own.get(status, {}):  # noqa: PLR2004 - a refusal
            own[status] = _told(int(status), method)
    operation["responses"] = dict(sorted(own.items()))
    for status, answer in own.items():
        if "$ref" not in answer:
            _complete_answer(answer, method, status, schemas)
    for parameter in operation.get("parameters", ()):
        _complete_parameter(parameter)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        _exemplify(content, schemas)


def _told(status: int, method: str) -> Document:
    """Return how a refusal is told; that of a HEAD has no body."""
    if method == "head":
        return {"description": REFUSALS[status].description}
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _refused(operation: Document, method: str, route: APIRoute) -> Iterator[int]:
    """Yield the refusals that follow from what an operation takes and does."""
    yield from _EVERY
    if _signs_in(route.dependant):
        yield from (401, 403)
    if operation.get("parameters"):
        yield from (400, 414, 422)
    if "requestBody" in operation:
        yield from _OF_BODY
    if "{" in route.path_format:
        yield 404
    if _is_conditional(operation):
        yield 412
    if method in _UNSAFE:
        yield 507


def _signs_in(dependant: Dependant) -> bool:
    if dependant.call in (caller_of, caller_setting_up, caller_changing_password):
        return True
    return any(map(_signs_in, dependant.dependencies))


def _complete_answer(answer: Document, method: str, status: str, schemas: Document) -> None:
    content = answer.get("content", {})
    if method == "head" or content.get(_JSON, {}).get("schema") == {}:
        # `{}` is what FastAPI writes of handlers that return an answer of their own, here without a body, or nothing.
        answer.pop("content", None)
    elif _JSON in content:
        _exemplify(content[_JSON], schemas)
    answer["headers"] = {**answer.get("headers", {}), **_HEADERS["*"]}
    if status == "201" and "content" not in answer:
        answer["headers"].setdefault("Location", {"description": "Where it is.", "schema": _TEXT})


def _exemplify(content: Document, schemas: Document) -> None:
    if "example" not in content:
        content["example"] = example_of(content["schema"], schemas)


def _complete_parameter(parameter: Document) -> None:
    """Move what parameters look like from their schema to where readers look for it."""
    schema = parameter["schema"]
    given = schema.pop("examples", None)
    if given:
        parameter["example"] = given[0]
    elif "default" in schema:
        parameter["example"] = schema["default"]
    elif "enum" in schema:
        parameter["example"] = schema["enum"][0]


def _refusal(status: int) -> Document:
    refusal = REFUSALS[status]
    example = {"errors": [{"code": refusal.code, "message": refusal.message}]}
    schema = {"$ref": "#/components/schemas/Errors"}
    return {
        "description": refusal.description,
        "headers": {**_HEADERS["*"], **_HEADERS.get(str(status), {})},
        "content": {_JSON: {"schema": schema, "example": example}},
    }


def _name(status: int) -> str:
    return f"Refused{status}"


def _schemas_of_errors() -> Document:
    made = Errors.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**made.pop("$defs"), "Errors": made}


def _whole_numbers(value: Any) -> Any:
    """Return a document in which whole numbers are written as such: the bounds of 64 bits are no floats."""
    match value:
        case dict():
            return {key: _whole_numbers(each) for key, each in value.items()}
        case list():
            return [_whole_numbers(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value
