"""What commands print: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Column as TableColumn
from rich.table import Table

from entrepot.cli.folder import printable

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
    return printable(_text(column(entry) if callable(column) else entry.get(column)))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
