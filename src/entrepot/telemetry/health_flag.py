"""How the supervisor tells the workers that a health check fails: a file that exists as long."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: The problem of a registry that is being stopped.
DRAINING: Final = "draining"


@dataclass(frozen=True, slots=True)
class HealthFlag:
    """The file."""

    path: Path

    def problems(self) -> dict[str, str]:
        """Give what is wrong, by the check's name; empty when all is well."""
        try:
            return dict(json.loads(self.path.read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def write(self, problems: Mapping[str, str]) -> None:
        """Say what is wrong; where that cannot be written down, the workers do not learn it, and nothing ends by it."""
        if not problems:
            self.path.unlink(missing_ok=True)
            return
        temporary = self.path.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(dict(problems)))
            temporary.replace(self.path)
