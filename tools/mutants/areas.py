"""What belongs to an area, as `areas.toml` says it; `python -m tools.mutants.areas NAME` prints its tests."""

import sys
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = Path("src/entrepot")
_FILE: Final = Path(__file__).with_name("areas.toml")


class Area(NamedTuple):
    """Code, as paths below the root, and the tests that are to notice when it changes."""

    name: str
    code: list[Path]
    tests: list[str]


def areas() -> dict[str, Area]:
    """Read all areas.

    Raises:
        FileNotFoundError: One names a file that is not there.
    """
    listed = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {name: Area(name, _files(one["code"]), _there(one["tests"])) for name, one in listed.items()}


def _files(names: list[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = ROOT / PACKAGE / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    _there([str(path) for path in found])
    return [path.relative_to(ROOT) for path in found if path.name != "__init__.py"]


def _there(names: list[str]) -> list[str]:
    for name in names:
        if not (ROOT / name).exists():
            raise FileNotFoundError(f"{_FILE.name} names {name}, which is not there")
    return names


if __name__ == "__main__":
    known = areas()
    if len(sys.argv) != 2 or sys.argv[1] not in known:  # noqa: PLR2004 - the program, and one argument
        raise SystemExit(f"there are the areas {', '.join(known)}")
    print(*known[sys.argv[1]].tests)
