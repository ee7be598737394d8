"""Finds every statement that the metadata package keeps as a constant."""

import importlib
import pkgutil
from collections.abc import Iterator

from entrepot import metadata
from entrepot.metadata.query import Query


def all_queries() -> dict[str, Query]:
    """Return the statements by module and name."""
    return dict(_queries())


def _queries() -> Iterator[tuple[str, Query]]:
    for module_info in pkgutil.iter_modules(metadata.__path__):
        module = importlib.import_module(f"{metadata.__name__}.{module_info.name}")
        for name, value in vars(module).items():
            if isinstance(value, Query):
                yield f"{module_info.name}.{name}", value
            elif isinstance(value, dict):
                yield from _of_dict(f"{module_info.name}.{name}", value)


def _of_dict(name: str, values: dict[object, object]) -> Iterator[tuple[str, Query]]:
    return ((f"{name}[{key}]", value) for key, value in values.items() if isinstance(value, Query))
