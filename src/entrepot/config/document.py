"""YAML to a tree of plain text, the way registry:2 reads it.

Go decides what `0123`, `yes` or `1:30` mean only when it knows the field they are for: text stays as written. So no
scalar is converted here. An unquoted scalar becomes `Plain`, a quoted one `str`, an empty one `None`; `values` does
the rest.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from entrepot.config.errors import DocumentInvalid

Node: TypeAlias = "dict[str, Node] | list[Node] | str | None"
Tree: TypeAlias = dict[str, Node]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_STRING_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_QUOTED = re.compile(r"['\"].*?['\"]")
#: What YAML is written with, and names of its parts, repeat nothing that somebody wrote as a value.
_MARK = re.compile(r"'(?:[^\w\s]|<[a-z ]+>)'")


class Plain(str):
    """An unquoted scalar: it may still turn out to be a number or a flag."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The first document of a YAML text, and what is odd about it."""

    root: Node
    warnings: tuple[str, ...] = ()


def parse_document(text: str) -> Document:
    """Read the first YAML document of a text.

    Raises:
        DocumentInvalid: Not YAML. The message has the line and never a value, which may be a secret.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            return _first_document(loader)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise DocumentInvalid(_explain(error)) from None
    except yaml.YAMLError:
        raise DocumentInvalid("it holds a character that YAML does not allow") from None
    except RecursionError:
        raise DocumentInvalid("it is nested too deeply") from None


def _first_document(loader: yaml.SafeLoader) -> Document:
    node = loader.get_node() if loader.check_node() else None
    builder = _Builder(loader)
    root = None if node is None else builder.build(node)
    if loader.check_node():
        # Go's decoder stops after the first document, so must we; but silently losing half a file helps nobody.
        builder.warnings.append("only the first YAML document is read; what follows '---' is ignored")
    return Document(root=root, warnings=tuple(builder.warnings))


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = _QUOTED.sub(lambda found: found[0] if _MARK.fullmatch(found[0]) else "…", error.problem or "not YAML")
    if error.problem_mark is None:
        return problem
    return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {problem}"


@dataclass(slots=True)
class _Builder:
    """Turns YAML nodes into our tree."""

    loader: yaml.SafeLoader
    warnings: list[str] = field(default_factory=list)
    _entered: set[int] = field(default_factory=set)

    def build(self, node: yaml.Node) -> Node:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._entered:
            raise DocumentInvalid(f"line {node.start_mark.line + 1}: an alias contains itself")
        self._entered.add(id(node))
        try:
            return self._mapping(node) if isinstance(node, yaml.MappingNode) else self._sequence(node)
        finally:
            self._entered.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode) -> str | None:
        text: str = node.value
        if node.style is not None or self._says_string(node):
            return text
        return None if text in _NULLS else Plain(text)

    def _says_string(self, node: yaml.ScalarNode) -> bool:
        """Whether an unquoted scalar has the tag `!!str`, which makes it as good as quoted."""
        imply: Callable[..., str] = self.loader.resolve
        return node.tag == _STRING_TAG and imply(yaml.ScalarNode, node.value, (True, False)) != _STRING_TAG

    def _sequence(self, node: yaml.Node) -> list[Node]:
        return [self.build(item) for item in node.value]

    def _mapping(self, node: yaml.MappingNode) -> Tree:
        self._warn_of_duplicates(node)
        self.loader.flatten_mapping(node)
        return {self._key(key): self.build(value) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise DocumentInvalid(f"line {node.start_mark.line + 1}: a key must be a single word")
        return str(node.value)

    def _warn_of_duplicates(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == _MERGE_TAG or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                self.warnings.append(f"line {line}: '{key.value}' is given twice in one section; the last one counts")
            seen.add(key.value)
