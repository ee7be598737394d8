"""Statements: built with SQLAlchemy Core, compiled once per dialect, run by the plain drivers.

A module keeps its statements as constants:

    FIND_TAG = Query(select(tags.c.manifest_id).where(tags.c.name == bindparam("name")), "find tag")

Statements that need the dialect's own insert are given as a function:

    PUT = Query(lambda d: d.insert(settings).values(key=bindparam("key")).on_conflict_do_nothing(), "put")
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Executable,
    Exists,
    FromClause,
    Select,
    String,
    Text,
    bindparam,
    cast,
    column,
    func,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import Boolean, NullType

from entrepot.metadata.dialect import SQLITE, Dialect

#: Higher than any row's number, and what both databases can compare with.
ABOVE_ALL = 2**63 - 1


class ListType(NullType):
    """Marks the parameter of `in_list`: a list, which SQLite receives as JSON."""

    cache_ok = True


class InList(ColumnElement[bool]):
    """`column` is one of the values in the list parameter `name`; see `in_list`."""

    inherit_cache = False

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.type = Boolean()
        self.column = column
        self.parameter: BindParameter[Any] = bindparam(name, type_=ListType())


def in_list(column: ColumnElement[Any], name: str) -> InList:
    """Build `column IN (the list given as parameter name)`, one statement text for any length."""
    return InList(column, name)


def list_rows(dialect: Dialect, name: str) -> ColumnElement[str]:
    """Build the texts of the list given as parameter `name`, each a row to select from, in their order."""
    given = bindparam(name, type_=ListType())
    if dialect.name == SQLITE.name:
        return func.json_each(given).table_valued(column("value", Text), name="given").c.value
    return func.unnest(cast(given, ARRAY(Text))).column_valued("given")


def first_of_each(
    dialect: Dialect, name: str, key: Column[Any], first: Callable[[Any, ColumnElement[Any]], Select[Any]]
) -> FromClause:
    """Build the rows of a table with an `id` that a bounded question finds for each value of the list parameter `name`.

    Args:
        dialect: For which database.
        name: Of the list parameter.
        key: The column that holds one of the values.
        first: The question: from the columns of the table, and one value, to the ids of some rows.
    """
    table = key.table
    inner = table.alias("one")
    given = bindparam(name, type_=ListType())
    if dialect.name == SQLITE.name:
        values = func.json_each(given).table_valued(column("value", key.type), name="given")
        return values.join(table, table.c.id.in_(first(inner.c, values.c.value).correlate(values)))
    kind = Text if isinstance(key.type, String) else BigInteger
    rows = func.unnest(cast(given, ARRAY(kind))).table_valued(column("value", key.type)).render_derived(name="given")
    found = first(inner.c, rows.c.value).correlate(rows).lateral("found")
    return rows.join(found, true()).join(table, table.c.id == found.c.id)


def word(dialect: Dialect, text: ColumnElement[str], number: int) -> ColumnElement[str]:
    """Build the first or the second of the two words of a text, which a space divides."""
    if dialect.name != SQLITE.name:
        return func.split_part(text, " ", number)
    space: Any = func.instr(text, " ")
    return func.substr(text, 1, space - 1) if number == 1 else func.substr(text, space + 1)


@compiles(InList, "sqlite")
def _in_json(element: InList, compiler: SQLCompiler, **kw: Any) -> str:
    column, parameter = compiler.process(element.column, **kw), compiler.process(element.parameter, **kw)
    return f"{column} IN (SELECT value FROM json_each({parameter}))"  # noqa: S608 - both are compiled expressions


@compiles(InList, "postgresql")
def _any_of_array(element: InList, compiler: SQLCompiler, **kw: Any) -> str:
    column, parameter = compiler.process(element.column, **kw), compiler.process(element.parameter, **kw)
    array = "TEXT[]" if isinstance(element.column.type, String) else "BIGINT[]"
    return f"{column} = ANY (CAST({parameter} AS {array}))"


@compiles(Exists, "postgresql")
def _one_is_there(element: Exists, compiler: SQLCompiler, **kw: Any) -> str:
    """Ask for one row in each case, as SQLite does.

    For a plain EXISTS beside OR, PostgreSQL may read all of the other table first, to look the rows up in memory.
    """
    question = compiler.process(element.element, **kw).removesuffix(")")
    return f"({question.replace('SELECT *', 'SELECT 1', 1)} LIMIT 1) IS NOT NULL)"


@dataclass(frozen=True, slots=True)
class Compiled:
    """One statement as one driver takes it."""

    name: str
    text: str
    #: Every bind name in the order of the text, the builder's constants included.
    order: tuple[str, ...]
    #: Values that the builder wrote into the statement.
    constants: Mapping[str, object]
    #: The names the caller must give.
    wanted: frozenset[str]
    #: Those of them that are lists.
    lists: frozenset[str]
    plain: bool

    def named(self, parameters: Mapping[str, object]) -> Mapping[str, object]:
        """Return the values by name, lists as JSON (for SQLite)."""
        if self.plain and len(parameters) == len(self.wanted):
            return parameters
        self._check(parameters)
        encoded = {name: json.dumps(_as_list(parameters[name])) for name in self.lists}
        return {**self.constants, **parameters, **encoded}

    def positional(self, parameters: Mapping[str, object]) -> list[object]:
        """Return the values in the order of the text, lists as lists (for PostgreSQL)."""
        if self.plain and len(parameters) == len(self.wanted) and self.wanted.issuperset(parameters):
            return [parameters[name] for name in self.order]
        self._check(parameters)
        values = {**self.constants, **parameters, **{name: _as_list(parameters[name]) for name in self.lists}}
        return [values[name] for name in self.order]

    def _check(self, parameters: Mapping[str, object]) -> None:
        if parameters.keys() != self.wanted:
            missing, surplus = sorted(self.wanted - parameters.keys()), sorted(parameters.keys() - self.wanted)
            raise TypeError(f"query {self.name or self.text!r}: missing parameters {missing}, surplus {surplus}")


def _as_list(value: object) -> list[object]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"a list parameter got {type(value).__name__}")
    return list(value)


class Query:
    """A statement, the same for both databases.

    `recalled` marks one that finds one row at most by its keys on every pull, always asked with its parameters in the
    same order. SQLite remembers its answer for as long as nothing is committed; on PostgreSQL those that are asked at
    the same moment go as one statement (`engine/postgres_gatherer.py`), for which the constants of the statement must
    come after its keys.
    """

    __slots__ = ("_compile", "_compiled", "name", "recalled")

    def __init__(
        self, build: Callable[[Dialect], Executable] | Executable, name: str = "", *, recalled: bool = False
    ) -> None:
        self.name = name
        self.recalled = recalled
        self._compile: Callable[[Dialect], Compiled] = partial(_from_core, name, build)
        self._compiled: dict[str, Compiled] = {}

    def __repr__(self) -> str:
        return f"Query({self.name!r})"

    def compiled(self, dialect: Dialect) -> Compiled:
        """Return the statement for a dialect; compiled at the first call, then remembered."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = self._compile(dialect)
        return found


class RawQuery(Query):
    """A statement given as text without parameters, for migrations and pragmas."""

    __slots__ = ()

    def __init__(self, text: str, name: str = "") -> None:
        none: frozenset[str] = frozenset()
        given = Compiled(name, text, (), {}, none, none, plain=True)
        self.name = name
        self.recalled = False
        self._compile = lambda _dialect: given
        self._compiled = {}


def _from_core(name: str, build: Any, dialect: Dialect) -> Compiled:
    statement = build if isinstance(build, ClauseElement) else build(dialect)
    compiled = statement.compile(dialect=dialect.compiler, compile_kwargs={"render_postcompile": True})
    return _from_compiler(name, compiled)


def _from_compiler(name: str, compiled: Any) -> Compiled:
    wanted = frozenset(text for bind, text in compiled.bind_names.items() if bind.required)
    lists = frozenset(text for bind, text in compiled.bind_names.items() if isinstance(bind.type, ListType))
    constants = {text: value for text, value in compiled.construct_params(_check=False).items() if text not in wanted}
    order = tuple(compiled.positiontup or ())
    return Compiled(name, str(compiled), order, constants, wanted, lists, plain=not constants and not lists)
