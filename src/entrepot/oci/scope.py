"""Token scopes: ``type[(class)]:name:action[,action]``, separated by spaces (Docker token specification, "Scope")."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: A request may name this many resources; what follows is not granted.
MAX_SCOPES = 100

# A name may hold a colon (a host with a port), hence the greedy middle: the last colon ends it. The class in
# parentheses is deprecated and means nothing any more. No character here needs quoting in a challenge header.
_SCOPE = re.compile(r"([a-z0-9]{1,64})(?:\([a-z0-9]{1,64}\))?:([A-Za-z0-9._/*:-]{1,320}):([a-z*,]{0,256})")


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on one resource, as tokens and challenges name them."""

    type: str
    name: str
    #: Without repetition, in the order written.
    actions: tuple[str, ...]

    def __str__(self) -> str:
        """Give the canonical text."""
        return f"{self.type}:{self.name}:{','.join(self.actions)}"


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """Read a list of scopes; several for one resource become one.

    What is malformed is left out: the token service grants less than was asked for, and never answers with an error.
    """
    actions: dict[tuple[str, str], dict[str, None]] = {}
    for element in text.split(" ", MAX_SCOPES)[:MAX_SCOPES]:
        match = _SCOPE.fullmatch(element)
        if match is not None:
            kept = actions.setdefault((match[1], match[2]), {})
            kept.update(dict.fromkeys(action for action in match[3].split(",") if action))
    return tuple(Scope(kind, name, tuple(kept)) for (kind, name), kept in actions.items())


def format_scopes(scopes: Iterable[Scope]) -> str:
    """Write scopes as a challenge or a token request has them."""
    return " ".join(map(str, scopes))
