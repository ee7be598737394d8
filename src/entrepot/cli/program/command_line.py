"""What the person at the terminal said about the registry that is meant: options before or after any command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: A hint in a sentence: `entrepot` and the word of a command, but for those that name their folder themselves.
_HINT: Final = re.compile(r"\bentrepot (?=[a-z])(?!adopt|layout|login|logout|context)")


@dataclass(slots=True, kw_only=True)
class Given:
    """The options of one command line, wherever they stood in it."""

    server: str | None = None
    config: Path | None = None
    data: Path | None = None
    yes: bool = False
    told: bool = False  #: whether the command has said which registry it means

    @property
    def is_named(self) -> bool:
        """Whether the command line names the registry."""
        return any(each is not None for each in (self.server, self.config, self.data))

    def words(self) -> list[str]:
        """Return the options as they are written."""
        options = (("--server", self.server), ("--config", self.config), ("--data", self.data))
        return [text for name, value in options if value is not None for text in (name, str(value))]


_given: ContextVar[Given | None] = ContextVar("given", default=None)


def given() -> Given:
    """Return what the command line that is being run says."""
    return _given.get() or Given()


@contextmanager
def running(options: Given) -> Iterator[None]:
    """Let the commands within know these options."""
    token = _given.set(options)
    try:
        yield
    finally:
        _given.reset(token)


def hinted(text: str) -> str:
    """Return a text whose hints name the registry as this command line did, so that they can be typed as they stand."""
    options = given().words()
    return _HINT.sub(f"entrepot {shlex.join(options)} ", text) if options else text
