"""What commands print: a table for people, which fits their terminal, and JSON for programs.

show(found, {"tag": "name", "pushed": when("push_time"), "size": size("size"), "digest": digest("digest")}, ...)
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

import typer

from entrepot.telemetry.words import counted, since, spelt

#: What a column shows of an entry: a key of it, or something made of it.
Column = str | Callable[[Mapping[str, Any]], object]

_GAP: Final = "  "
#: How many letters of a digest a person is shown, as by Docker.
_DIGEST_LETTERS: Final = 12
#: A column is not made narrower than this, or than its title.
_NARROWEST: Final = 8
#: From how many rows on a list says first how long it is.
_LONG: Final = 20


# --- lists and single things -----------------------------------------------------------------------------------------


def show(entries: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], *, as_json: bool, of: str = "") -> None:
    """Print a list of things; `of` is what one of them is called."""
    if as_json:
        typer.echo(json.dumps(list(entries), ensure_ascii=False))
        return
    if of and (not entries or (len(entries) > _LONG and sys.stdout.isatty())):
        typer.echo(f"{counted(len(entries), of)}:" if entries else f"There is no {of}.")
    if entries or not of:
        rows = [[_cell(entry, column) for column in columns.values()] for entry in entries]
        for line in table(list(columns), rows):
            typer.echo(line)


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
        lines = [[_cell(entry, column) for column in self._columns.values()] for entry in entries]
        if self._widths is None and lines:
            lines.insert(0, [title.upper() for title in self._columns])
            self._widths = _widths(lines)
        for line in lines:
            for text in _row(line, self._widths or ()):
                typer.echo(text)


def show_one(entry: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing with all that is known of it."""
    if as_json:
        typer.echo(json.dumps(entry, ensure_ascii=False))
        return
    for line in _table([[f"{name}:", printable(_text(value))] for name, value in entry.items()]):
        typer.echo(line)


def show_made(entry: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """Print what was made: a sentence for people, and the thing itself for programs."""
    typer.echo(json.dumps(entry, ensure_ascii=False) if as_json else words)


# --- columns ---------------------------------------------------------------------------------------------------------


def when(name: str) -> Column:
    """Show a time of the API by how far it is from now."""
    return lambda entry: ago(entry.get(name))


def size(name: str) -> Column:
    """Show a number of bytes."""
    return lambda entry: "" if entry.get(name) is None else spelt(entry[name])


def digest(name: str) -> Column:
    """Show a digest as `short` does."""
    return lambda entry: short(entry.get(name) or "")


def short(text: str) -> str:
    """Return the beginning of a digest for a terminal, by which commands know it; all of it for another program."""
    algorithm, colon, letters = text.partition(":")
    return f"{algorithm}:{letters[:_DIGEST_LETTERS]}" if colon and sys.stdout.isatty() else text


def ago(text: str | None) -> str:
    """Return a time of the API as its distance from now; nothing for one that there is not."""
    if not text or text.startswith("0001-"):
        return ""
    moment = datetime.fromisoformat(text)
    return since(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def time_of(text: str) -> str:
    """Return a time of the API in full, to the second, for one thing that is shown with all its parts."""
    return f"{text[:19].replace('T', ' ')} UTC ({ago(text)})"


# --- tables ----------------------------------------------------------------------------------------------------------


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, which fits the terminal where there is one."""
    return _table([[title.upper() for title in titles], *rows])


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = _widths(rows)
    for row in rows:
        yield from _row(row, widths)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide the columns are, so that a row fits the terminal where there is one."""
    widths = [max(map(wide, cells)) for cells in zip(*rows, strict=True)]
    return _fitting(widths, rows[0], shutil.get_terminal_size().columns) if sys.stdout.isatty() else widths


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row; a cell that is too wide for its column takes several, on a terminal."""
    folds = sys.stdout.isatty()
    cells = [_folded(cell, width) if folds else [cell] for cell, width in zip(row, widths, strict=True)]
    for at in range(max(map(len, cells))):
        line = [cell[at] if at < len(cell) else "" for cell in cells]
        padded = (text + " " * (width - wide(text)) for text, width in zip(line, widths, strict=True))
        yield _GAP.join(padded).rstrip()


def _fitting(widths: Sequence[int], titles: Sequence[str], limit: int) -> list[int]:
    """Return widths of which the largest are cut until all have room."""
    room = limit - len(_GAP) * (len(widths) - 1)
    least = [min(width, max(_NARROWEST, wide(title))) for width, title in zip(widths, titles, strict=True)]
    highest = max(widths, default=0)
    while highest > _NARROWEST and sum(_capped(widths, least, highest)) > room:
        highest -= 1
    return _capped(widths, least, highest)


def _capped(widths: Sequence[int], least: Sequence[int], highest: int) -> list[int]:
    return [max(min(width, highest), low) for width, low in zip(widths, least, strict=True)]


def _folded(text: str, width: int) -> list[str]:
    """Return the lines of a cell: broken at a space where there is one, else wherever it must be."""
    lines = []
    while wide(text) > width:
        at = _fits(text, width)
        space = text.rfind(" ", 0, at + 1)
        cut = space if space > 0 else at
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*lines, text]


def _fits(text: str, width: int) -> int:
    """Return how many letters have room, at least one."""
    used = 0
    for at, letter in enumerate(text):
        used += wide(letter)
        if used > width:
            return max(at, 1)
    return len(text)


def wide(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def printable(text: str) -> str:
    """Give a text from elsewhere in a form that every terminal can show."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _cell(entry: Mapping[str, Any], column: Column) -> str:
    return printable(_text(_value(entry, column)))


def _value(entry: Mapping[str, Any], column: Column) -> object:
    return column(entry) if callable(column) else entry.get(column)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
