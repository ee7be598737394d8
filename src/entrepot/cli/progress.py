"""A bar for long work at a terminal, which is gone when the work has ended; elsewhere there is none."""

from __future__ import annotations

import sys
from typing import Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

#: Lines of one piece of work that are shown; the rest is in its result.
_LINES = 200


def passing_bar(console: Console, *columns: ProgressColumn, expand: bool = False) -> Progress:
    """Make a bar that leaves nothing behind, and is not drawn where the console is no terminal.

    That is asked of the file itself: what makes programs colour what they write to a pipe makes no terminal of it.
    Standard output is led past the bar only where it is a terminal, too; a file gets its lines as they are.
    """
    return Progress(
        *columns,
        console=console,
        expand=expand,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        disable=not console.file.isatty(),
    )


def watched(unit: str = "", *, listing: bool = False, quiet: bool = False) -> Bar:
    """Make a bar on standard error; `listing` makes its lines the command's output."""
    return Bar(Console(stderr=True, quiet=quiet), unit, listing=listing)


class Bar:
    """A `telemetry.progress.Progress` that a person sees, on standard error; a context manager."""

    def __init__(self, console: Console, unit: str = "", *, listing: bool = False) -> None:
        columns = (
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[count]} {task.description}"),
            TimeElapsedColumn(),
        )
        self._bar = passing_bar(console, *columns)
        self._task: TaskID | None = None
        self._unit = unit
        self._listing = listing
        self._lines = 0

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("", total=None, count="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    async def step(self, done: int, total: int | None = None) -> None:
        """Move the bar."""
        assert self._task is not None
        count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        self._bar.update(self._task, completed=done, total=total, count=count)

    async def say(self, message: str) -> None:
        """Write a line above the bar; all of them to standard output where they are what was asked for."""
        if self._listing:
            typer.echo(message)
            return
        self._lines += 1
        if self._lines <= _LINES:
            self._bar.console.print(escape(message), highlight=False, soft_wrap=True)
