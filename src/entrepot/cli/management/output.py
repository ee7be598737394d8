"""What commands print: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import typer
from rich.console import Console
from rich.table import Column as TableColumn
from rich.table import Table

from entrepot.cli.folder import printable, visible

_WIDE = 200

#: What a column shows of an entry: a key of it, or something made of it.
Column = str | Callable[[Mapping[str, Any]], object]


def show(entries: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], *, as_json: bool) -> None:
    """Print a list."""
    if as_json:
        typer.echo(json.dumps(list(entries), ensure_ascii=False))
        return
    table = Table(*(TableColumn(name, overflow="fold") for name in columns))
    for entry in entries:
        table.add_row(*(_cell(entry, column) for column in columns.values()))
    console().print(table)


class LongList:
    """A list that is printed as it comes: lines for people, one array for programs. Used as a context manager."""

    def __init__(self, columns: Mapping[str, Column], *, as_json: bool) -> None:
        """Print nothing yet."""
        self._columns = columns
        self._as_json = as_json
        self._widths: list[int] | None = None
        self._is_first = True

    def __enter__(self) -> Self:
        """Begin the array."""
        if self._as_json:
            typer.echo("[", nl=False)
        return self

    def __exit__(self, *_: object) -> None:
        """End the array, also where something went wrong."""
        if self._as_json:
            typer.echo("]")

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Print some more; the first ones say how wide the columns are."""
        if self._as_json:
            for entry in entries:
                typer.echo(("" if self._is_first else ", ") + json.dumps(entry, ensure_ascii=False), nl=False)
                self._is_first = False
            return
        lines = [[visible(_text(_value(entry, column))) for column in self._columns.values()] for entry in entries]
        if self._widths is None and lines:
            lines.insert(0, list(self._columns))
            self._widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(line, self._widths or (), strict=True)
            typer.echo("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())


def show_one(entry: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing with all that is known of it."""
    if as_json:
        typer.echo(json.dumps(entry, ensure_ascii=False))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in entry.items():
        table.add_row(name, printable(_text(value)))
    console().print(table)


def console() -> Console:
    """Return the terminal, or something wide enough where there is none."""
    return Console(width=None if sys.stdout.isatty() else _WIDE)


def time_of(text: str) -> str:
    """Return a time of the API for people, to the second and in UTC."""
    return text[:19].replace("T", " ")


def _cell(entry: Mapping[str, Any], column: Column) -> str:
    return printable(_text(_value(entry, column)))


def _value(entry: Mapping[str, Any], column: Column) -> object:
    return column(entry) if callable(column) else entry.get(column)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
