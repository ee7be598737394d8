"""What an API key may be used for, as rows keep it and as decisions need it.

A key without limits does whatever its account may. Limits never add a right: each is a set of permissions on a part of
the registry, and what the key does must lie within one of them and within the account's rights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from entrepot.access.model import Grant
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import expand, parse

#: More parts than this are no limit that people oversee.
MOST = 100


class LimitInvalid(ValueError):
    """The text is not a limit; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimit:
    """Permissions on a part of the registry; everything where nothing narrows it."""

    permissions: tuple[str, ...]  #: wildcards as written
    project: str | None = None
    repositories: str | None = None  #: pattern over the full name
    tags: str | None = None  #: pattern over the tag

    def check(self) -> None:
        """Go on only if the limit means something.

        Raises:
            PermissionUnknown: A permission names nothing.
            PatternInvalid: A pattern cannot be read.
            LimitInvalid: There is no permission at all.
        """
        if not self.permissions:
            raise LimitInvalid("a limit needs at least one permission")
        parse(self.permissions)
        for pattern in (self.repositories, self.tags):
            if pattern is not None:
                Pattern.parse(pattern)

    def as_grant(self) -> Grant:
        """Return it in the form that decisions are made with."""
        return Grant(
            permissions=expand(self.permissions),
            project=self.project,
            repositories=None if self.repositories is None else Pattern(self.repositories),
            tags=None if self.tags is None else Pattern(self.tags),
            origin="key",
        )


def write_limits(limits: Iterable[KeyLimit]) -> str:
    """Return the JSON that a row keeps."""
    return json.dumps([_entry(limit) for limit in limits], ensure_ascii=False)


def read_limits(text: str | None) -> tuple[KeyLimit, ...] | None:
    """Read what a row keeps; None when the key has no limits."""
    return None if text is None else tuple([_limit(entry) for entry in json.loads(text)])


def limits_as_grants(text: str | None) -> tuple[Grant, ...] | None:
    """Read what a row keeps, for decisions; None when the key has no limits."""
    limits = read_limits(text)
    return None if limits is None else tuple([limit.as_grant() for limit in limits])


def _entry(limit: KeyLimit) -> dict[str, object]:
    places = {"project": limit.project, "repositories": limit.repositories, "tags": limit.tags}
    return {"permissions": list(limit.permissions)} | {k: v for k, v in places.items() if v is not None}


def _limit(entry: Mapping[str, object]) -> KeyLimit:
    permissions = entry["permissions"]
    assert isinstance(permissions, list)  # we wrote it
    places = {name: _text(entry.get(name)) for name in ("project", "repositories", "tags")}
    return KeyLimit(permissions=tuple(map(str, permissions)), **places)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
