"""Configuration: registry:2's `config.yml` and `REGISTRY_*` variables, and a few keys of our own.

The way of a value: `document` reads the YAML without guessing types, `environment` lays the variables over it,
`schema` turns the tree into typed values, `support` says what this version cannot do with them, and `checking` looks
at the files and folders they name. `load` is the first four, `check` all five.
"""

from entrepot.config.address import Address, parse_address
from entrepot.config.checking import Report, check
from entrepot.config.errors import ConfigInvalid
from entrepot.config.loading import Loaded, load
from entrepot.config.schema import Config

__all__ = ["Address", "Config", "ConfigInvalid", "Loaded", "Report", "check", "load", "parse_address"]
