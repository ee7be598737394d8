"""Makes what a version of the schema owes: `python -m tools.new_schema "what it is for"`.

That is both halves of the migration, the number, a place for what the version before holds, and the program of that
version, which the tests run beside the new one. What is left to be written is said by `make check`
(`tests/migrations/check.py`): tables, and rows for what is new in them.
"""

import re
import sys
from pathlib import Path
from typing import Final

from tools import keep_program

ROOT: Final = Path(__file__).resolve().parents[1]
_SCHEMA: Final = Path("src/entrepot/metadata/schema.py")
_VERSIONS: Final = Path("src/entrepot/metadata/migrations/versions")
_RELEASED: Final = Path("tests/migrations/released.py")
_NUMBER: Final = re.compile(r"^(VERSION: Final = )(\d+)$", re.MULTILINE)
_FILLERS: Final = re.compile(r"^VERSIONS: Mapping\[int, Fill\] = \{(.*)\}$", re.MULTILINE)

_PRE: Final = '''"""{purpose}

Programs of version {before} may go on beside it.
"""

from alembic import op

revision = "{new:04}_pre"
down_revision = "{before:04}_post"


def upgrade() -> None:
    """Add it."""
    op.execute("UPDATE schema SET version = {new}")
'''
_POST: Final = '''"""Nothing is taken away with the programs of version {before}."""

revision = "{new:04}_post"
down_revision = "{new:04}_pre"


def upgrade() -> None:
    """Do nothing."""
'''
_FILLER: Final = '''async def version_{before}(database: Database) -> None:
    """The same with what version {before} added."""
    await version_{older}(database)
    await _run(database, _VERSION_{before})


'''


def main(purpose: str, root: Path = ROOT) -> int:
    """Make the files in a working copy; return the number of the new version.

    Raises:
        SystemExit: The working copy is not of the form that is expected.
    """
    schema = (root / _SCHEMA).read_text()
    found = _NUMBER.search(schema)
    if found is None:
        raise SystemExit(f"{_SCHEMA} does not say its version")
    before = int(found[2])
    _hold(root / _RELEASED, before)
    names = {"purpose": purpose.rstrip(".") + ".", "before": before, "new": before + 1}
    for half, text in (("pre", _PRE), ("post", _POST)):
        (root / _VERSIONS / f"v{before + 1:04}_{half}.py").write_text(text.format(**names))
    (root / _SCHEMA).write_text(_NUMBER.sub(rf"\g<1>{before + 1}", schema))
    return before + 1


def _hold(released: Path, before: int) -> None:
    """Make a place for what a registry of the version before holds."""
    text = released.read_text()
    listed = _FILLERS.search(text)
    if listed is None:
        raise SystemExit(f"{_RELEASED} does not list its versions")
    if f"{before}: version_{before}" in listed[1]:
        return
    head = text[: listed.start()] + _FILLER.format(before=before, older=before - 1)
    line = f"VERSIONS: Mapping[int, Fill] = {{{listed[1]}, {before}: version_{before}}}"
    released.write_text(f"{head}{line}{text[listed.end() :].rstrip()}\n_VERSION_{before}: list[str] = []\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():  # noqa: PLR2004 - the program, and one argument
        raise SystemExit('usage: python -m tools.new_schema "what it is for"')
    print(f"kept {keep_program.main('HEAD')}")
    print(f"schema {main(sys.argv[1])}: make check says what is left to be written")
