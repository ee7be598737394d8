"""What the request of a row is, and which kinds of objects a route can be asked about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from tests.http.matrix.asks import ASKS, EVERY, FORM, JSON, Ask
from tests.http.matrix.cells import Row
from tests.http.matrix.things import CHILDREN, CROSSABLE, Ids

_PROJECT: Final = frozenset(("project_name_or_id", "project_name", "project", "project_id", "name", "retention_id"))
_PLACEHOLDER: Final = re.compile(r"[{<](\w+)[}>]")
#: What the other names of paths can stand for.
_OBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("label_id", "robot_id", "grant_id"), (*EVERY, "system")),
    "quota_id": EVERY,
    "node_name": ("system", "missing"),
    "trash_id": EVERY,
    "security_key_id": ("other", "missing"),
    "group_id": ("system", "missing"),
    "role_id": ("system", "builtin", "missing"),
    "key_id": ("self", "other", "missing", "absent", "crossed"),
    **dict.fromkeys(("user", "user_id", "session_id"), ("self", "other", "missing")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it is sent."""

    method: str
    target: str
    body: bytes | None
    headers: dict[str, str]


def objects_of(method: str, path: str) -> tuple[str, ...]:
    """Return the kinds of objects that a route can be asked about."""
    ask = ASKS.get(f"{method} {path}", Ask())
    return ask.objects or _objects(_names(path, ask.query_of(""), ask.body_of("")))


def _objects(names: list[str]) -> tuple[str, ...]:
    """Return what the first of the names that lead to objects can stand for."""
    children = [name for name in names if name in CHILDREN]
    if _PROJECT & set(names):
        absent = ("absent",) if children else ()
        return (*EVERY, *absent, *(("crossed",) if set(children) & set(CROSSABLE) else ()))
    return next((things for leading, things in _OBJECTS.items() if leading in names), ("-",))


def _names(*texts: str) -> list[str]:
    return [name for text in texts for name in _PLACEHOLDER.findall(text)]


def names_of(row: Row) -> list[str]:
    """Return the names in a row's request, those of the path first."""
    ask = ASKS.get(f"{row.method} {row.path}", Ask())
    return _names(ask.path_of(row.path), ask.query_of(row.object), ask.body_of(row.object))


def request_of(row: Row, ids: Ids) -> Sent:
    """Return the request of a row."""
    ask = ASKS.get(f"{row.method} {row.path}", Ask())
    known = {**ids, **ask.ids}
    query, body = ask.query_of(row.object), ask.body_of(row.object)
    in_form = {name: quote(value, safe="") for name, value in known.items()}
    written = _filled(body, in_form if ask.content_type == FORM else known, row)
    return Sent(
        method=row.method,
        target=_filled(ask.path_of(row.path), known, row) + _filled(query, known, row),
        body=written.encode() if written else None,
        headers={"Content-Type": ask.content_type} if written or ask.content_type != JSON else {},
    )


def _filled(text: str, ids: Mapping[str, str], row: Row) -> str:
    def put(match: re.Match[str]) -> str:
        assert match[1] in ids, f"{row}: tell the matrix what {match[1]} is (tests/http/matrix/things.py)"
        return ids[match[1]]

    return _PLACEHOLDER.sub(put, text)
