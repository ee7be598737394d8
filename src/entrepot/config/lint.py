"""What a tree holds that we would pass over in silence: unknown keys, and durations without a unit."""

import difflib
from collections.abc import Iterator

from entrepot.config.document import Node, Plain, Tree
from entrepot.config.schema import Config
from entrepot.config.section import Choice, Entries, Items, Leaf, Section, Shape, keys
from entrepot.config.values import parse_integer


def lint(tree: Tree) -> list[str]:
    """One warning for each oddity, in the order of the tree."""
    return list(_look(tree, Config, ""))


def _look(node: Node, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, Leaf):
        yield from _look_at_leaf(node, shape, path)
    elif isinstance(shape, Items) and isinstance(node, list):
        for index, item in enumerate(node):
            yield from _look(item, shape.of, f"{path}[{index}]")
    elif isinstance(shape, Entries) and isinstance(node, dict):
        for name, item in node.items():
            yield from _look(item, shape.of, f"{path}.{name}")
    elif isinstance(shape, type) and isinstance(node, dict):
        yield from _look_at_section(node, shape, path)


def _look_at_section(tree: Tree, section: type[Section], path: str) -> Iterator[str]:
    known = keys(section)
    for name, node in tree.items():
        place = f"{path}.{name}".removeprefix(".")
        if name in known:
            yield from _look(node, known[name].shape, place)
        elif not issubclass(section, Choice):  # an unknown type is an error, said elsewhere
            yield f"{place}: unknown key, ignored{_suggestion(name, list(known))}"


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _look_at_leaf(node: Node, leaf: Leaf, path: str) -> Iterator[str]:
    if leaf.kind == "duration" and isinstance(node, Plain) and parse_integer(node):
        yield f"{path}: a number without a unit means nanoseconds; write it as 30s, 10m or 168h"
