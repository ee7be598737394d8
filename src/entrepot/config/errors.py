"""What goes wrong while a configuration is read.

ConfigInvalid          the whole story, for people: every problem found, one sentence each
DocumentInvalid        a text is not the YAML we read
VariableUnrecognized   an environment variable names nothing we know
VariableInvalid        an environment variable names something, but cannot be applied
"""

from collections.abc import Sequence


class ConfigInvalid(Exception):
    """The configuration cannot be used."""

    def __init__(self, problems: Sequence[str], warnings: Sequence[str] = ()) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


class DocumentInvalid(ValueError):
    """The text is not YAML that a configuration can be read from. The message never quotes the text."""


class VariableUnrecognized(ValueError):
    """The environment variable names no key."""


class VariableInvalid(ValueError):
    """The environment variable cannot be applied."""
