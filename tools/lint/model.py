"""What a rule is given and what it gives back."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One parsed file."""

    path: PurePosixPath
    tree: ast.Module
    imports: dict[str, str]  #: local name → what it stands for, e.g. {"sleep": "time.sleep"}

    @property
    def is_product(self) -> bool:
        """Say whether the file is shipped."""
        return self.path.parts[0] == "src"

    @property
    def is_test(self) -> bool:
        """Say whether pytest collects the file."""
        return self.path.parts[0] == "tests" and self.path.name.startswith("test_")

    def name_of(self, node: ast.expr) -> str:
        """Spell a name or attribute chain in full, imports resolved; anything else is the empty string."""
        match node:
            case ast.Name(id=name):
                return self.imports.get(name, name)
            case ast.Attribute(value=value, attr=attr) if before := self.name_of(value):
                return f"{before}.{attr}"
            case _:
                return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place that breaks a rule."""

    path: PurePosixPath
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        """Write the finding the way compilers do, so that editors can jump to it."""
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Rule(Protocol):
    """A question asked of every file."""

    name: str

    def check(self, source: Source) -> Iterator[tuple[int, str]]:
        """Give the line and the message of each place that breaks the rule."""
        ...


def parse(path: PurePosixPath, text: str) -> Source:
    """Parse a file and note what its imports stand for.

    Raises:
        SyntaxError: The file is not Python.
    """
    tree = ast.parse(text, filename=str(path))
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imports.update((alias.asname or alias.name.split(".")[0], _imported(alias)) for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                imports.update((alias.asname or alias.name, f"{module}.{alias.name}") for alias in names)
            case _:
                pass
    return Source(path=path, tree=tree, imports=imports)


def _imported(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.split(".")[0]
