"""Harbor's little language for lists: `q` says which entries, `sort` in which order.

    q=name=~dev,creation_time=[2026-01-01~],role={1 2}      sort=-creation_time,name

Exact `k=v`, contains `k=~v`, range `k=[low~high]` with either end left open, one of `k={a b}`, all of `k=(a b)`. Text
may be put in quotes where it holds a comma, a blank or a tilde.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from entrepot.access.faults import Invalid
from entrepot.metadata.clock import MICROSECONDS
from entrepot.metadata.filtering import Condition, Field, Kind, Match, Order, Value

_MAX_CONDITIONS: Final = 10
_MAX_VALUES: Final = 100
_MAX_LENGTH: Final = 4096
_MAX_NUMBER: Final = 2**63 - 1

_QUOTED: Final = r'"[^"]*"|\'[^\']*\''
_CONDITION: Final = re.compile(
    rf"\s*(?P<key>\w+)=(?P<value>(?:{_QUOTED}|\[[^\]]*\]|\{{[^}}]*\}}|\([^)]*\)|[^,])*)(?:,|\Z)"
)
_ITEM: Final = re.compile(rf"(?:{_QUOTED}|[^\s\"']+)")
_RANGE: Final = re.compile(rf"(?P<low>{_QUOTED}|[^~\"']*)~(?P<high>{_QUOTED}|[^~\"']*)")
_TIME_FORMS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")
_FLAGS: Final = {"true": 1, "1": 1, "false": 0, "0": 0}


def parse_query(text: str, fields: Mapping[str, Field]) -> tuple[Condition, ...]:
    """Read a `q`.

    Raises:
        Invalid: It is not of the form above, or names a field that the list does not have.
    """
    if len(text) > _MAX_LENGTH:
        raise Invalid(f"q has more than {_MAX_LENGTH} characters")
    if "%" in text:
        text = _unescaped(text)
    found: list[Condition] = []
    position = 0
    while position < len(text):
        match = _CONDITION.match(text, position)
        if match is None or len(found) == _MAX_CONDITIONS:
            raise Invalid(
                f"q cannot be read from {text[position:][:50]!a} on; write it as k=v,k=~v,k=[low~high],k={{a b}}"
            )
        found.append(_condition(match["key"], match["value"].strip(), fields))
        position = match.end()
    return tuple(found)


def _unescaped(text: str) -> str:
    """Undo a second escaping, as Harbor does: its command line and its pages send `k%3Dv` in a query's parameter.

    Raises:
        Invalid: The text holds the one character that PostgreSQL cannot be asked for.
    """
    plain = unquote(text)
    if "\0" in plain:
        raise Invalid("q holds the character NUL, which nothing here has in its name")
    return plain


def parse_sort(text: str, fields: Mapping[str, Field]) -> tuple[Order, ...]:
    """Read a `sort`: names of fields, with `-` before those that sort downwards.

    Raises:
        Invalid: It names a field that the list cannot be sorted by.
    """
    orders = [Order(part.lstrip("-"), part.startswith("-")) for part in map(str.strip, text.split(",")) if part]
    sortable = {name for name, field in fields.items() if field.within is None}
    for order in orders:
        if order.field not in sortable:
            raise Invalid(f"sort: there is no {order.field[:50]!a} to sort by; there are {', '.join(sorted(sortable))}")
    if len({order.field for order in orders}) != len(orders):
        raise Invalid("sort names a field twice")
    return tuple(orders)


def _condition(key: str, text: str, fields: Mapping[str, Field]) -> Condition:
    if key not in fields:
        raise Invalid(f"q: there is no field {key[:50]!a}; there are {', '.join(sorted(fields))}")
    kind = fields[key].kind
    if text.startswith("~"):
        return _contains(key, text[1:], kind)
    match text[:1], text[-1:]:
        case "[", "]":
            return Condition(field=key, match=Match.RANGE, values=_ends(key, text[1:-1], kind))
        case "{", "}":
            return Condition(field=key, match=Match.ANY, values=_items(key, text[1:-1], kind))
        case "(", ")":
            return Condition(field=key, match=Match.ALL, values=_items(key, text[1:-1], kind))
    return Condition(field=key, match=Match.EQUAL, values=(_value(key, text, kind),))


def _contains(key: str, text: str, kind: Kind) -> Condition:
    if kind is not Kind.TEXT:
        raise Invalid(f"q: {key} is no text, so =~ cannot be asked of it")
    return Condition(field=key, match=Match.CONTAINS, values=(_plain(text),))


def _ends(key: str, text: str, kind: Kind) -> tuple[Value, Value]:
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise Invalid(f"q: write the range of {key} as [low~high]")
    low, high = (match[end].strip() for end in ("low", "high"))
    if not low and not high:
        raise Invalid(f"q: the range of {key} has neither end")
    return (_value(key, low, kind) if low else None), (_value(key, high, kind) if high else None)


def _items(key: str, text: str, kind: Kind) -> tuple[Value, ...]:
    items = _ITEM.findall(text)
    if not 0 < len(items) <= _MAX_VALUES:
        raise Invalid(f"q: give {key} 1 to {_MAX_VALUES} values, separated by blanks")
    return tuple(_value(key, item, kind) for item in items)


def _value(key: str, text: str, kind: Kind) -> Value:
    plain = _plain(text)
    match kind:
        case Kind.TEXT:
            return plain
        case Kind.NUMBER:
            return _number(key, plain)
        case Kind.TIME:
            return _time(key, plain)
    if plain.lower() not in _FLAGS:
        raise Invalid(f"q: {key} is true or false")
    return _FLAGS[plain.lower()]


def _number(key: str, text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,19}", text) is None or abs(number := int(text)) > _MAX_NUMBER:
        raise Invalid(f"q: {key} is a whole number")
    return number


def _time(key: str, text: str) -> int:
    """Read a time in UTC, as Harbor writes it: in seconds, or whole days."""
    for form in _TIME_FORMS:
        try:
            moment = datetime.strptime(text.removesuffix("Z"), form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return int(moment.timestamp()) * MICROSECONDS
    raise Invalid(f'q: {key} is a time; write it as "2026-04-09 02:36:00"')


def _plain(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
