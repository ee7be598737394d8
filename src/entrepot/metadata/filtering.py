"""Lists that people filter, sort and page through: statements built from an allow-list of fields.

A list is described once, as a constant of its module:

    FIELDS = {"name": Field(column=projects.c.name)}
    LISTING = Listing("projects", select(...), FIELDS, order=(Order("name"),), key=projects.c.id)

What a caller asks for is a `Selection`; the statement for each shape of it is compiled once and remembered. The values
are always parameters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, func, select

from entrepot.metadata.database import Reader, Row
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.query import Query, in_list

T = TypeVar("T")
S = TypeVar("S")

#: Rows are counted up to here: the total of a longer list is at least this.
COUNT_LIMIT = 100_000
_SHAPES = 256


class Kind(StrEnum):
    """What a field's values are, for whoever reads them from text."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"  #: microseconds since the epoch
    FLAG = "flag"  #: 0 or 1


class Match(StrEnum):
    """How a field is compared."""

    EQUAL = "equal"
    CONTAINS = "contains"  #: whatever the case of its letters
    RANGE = "range"  #: two values, either may be None
    ANY = "any"  #: one of the values
    ALL = "all"  #: each of the values, of a field that has several


Value = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What one field must be."""

    field: str
    match: Match
    values: tuple[Value, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """What the statement's text depends on."""
        count = len(self.values) if self.match is Match.ALL else 0
        given = tuple(value is not None for value in self.values) if self.match is Match.RANGE else ()
        return self.field, self.match, count, given


@dataclass(frozen=True, slots=True)
class Order:
    """One field to sort by."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which part of a list is wanted."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()  #: empty: the list's own
    limit: int = 100
    offset: int = 0
    counted: bool = True  #: whether anybody wants to know how many there are in all


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """One page of a list, and how many there are in all (see `COUNT_LIMIT`)."""

    items: list[T]
    total: int

    def map(self, make: Callable[[T], S]) -> Listed[S]:
        """Return the page with what `make` makes of each item."""
        return Listed([make(item) for item in self.items], self.total)


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a list may be filtered and sorted by.

    `within` makes a condition on a column of another table one on the listed row: tags of an artifact, for example.
    """

    column: ColumnElement[Any]
    kind: Kind = Kind.TEXT
    within: Callable[[ColumnElement[bool]], ColumnElement[bool]] | None = None


class FieldUnknown(ValueError):
    """A list has no such field; the message says which ones it has."""


class Listing:
    """A list: what is selected, by which fields, in which order unless another is asked for.

    Args:
        name: Of the list, for logs.
        base: The statement without order and limits.
        fields: By the names that callers use.
        order: The order where none is asked for.
        key: A unique column, which comes last in every order so that pages do not overlap.
    """

    def __init__(
        self,
        name: str,
        base: Select[Any],
        fields: Mapping[str, Field],
        *,
        order: Sequence[Order],
        key: ColumnElement[Any],
    ) -> None:
        self.name = name
        self.fields = fields
        self._base = base
        self._order = tuple(order)
        self._key = key
        self._queries: OrderedDict[object, tuple[Query, Query]] = OrderedDict()

    async def read(self, reader: Reader, selection: Selection, **parameters: object) -> Listed[Row]:
        """Return the rows of a page; `parameters` are those of the list's own statement.

        Raises:
            FieldUnknown: The selection names a field that the list does not have.
            TookTooLong: There is too much to look through.
        """
        page, count = self.queries(selection)
        reader = patient(reader)
        given = {**parameters, **_values(selection.conditions)}
        rows = await reader.all(page, **given, page_limit=selection.limit, page_offset=selection.offset)
        # The first page tells by itself how many there are when it is not full.
        if not selection.counted or (selection.offset == 0 and len(rows) < selection.limit):
            return Listed(rows, selection.offset + len(rows))
        total = await reader.one(count, **given)
        assert total is not None
        return Listed(rows, max(int(total[0]), selection.offset + len(rows) if rows else 0))

    def queries(self, selection: Selection) -> tuple[Query, Query]:
        """Return the statements for a selection's shape: the page and the number of all rows."""
        shape = (tuple(condition.shape for condition in selection.conditions), selection.order)
        known = self._queries.get(shape)
        if known is None:
            known = self._queries[shape] = self._build(selection)
            if len(self._queries) > _SHAPES:
                self._queries.popitem(last=False)
        else:
            self._queries.move_to_end(shape)
        return known

    def _build(self, selection: Selection) -> tuple[Query, Query]:
        wanted = [self._condition(f"q{number}", c) for number, c in enumerate(selection.conditions)]
        filtered = self._base.where(*wanted)
        order = [self._sorted(order) for order in selection.order or self._order]
        page = filtered.order_by(*order, self._key).limit(bindparam("page_limit")).offset(bindparam("page_offset"))
        counted = filtered.with_only_columns(self._key.label("counted")).order_by(None).limit(COUNT_LIMIT).subquery()
        count = select(func.count()).select_from(counted)
        return Query(page, f"{self.name}.page"), Query(count, f"{self.name}.count")

    def _field(self, name: str) -> Field:
        found = self.fields.get(name)
        if found is None:
            raise FieldUnknown(
                f"there is no field {name[:50]!a} to ask for; there are: {', '.join(sorted(self.fields))}"
            )
        return found

    def _sorted(self, order: Order) -> ColumnElement[Any]:
        field = self._field(order.field)
        if field.within is not None:
            raise FieldUnknown(f"the list cannot be sorted by {order.field}: one entry may have several")
        return field.column.desc() if order.descending else field.column.asc()

    def _condition(self, name: str, condition: Condition) -> ColumnElement[bool]:
        field = self._field(condition.field)
        within = field.within or (lambda found: found)
        if condition.match is Match.ALL:
            each = (field.column == bindparam(f"{name}_{number}") for number in range(len(condition.values)))
            return and_(*(within(one) for one in each))
        return within(_compared(field.column, name, condition))


def _compared(column: ColumnElement[Any], name: str, condition: Condition) -> ColumnElement[bool]:
    match condition.match:
        case Match.CONTAINS:
            return func.lower(column).like(func.lower(bindparam(name, type_=Text())), escape="\\")
        case Match.RANGE:
            low, high = condition.values
            parts = [column >= bindparam(f"{name}_0")] if low is not None else []
            parts += [column <= bindparam(f"{name}_1")] if high is not None else []
            return and_(*parts)
        case Match.ANY:
            return in_list(column, name)
    return column == bindparam(name)


def _values(conditions: Sequence[Condition]) -> dict[str, object]:
    values: dict[str, object] = {}
    for number, condition in enumerate(conditions):
        values |= _named(f"q{number}", condition)
    return values


def _named(name: str, condition: Condition) -> dict[str, object]:
    match condition.match:
        case Match.RANGE | Match.ALL:
            given = enumerate(condition.values)
            return {f"{name}_{number}": value for number, value in given if value is not None}
        case Match.ANY:
            return {name: list(condition.values)}
        case Match.CONTAINS:
            return {name: f"%{_escaped(str(condition.values[0]))}%"}
    return {name: condition.values[0]}


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
