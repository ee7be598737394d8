"""What somebody else answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]  #: by lower-case name; of several, the first
    body: bytes = field(repr=False)
    url: str = field(default="", repr=False)  #: where it came from, after redirects
