"""The configuration as typed values: one module per section of the file, `Config` for the whole.

Attributes are named like the keys of the file. The text below each is its documentation, from which
docs/reference/configuration.md is made.
"""

from entrepot.config.schema.config import Config, Source

__all__ = ["Config", "Source"]
