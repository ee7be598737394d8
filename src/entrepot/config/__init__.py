"""Configuration: registry:2's `config.yml` and `REGISTRY_*` variables, and a few keys of our own.

The way of a value: `document` reads the YAML without guessing types, `environment` lays the variables over it,
`schema` turns the tree into typed values, `support` says what this version cannot do with them, and `checking` looks
at the files and folders they name. `load` is the first four, `check` all five.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entrepot.config.address import Address, parse_address
    from entrepot.config.checking import Report, check
    from entrepot.config.errors import ConfigInvalid
    from entrepot.config.loading import Loaded, load
    from entrepot.config.schema import Config

__all__ = ["Address", "Config", "ConfigInvalid", "Loaded", "Report", "check", "load", "parse_address"]

#: Where each name is. The schema takes a tenth of a second to build: a command that reads no configuration does not.
_PLACES = {
    "Address": "address",
    "parse_address": "address",
    "Report": "checking",
    "check": "checking",
    "ConfigInvalid": "errors",
    "Loaded": "loading",
    "load": "loading",
    "Config": "schema",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
