"""What an artifact's configuration says of it: an image's platform, author, settings and how it was built."""

from __future__ import annotations

import json
from collections.abc import Mapping

from entrepot.oci.strict_json import JsonInvalid, loads
from entrepot.projects.contents.kinds import IMAGE, UNKNOWN

#: Labels that name an image's author, where its own field is empty.
_AUTHOR_LABELS = ("org.opencontainers.image.authors", "maintainer")


def attributes(kind: str, config: bytes | None) -> dict[str, object]:
    """Return what lists show: of an image a choice, of other known kinds the whole configuration."""
    fields = _fields(config)
    if fields is None or kind == UNKNOWN:
        return {}
    return _of_image(fields) if kind == IMAGE else fields


def build_history(config: bytes | None) -> bytes | None:
    """Return the steps in which an image was built, as JSON; None when the configuration cannot be read."""
    fields = _fields(config)
    if fields is None:
        return None
    history = fields.get("history")
    return json.dumps(history if isinstance(history, list) else []).encode()


def chart_dependencies(config: bytes | None) -> list[object]:
    """Return the charts that a chart needs, by its own word."""
    fields = _fields(config) or {}
    found = fields.get("dependencies")
    return found if isinstance(found, list) else []


def _fields(config: bytes | None) -> dict[str, object] | None:
    if config is None:
        return None
    try:
        value = loads(config)
    except JsonInvalid:
        return None
    return value if isinstance(value, dict) else None


def _of_image(fields: Mapping[str, object]) -> dict[str, object]:
    found = {name: fields.get(name) for name in ("created", "architecture", "os")}
    settings = fields.get("config")
    settings = settings if isinstance(settings, dict) else {}
    return {**found, "config": settings, "author": _author(fields, settings)}


def _author(fields: Mapping[str, object], settings: Mapping[str, object]) -> str:
    labels = settings.get("Labels")
    named = [labels.get(name) for name in _AUTHOR_LABELS] if isinstance(labels, dict) else []
    return next((name for name in (fields.get("author"), *named) if isinstance(name, str) and name), "")
