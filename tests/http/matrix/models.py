"""The fields that the API's models have, and bodies with one more of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.http.matrix.requests import Sent

#: Names that Harbor's models have and ours do not.
HARBORS: Final = (
    "has_admin_role",
    "role",
    "salt",
    "reset_uuid",
    "password_version",
    "oidc_user_meta",
    "is_admin",
    "admin",
    "epoch",
)
_STRINGS: Final = {"date-time": "2099-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Models:
    """The API's own description of its bodies."""

    document: Mapping[str, Any]

    def fields(self) -> list[str]:
        """List the name of every field that any model has, and Harbor's."""
        schemas = self.document["components"]["schemas"].values()
        return sorted({*HARBORS, *(name for schema in schemas for name in schema.get("properties", {}))})

    def own(self, method: str, path: str) -> Mapping[str, Any]:
        """Return the fields that a route's body is documented with; none where it is an object of any names."""
        body = self.document["paths"].get(path, {}).get(method.lower(), {}).get("requestBody")
        if body is None:
            return {}
        properties: Mapping[str, Any] = self._resolved(body["content"]["application/json"]["schema"]).get(
            "properties", {}
        )
        return properties

    def value(self, method: str, path: str, field: str) -> object:
        """Return a value for a field: of the form that the route wants, or one that others take for a privilege."""
        schema = self.own(method, path).get(field)
        return 1 if schema is None else self._value(self._resolved(schema))

    def _value(self, schema: Mapping[str, Any]) -> object:
        match schema.get("type"):
            case "boolean":
                return True
            case "integer" | "number":
                return max(1, schema.get("minimum", 1))
            case "string":
                return next(iter(schema.get("enum", ())), _STRINGS.get(schema.get("format", ""), "admin"))
            case "array":
                return []
        return {}

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references, and take the first of what is possible."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._resolved(self.document["components"]["schemas"][name])
        return self._resolved(schema["anyOf"][0]) if "anyOf" in schema else schema


def with_fields(sent: Sent, fields: Mapping[str, object]) -> Sent:
    """Return a request whose body has more fields; those that it has already stay."""
    body = json.loads(sent.body or b"{}")
    headers = {**sent.headers, "Content-Type": "application/json"}
    return replace(sent, body=json.dumps({**fields, **body}).encode(), headers=headers)


def names_in(sent: Sent) -> Iterator[str]:
    """Yield the fields of a request's body."""
    yield from json.loads(sent.body or b"{}")
