"""Names and groups, found in what providers answer: dots lead into objects, braces are filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_FIELD: Final = re.compile(r"\{([^{}]+)\}")


def at(document: object, path: str) -> object:
    """Return what is at a path, `a.b.c`; None when nothing is. A name with dots in it is found, too."""
    if not path:
        return document
    if not isinstance(document, Mapping):
        return None
    if path in document:
        return document[path]
    first, _, rest = path.partition(".")
    return at(document[first], rest) if rest and first in document else None


def text_at(document: object, path: str) -> str:
    """Return the text or number at a path; empty when there is none."""
    value = at(document, path)
    if isinstance(value, bool):
        return ""
    return str(value) if isinstance(value, str | int) else ""


def filled(template: str, document: object) -> str:
    """Fill `{path}` in; empty when a field is missing, since half a name is another name."""
    found = {path: text_at(document, path) for path in _FIELD.findall(template)}
    if not all(found.values()):
        return ""
    return _FIELD.sub(lambda field: found[field[1]], template)


def groups_at(document: object, path: str) -> Iterator[str]:
    """List the groups at a path: texts, or objects with a `name`; one text is one group."""
    value = at(document, path) if path else None
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
            yield entry["name"]
