"""`REGISTRY_*` variables, laid over the tree of the file as registry:2 and registry:3 do it.

`REGISTRY_A_B_C=value` sets key `c` of section `b` of section `a`; the value is YAML. Variables are taken in sorted
order, so that `REGISTRY_STORAGE` comes before `REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY`. Three things differ, each
because registry:2 drops or spoils what was clearly meant: list elements that are plain values can be set by index, the
keys below `storage.maintenance` can be set when the file has that section, and header names keep their one spelling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from entrepot.config.document import Node, Tree, parse_document
from entrepot.config.errors import DocumentInvalid, VariableInvalid, VariableUnrecognized
from entrepot.config.schema import Config
from entrepot.config.section import Choice, Entries, Items, Leaf, Section, Shape, keys

PREFIX = "REGISTRY_"
PATH_VARIABLE = "REGISTRY_CONFIGURATION_PATH"
#: Ours, which say where the registry is; they set no key.
OWN_PATH_VARIABLE = "ENTREPOT_CONFIG"
DATA_VARIABLE = "ENTREPOT_DATA"
#: Ours, which says where the metadata are; with `_FILE` behind it, which file says so.
METADATA_VARIABLE = "ENTREPOT_METADATA_URL"
#: Ours, one of which gives the key that seals secrets in the database.
SECRET_KEY_VARIABLES = ("ENTREPOT_SECRET_KEY", "ENTREPOT_SECRET_KEY_FILE")
#: Named like ours, and read by programs that run beside a registry.
_OF_OTHERS = {"REGISTRY_AUTH_FILE": "Podman, Skopeo and Buildah keep their sign-ins in the file that it names"}

Path: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True, kw_only=True)
class Overrides:
    """What became of the variables."""

    #: Where each applied variable went.
    applied: dict[str, Path] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def variable_for(self, path: Path) -> str | None:
        """The variable that set the value at a path, or a part of the tree that holds it."""
        setters = (name for name, target in self.applied.items() if path[: len(target)] == target)
        return max(setters, key=lambda name: len(self.applied[name]), default=None)


def apply_environment(tree: Tree, environ: Mapping[str, str]) -> Overrides:
    """Change the tree of a configuration as the variables say."""
    overrides = Overrides()
    for name in sorted(environ):
        if name in _OF_OTHERS:
            overrides.warnings.append(f"Ignoring environment variable {name}: {_OF_OTHERS[name]}")
        elif name.startswith(PREFIX) and name != PATH_VARIABLE:
            _apply(tree, name, environ[name], overrides)
    return overrides


def _apply(tree: Tree, name: str, payload: str, overrides: Overrides) -> None:
    _spell_out_choices(tree)
    try:
        path = _locate(tree, Config, name.split("_")[1:])
        _write(tree, path, parse_payload(payload))
    except VariableUnrecognized:
        overrides.warnings.append(f"Ignoring unrecognized environment variable {name}")
    except VariableInvalid as error:
        overrides.problems.append(f"environment variable {name}: {error}")
    else:
        overrides.applied[name] = path


def _spell_out_choices(tree: Tree) -> None:
    """Turn `storage: s3` into `storage: {s3: }`, so that variables find a section to write into."""
    for key in keys(Config).values():
        chosen = tree.get(key.name)
        if isinstance(chosen, str) and isinstance(key.shape, type) and issubclass(key.shape, Choice):
            tree[key.name] = {str(chosen): None}


def parse_payload(payload: str) -> Node:
    """The YAML value of a variable.

    Raises:
        VariableInvalid: Not YAML. The message does not repeat it: it may be a secret.
    """
    try:
        return parse_document(payload).root
    except DocumentInvalid:
        raise VariableInvalid("the value cannot be read as YAML; put it in quotes within the variable") from None


def _locate(node: Node, shape: Shape, words: Sequence[str]) -> Path:
    """The keys that the words of a variable's name mean, from `node` on."""
    if not words:
        return ()
    if isinstance(shape, Items):
        return _locate_item(node, shape, words)
    if isinstance(shape, Entries):
        return _locate_entry(node, shape.of, words)
    if isinstance(shape, Leaf):
        return _locate_in_leaf(node, shape, words)
    return _locate_key(node, shape, words)


def _locate_key(node: Node, section: type[Section], words: Sequence[str]) -> Path:
    if section is Config and words[0] == "VERSION":
        # It says how to read everything else, so it cannot depend on anything else.
        raise VariableUnrecognized
    tree = node if isinstance(node, dict) else {}
    for key in keys(section).values():
        if words[0] in {key.variable, key.name.upper()}:
            return (key.name, *_locate(tree.get(key.name), key.shape, words[1:]))
    if section.is_map:
        return _locate_entry(tree, Leaf("anything"), words)
    raise VariableUnrecognized


def _locate_entry(node: Node, shape: Shape, words: Sequence[str]) -> Path:
    tree = node if isinstance(node, dict) else {}
    name = next((name for name in tree if name.upper() == words[0].upper()), words[0].lower())
    return (name, *_locate(tree.get(name), shape, words[1:]))


def _locate_item(node: Node, shape: Items, words: Sequence[str]) -> Path:
    items = node if isinstance(node, list) else []
    if not (words[0].isascii() and words[0].isdigit()):
        raise VariableInvalid(f"'{words[0]}' is no index of a list; give the whole list as one value, or use 0, 1, …")
    index = int(words[0])
    if index > len(items):
        raise VariableInvalid(f"index {index} leaves a gap: the list has {len(items)} entries, so use {len(items)}")
    item = items[index] if index < len(items) else None
    return (index, *_locate(item, shape.of, words[1:]))


def _locate_in_leaf(node: Node, leaf: Leaf, words: Sequence[str]) -> Path:
    if leaf.kind == "anything" and not isinstance(node, str):
        shape = Items(leaf) if isinstance(node, list) else Entries(leaf)
        return _locate(node, shape, words)
    raise VariableUnrecognized


def _write(tree: Tree, path: Path, value: Node) -> None:
    container: Tree | list[Node] = tree
    for step, following in pairwise(path):
        container = _enter(container, step, make_list=isinstance(following, int))
    _put(container, path[-1], value)


def _enter(container: Tree | list[Node], step: str | int, *, make_list: bool) -> Tree | list[Node]:
    found = _get(container, step)
    if isinstance(found, dict | list):
        return found
    if found is not None:
        raise _misfit()
    made: Tree | list[Node] = [] if make_list else {}
    _put(container, step, made)
    return made


def _get(container: Tree | list[Node], step: str | int) -> Node:
    if isinstance(container, dict) and isinstance(step, str):
        return container.get(step)
    if isinstance(container, list) and isinstance(step, int):
        return container[step] if step < len(container) else None
    raise _misfit()


def _put(container: Tree | list[Node], step: str | int, value: Node) -> None:
    if isinstance(container, dict) and isinstance(step, str):
        container[step] = value
    elif isinstance(container, list) and isinstance(step, int):
        container[step : step + 1] = [value]
    else:
        raise _misfit()


def _misfit() -> VariableInvalid:
    return VariableInvalid("the configuration has another kind of value on the way to this key")
