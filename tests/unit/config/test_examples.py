"""The examples are configurations that can be loaded without a word of complaint."""

from pathlib import Path

import pytest

from entrepot.config import load

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "config"
FILES = sorted(EXAMPLES.glob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_example_loads(path: Path) -> None:
    """No problem, no unknown key; the open one warns that it is open, and nothing else warns."""
    loaded = load(path, {})
    assert loaded.problems == []
    assert len(loaded.warnings) == (1 if path.stem == "open" else 0)


def test_the_list_of_examples_is_complete() -> None:
    """The README has each file."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert FILES
    assert [path.name for path in FILES if f"`{path.name}`" not in readme] == []
