"""The API's own documentation is complete: every operation with its parameters, bodies, answers and refusals shown."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request

from entrepot.web.api.examples import NoExample
from entrepot.web.api.openapi import Document, Told, documented
from tests.support.api import BASE
from tests.support.app import App, AppOptions, open_app

JSON = "application/json"
#: What answers even those who are refused everywhere else.
OPEN = {"getPing", "getHealth"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Read the document once, for all tests, on a loop of its own."""

    async def read() -> Document:
        async with open_app(tmp_path_factory.mktemp("api"), AppOptions(signed_in=True)) as app:
            found: Document = (await app.client().get(f"{BASE}/openapi.json")).json()
            return found

    with asyncio.Runner() as runner:
        return runner.run(read())


async def test_making_the_document_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds, and anybody may ask for it: it is made once, in a thread, however many ask at once."""
    made, threads = FastAPI(), list[int]()
    monkeypatch.setattr(made, "openapi", lambda: threads.append(threading.get_ident()) or {"openapi": "3.1.0"})
    told = Told(made)
    answers = await asyncio.gather(*(told.answer(Request({"type": "http"})) for _ in range(3)))
    assert {bytes(answer.body) for answer in answers} == {b'{"openapi":"3.1.0"}'}
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


class Thing(BaseModel):
    """A shape that gives no example."""

    size: int


async def test_a_route_without_an_example_is_named() -> None:
    """The document cannot be made then, and whoever added the route reads which it is."""
    app, router = FastAPI(), APIRouter()

    async def things() -> Thing:
        return Thing(size=1)

    router.add_api_route("/things", things)
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    app.include_router(router, prefix=BASE)
    with pytest.raises(NoExample, match=r"^GET /api/v2.0/things: Thing.size: give it an example"):
        documented(app, routes, title="", description="", prefix="")()


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield path, method and description of every operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: Document, value: Document) -> Document:
    """Follow a reference."""
    if "$ref" not in value:
        return value
    found = document
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolved(document, found)


def contents(document: Document, operation: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield every body of an operation: where it is, its media type, its schema and example."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", media_type, content
    for status, answer in operation["responses"].items():
        for media_type, content in resolved(document, answer).get("content", {}).items():
            yield status, media_type, content


def fits(document: Document, schema: Any, example: Any) -> None:
    """Fail unless an example is one of its schema."""
    whole = {**schema, "components": document["components"]} if isinstance(schema, dict) else schema
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)


def test_every_operation_says_what_it_does(document: Document) -> None:
    """Each has a name of its own, a sentence and a noun; there are as many as there are routes."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) > 100
    for path, method, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"].endswith("."), (method, path, operation["description"])
        assert operation["tags"], (method, path)


def test_every_parameter_has_an_example_that_fits(document: Document) -> None:
    """Readers and tools need not guess what a parameter looks like."""
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            place = (method, path, parameter["name"])
            assert "example" in parameter, place
            assert parameter.get("description"), place
            fits(document, parameter["schema"], parameter["example"])


def test_every_body_has_an_example_that_fits(document: Document) -> None:
    """Requests, answers and refusals alike."""
    for path, method, operation in operations(document):
        for where, media_type, content in contents(document, operation):
            assert "example" in content, (method, path, where)
            if media_type == JSON:
                try:
                    fits(document, content["schema"], content["example"])
                except jsonschema_rs.ValidationError as error:
                    pytest.fail(f"{method} {path} {where}: {error.message} at {list(error.instance_path)}")


def test_every_operation_tells_its_refusals(document: Document) -> None:
    """Those that every request can meet, and those that follow from what it takes."""
    for path, method, operation in operations(document):
        told = operation["responses"].keys()
        wanted = {"429", "500", "503"}
        wanted |= set() if operation["operationId"] in OPEN else {"401", "403"}
        wanted |= {"404"} if "{" in path else set()
        wanted |= {"400", "413", "415", "422"} if "requestBody" in operation else set()
        assert wanted <= told, (method, path, wanted - told)
        for status in told - {"200", "201", "204"}:
            refusal = resolved(document, operation["responses"][status])
            assert refusal["description"], (method, path, status)
            assert method == "head" or "example" in refusal["content"][JSON], (method, path, status)


def test_what_is_made_says_where_it_is(document: Document) -> None:
    """Every 201 has a Location or the thing itself, every list its length and its neighbours."""
    for path, method, operation in operations(document):
        made = operation["responses"].get("201")
        if made is not None:
            assert "Location" in made["headers"] or "content" in made, (method, path)
        if any(parameter["name"] == "page" for parameter in operation.get("parameters", [])):
            assert {"X-Total-Count", "Link", "X-Request-Id"} <= operation["responses"]["200"]["headers"].keys(), path


def test_the_bounds_of_numbers_are_whole(document: Document) -> None:
    """A bound of 64 bits written as a float would let numbers through that are refused."""
    text = json.dumps(document)
    assert '"exclusiveMaximum": 9223372036854775808' in text
    assert "e+18" not in text


async def test_an_undocumented_method_names_the_documented_ones(app: App, document: Document) -> None:
    """405 lists all methods of a path, whichever route they belong to."""
    for path, methods in document["paths"].items():
        sent = path.replace("{", "").replace("}", "")
        sent = sent.replace("user_id", "1").replace("group_id", "1")
        answer = await app.client().request("OPTIONS", sent)
        assert answer.status == 405, path
        assert answer["Allow"] == ", ".join(sorted(method.upper() for method in methods)), path
