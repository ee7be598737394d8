"""What a terminal shows after a program has written to it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final

_PIECE: Final = re.compile(r"\x1b\[(?P<number>[?0-9;]*)(?P<does>[A-Za-z])|(?P<text>[^\x1b])", re.DOTALL)


class Screen(io.StringIO):
    """A file that says of itself that it is a terminal, and keeps what is written to it."""

    def isatty(self) -> bool:
        """Say yes."""
        return True

    def shown(self) -> list[str]:
        """Return the lines that are left, without empty ones at the end."""
        return shown(self.getvalue())


def shown(written: str) -> list[str]:
    """Return the lines that are left on a terminal, without empty ones at the end.

    Raises:
        NotImplementedError: It was asked for something that nobody has taught it.
    """
    lines, row, column = [""], 0, 0
    for does, number, text in _pieces(written):
        if does == "A":
            row = max(0, row - int(number or 1))
        elif does == "K" and number == "2":
            lines[row] = ""
        elif text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = f"{lines[row][:column]:{column}}{text}{lines[row][column + 1 :]}"
            column += 1
        elif does not in ("m", "h", "l"):  # colours, and whether the cursor is seen
            raise NotImplementedError(f"{does} {number}")
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.rstrip() for line in lines]


def _pieces(written: str) -> Iterator[tuple[str, str, str]]:
    for found in _PIECE.finditer(written):
        yield found["does"] or "", found["number"] or "", found["text"] or ""
