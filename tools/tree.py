"""Draws the packages with what each says of itself, in docs/explanation/architecture.md: `python -m tools.tree`.

`python -m tools.tree --check` writes nothing and fails where the drawing differs, where a package says nothing, and
where a folder has more modules than a reader can take in.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_PACKAGE: Final = Path("src/entrepot")
_PAGE: Final = Path("docs/explanation/architecture.md")
_BEGIN: Final = "<!-- tree: python -m tools.tree -->\n"
_END: Final = "<!-- end of tree -->\n"
_WIDTH: Final = 26
#: Packages of one revision each, whose names say all.
_LEFT_OUT: Final = frozenset({"versions"})
#: Modules of a folder, `__init__` aside.
MOST_MODULES: Final = 40


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Draw, or compare with what is drawn."""
    found = problems(root)
    print(*found, sep="\n", end="\n" if found else "")
    page = root / _PAGE
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    wanted = f"{before}{_BEGIN}```\n{drawn(root)}```\n{_END}{after}"
    if "--check" not in arguments:
        page.write_text(wanted, encoding="utf-8")
    elif wanted != text:
        print(f"{_PAGE} draws another tree: python -m tools.tree")
        return 1
    return 1 if found else 0


def drawn(root: Path) -> str:
    """Return the packages by their folders, two levels deep."""
    lines = [f"{_PACKAGE}/"]
    for depth, folder in _packages(root / _PACKAGE, 1):
        name = f"{'  ' * depth}{folder.name}/"
        lines.append(f"{name:<{_WIDTH}} {_says(folder)}")
    return "\n".join(lines) + "\n"


def problems(root: Path) -> list[str]:
    """Name the packages that say nothing, and the folders that are too full."""
    found = []
    for _, folder in _packages(root / _PACKAGE, 1):
        if not _says(folder):
            found.append(f"{folder.relative_to(root)}/__init__.py says nothing of what is in the package")
        count = sum(1 for path in folder.glob("*.py") if path.name != "__init__.py")
        if count > MOST_MODULES:
            place = folder.relative_to(root)
            found.append(f"{place} has {count} modules, more than {MOST_MODULES}: group them by noun")
    return found


def _packages(folder: Path, depth: int) -> Iterator[tuple[int, Path]]:
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        if inner.name not in _LEFT_OUT:
            yield depth, inner
            yield from _packages(inner, depth + 1)


def _says(folder: Path) -> str:
    """Return the first sentence of a package's docstring."""
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
