"""The base of every section, and how to look at the sections as a schema."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator

from entrepot.config.values import Kind, refuse


class Section(BaseModel):
    """Some keys that belong together. A key without a value means its default, as in Go."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    #: True where registry:2 has a map in place of a struct: an environment variable may then make any key.
    is_map: ClassVar[bool] = False
    #: Go field names that differ from the key, in upper case: variables may use either.
    variables: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, tree: object) -> object:
        tree = cls.normalize(tree)
        if not isinstance(tree, Mapping):
            return tree
        return {key: value for key, value in tree.items() if value is not None}

    @classmethod
    def normalize(cls, tree: object) -> object:
        """Another way to write the section, turned into the usual one."""
        return tree

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Representations end up in logs and tracebacks, so they show what `config show` shows: secrets masked.
        yield from self.model_dump(mode="json", by_alias=True).items()


class Choice(Section):
    """A section that picks one type out of several by naming it, with parameters below the name.

    `storage: inmemory` is the short way to write `storage: {inmemory: {}}`.
    """

    is_map: ClassVar[bool] = True
    #: Keys beside the type.
    beside: ClassVar[frozenset[str]] = frozenset()
    #: What the types are called in messages.
    noun: ClassVar[str] = "type"

    @classmethod
    def normalize(cls, tree: object) -> object:
        if isinstance(tree, str):
            tree = {str(tree): {}}
        if not isinstance(tree, Mapping):
            return tree
        chosen = [name for name in tree if name not in cls.beside]
        cls._check(chosen)
        # `inmemory:` without anything below is a choice too, so its absent value may not count as an absent key.
        return {name: {} if value is None and name in chosen else value for name, value in tree.items()}

    @classmethod
    def _check(cls, chosen: list[str]) -> None:
        allowed = [name for name in keys(cls) if name not in cls.beside]
        for name in chosen:
            if name not in allowed:
                raise refuse(f"'{name}' is no {cls.noun}; choose one of {', '.join(allowed)}")
        if len(chosen) > 1:
            names = ", ".join(sorted(chosen))
            raise refuse(f"multiple {cls.noun}s specified in configuration or environment: {names}; keep exactly one")

    @property
    def type(self) -> str:
        """The chosen type, or an empty text."""
        chosen = (name for name in keys(type(self)) if name not in self.beside and getattr(self, name) is not None)
        return next(chosen, "")


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values of one shape."""

    of: "Shape"


@dataclass(frozen=True, slots=True)
class Entries:
    """A map from any name to values of one shape."""

    of: "Shape"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value; `kind` says of what."""

    kind: str
    choices: tuple[str, ...] = ()


Shape: TypeAlias = type[Section] | Items | Entries | Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a section."""

    name: str
    attribute: str
    shape: Shape
    #: The last word of the environment variable.
    variable: str


@cache
def keys(section: type[Section]) -> dict[str, Key]:
    """The keys of a section by the name they have in the file, in the order of the source."""
    hints = typing.get_type_hints(section, include_extras=True)
    return {key.name: key for key in _keys(section, hints)}


def _keys(section: type[Section], hints: Mapping[str, Any]) -> Iterator[Key]:
    for attribute, info in section.model_fields.items():
        name = info.alias or attribute
        variable = section.variables.get(name, name.upper())
        yield Key(name=name, attribute=attribute, shape=shape_of(hints[attribute]), variable=variable)


def shape_of(annotation: Any) -> Shape:
    """The shape that a type annotation describes."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in {typing.Union, types.UnionType}:
        return shape_of(next(argument for argument in arguments if argument is not type(None)))
    if origin is tuple:
        return Items(shape_of(arguments[0]))
    if origin is dict:
        return Entries(shape_of(arguments[1]))
    return Leaf("choice", tuple(arguments))


def _annotated(annotation: Any, metadata: Iterable[object]) -> Shape:
    kind = next((item.label for item in metadata if isinstance(item, Kind)), None)
    if kind == "map":
        return Entries(Leaf("anything"))
    return shape_of(annotation) if kind is None else Leaf(kind)
