"""Filters (RFC 4515), put together so that nobody's name can be more than a value."""

from __future__ import annotations

from collections.abc import Iterable

_ESCAPED = {letter: f"\\{ord(letter):02x}" for letter in "\\*()\0"}


def escape(value: str) -> str:
    """Make a value safe to stand in a filter (RFC 4515, section 3)."""
    return "".join(_ESCAPED.get(letter, letter) for letter in value)


def equals(attribute: str, value: str) -> str:
    """Ask for one value of an attribute."""
    return f"({attribute}={escape(value)})"


def begins(attribute: str, value: str) -> str:
    """Ask for values that begin with a text; any value for the empty text."""
    return f"({attribute}={escape(value)}*)"


def all_of(*filters: str) -> str:
    """Ask for entries that every filter fits; empty ones say nothing."""
    return _joined("&", filters)


def any_of(filters: Iterable[str]) -> str:
    """Ask for entries that one of the filters fits."""
    return _joined("|", filters)


def _joined(sign: str, filters: Iterable[str]) -> str:
    given = [text for text in filters if text]
    return given[0] if len(given) == 1 else f"({sign}{''.join(given)})"
