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
    for module_info in pkgutil.walk_packages(metadata.__path__, f"{metadata.__name__}."):
        if ".migrations" in module_info.name:
            continue
        module, short = importlib.import_module(module_info.name), module_info.name.rpartition(".")[2]
        for name, value in vars(module).items():
            if isinstance(value, Query):
                yield f"{short}.{name}", value
            elif isinstance(value, dict):
                yield from _of_dict(f"{short}.{name}", value)


def _of_dict(name: str, values: dict[object, object]) -> Iterator[tuple[str, Query]]:
    return ((f"{name}[{key}]", value) for key, value in values.items() if isinstance(value, Query))
