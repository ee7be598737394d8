"""The table of the authorisation matrix: a line for each route and kind of object, a column for each caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

EXPECTED = Path(__file__).with_name("expected.txt")
#: The request changed something: its transaction was undone at the commit.
WRITE = "write"
#: It was a blob from another repository that came into this one.
MOUNT = "mount"
#: What a cell may be where nothing was let through.
REFUSALS = frozenset(("401", "403", "404"))
#: What each caller is, in the order of the columns.
CALLERS: Mapping[str, str] = {
    "anon": "nobody has signed in",
    "wrong": "a wrong password",
    "expird": "a key of the administrator's that has expired",
    "revokd": "a token of an account whose password was changed since",
    "disabl": "a user whose account was disabled",
    "unver": "a user whose password somebody else made, and who has not changed it yet",
    "user": "a user without any role",
    "lguest": "a limited guest of the project `own`",
    "guest": "a guest of it",
    "devel": "a developer of it",
    "maint": "a maintainer of it",
    "padmin": "a project administrator of it",
    "admin": "the administrator",
    "cookie": "a browser with the administrator's session, but without the session's token",
    "narrow": "a key of the administrator's that may only read the project `own`",
    "probot": "a robot of the project `own` that may pull and push there",
    "srobot": "a robot of the registry that may pull and push everywhere",
    "tenant": "a project administrator of the project `foreign`",
}
#: Those whose credentials count no more.
REFUSED = ("wrong", "expird", "revokd", "disabl")
#: What each kind of object is.
OBJECTS: Mapping[str, str] = {
    "-": "the route names none",
    "own": "in a private project in which some callers have a role",
    "public": "in a public project in which no caller has one",
    "foreign": "in a private project of somebody else's",
    "missing": "in no project that there is, or of no number that there is",
    "absent": "not there, in the project `own`",
    "crossed": "of the project `foreign`, asked for below the path of `own`",
    "system": "of the registry as a whole",
    "builtin": "that comes with the registry",
    "self": "the caller's own account, or what belongs to it",
    "other": "another person's account, or what belongs to it",
    "mount": "a blob of `own`, mounted from another repository of it",
    "mount-public": "a blob of `public`, mounted into `own`",
    "mount-foreign": "a blob of `foreign`, mounted into `own`",
    "mount-missing": "a blob of `missing`, mounted into `own`",
}


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A route and a kind of object."""

    path: str
    method: str
    object: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.object}"

    def on(self, thing: str) -> Row:
        """Return the same route with another kind of object."""
        return Row(self.path, self.method, thing)


@dataclass(frozen=True, slots=True)
class Cell:
    """A row, as one caller."""

    row: Row
    caller: str

    def __str__(self) -> str:
        return f"{self.row}, as {self.caller}"


@dataclass(frozen=True)
class Table:
    """What every cell came to, or has to come to."""

    cells: Mapping[Cell, str]

    @property
    def rows(self) -> list[Row]:
        """The rows, in order."""
        return sorted({cell.row for cell in self.cells})

    @property
    def broken(self) -> list[Cell]:
        """The cells that answer with a fault of the registry's own: there is no caller for whom that is right."""
        return sorted((cell for cell, found in self.cells.items() if found.startswith("5")), key=str)

    def line(self, row: Row) -> dict[str, str]:
        """Return a row's cells by caller."""
        return {caller: self.cells[Cell(row, caller)] for caller in CALLERS}

    def text(self) -> str:
        """Return the table for people."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from (f"# {name:14} {meaning}" for name, meaning in (*CALLERS.items(), *OBJECTS.items()))
        before = ""
        for row in self.rows:
            if row.path != before:
                before = row.path
                yield "# " + " ".join(f"{caller:>6}" for caller in CALLERS)
            yield "  " + " ".join(f"{found:>6}" for found in self.line(row).values()) + f"   {row}"


def read_table(path: Path = EXPECTED) -> Table:
    """Read a table that was written by `Table.text`."""
    cells: dict[Cell, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            *found, method, route, thing = line.split()
            row = Row(route, method, thing)
            cells.update({Cell(row, caller): status for caller, status in zip(CALLERS, found, strict=True)})
    return Table(cells)
