"""The drawing of the packages: it is the tree, and a reader can take it in."""

from __future__ import annotations

from pathlib import Path

from tools import tree


def write(root: Path, name: str, text: str) -> None:
    """Write a file of a tree."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def small(root: Path) -> Path:
    """Make a tree of two packages and the page that draws it."""
    write(root, "src/entrepot/__init__.py", "")
    write(root, "src/entrepot/oci/__init__.py", '"""The specifications.\n\nMore."""\n')
    write(root, "src/entrepot/oci/upload/__init__.py", '"""Uploads."""\n')
    write(root, "docs/explanation/architecture.md", f"# A\n{tree._BEGIN}{tree._END}## B\n")
    return root


def test_the_page_draws_the_tree_as_it_is() -> None:
    """Whoever moves a package draws it again: `python -m tools.tree`."""
    assert tree.main(["--check"]) == 0


def test_packages_are_drawn_with_what_they_say(tmp_path: Path) -> None:
    """Nested, by their first sentence; the rest of the page stays."""
    root = small(tmp_path)
    assert tree.main(["--check"], root) == 1
    assert tree.main([], root) == 0
    page = (root / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    assert "  oci/                     The specifications.\n    upload/                Uploads.\n" in page
    assert page.startswith("# A\n")
    assert page.endswith("## B\n")
    assert tree.main(["--check"], root) == 0


def test_a_package_without_a_word_and_a_full_folder_are_named(tmp_path: Path) -> None:
    """And fail the check."""
    root = small(tmp_path)
    write(root, "src/entrepot/web/__init__.py", "")
    for number in range(tree.MOST_MODULES + 1):
        write(root, f"src/entrepot/oci/m{number}.py", "")
    assert tree.problems(root) == [
        "src/entrepot/oci has 41 modules, more than 40: group them by noun",
        "src/entrepot/web/__init__.py says nothing of what is in the package",
    ]
    assert tree.main([], root) == 1
