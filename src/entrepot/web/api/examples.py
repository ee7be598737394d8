"""Examples for the documentation, made of those that the shapes themselves give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


class NoExample(Exception):
    """A shape says of no value that it may have; the message names where."""


def looks_like(example: Any) -> dict[int | str, dict[str, Any]]:
    """Return, for the documentation of a route, what its answer looks like where the shape does not say."""
    return {200: {"content": {"application/json": {"example": example}}}}


def example_of(schema: Schema, shapes: Schema, place: str = "") -> Any:
    """Return a value of a schema: its own example, or one made of its parts' examples.

    Args:
        schema: Of which there shall be an example.
        shapes: What `#/components/schemas/…` stands for.
        place: Where the schema stands, for the message.

    Raises:
        NoExample: A part has none, and no default.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return example_of(shapes[name], shapes, name)
    for key in ("example", "const", "default"):
        if key in schema:
            return _with_nulls(schema, schema[key])
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    return _composed(schema, shapes, place)


def _composed(schema: Schema, shapes: Schema, place: str) -> Any:
    for each in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        return example_of(each, shapes, place)
    match schema.get("type"):
        case "array":
            return [example_of(schema["items"], shapes, place)]
        case "object" if "properties" in schema:
            made = {
                name: example_of(each, shapes, f"{place}.{name}")
                for name, each in schema["properties"].items()
                if name in schema.get("required", ()) and not _may_be_null(each)
            }
            return _with_nulls(schema, made)
        case "null":
            return None
    raise NoExample(f"{place or schema}: give it an example")


def _with_nulls(schema: Schema, example: Any) -> Any:
    """Put the nulls into an example that FastAPI leaves out when it writes the document."""
    if not isinstance(example, dict):
        return example
    parts = schema.get("properties", {})
    missing = (name for name in schema.get("required", ()) if name not in example and _may_be_null(parts[name]))
    return {**example, **dict.fromkeys(missing)}


def _may_be_null(schema: Schema) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())
