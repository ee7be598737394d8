"""Nobody gives what they do not have: which part of a gift its giver lacks.

The giver must have each permission on the whole of what the gift covers, for at least as long. That a project is open
to readers is nothing they have: it may be closed, and what was given would go on. Whether one pattern lies
within another is not decided in general: an equal pattern does, and a plain name does where it fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from entrepot.access.decision import Rights
from entrepot.access.model import EVERY_REPOSITORY, Grant, Principal
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import Permission, within_project

_WILDCARD = re.compile(r"[*?\[{]")


def lacking(
    giver: Principal,
    rights: Rights,
    gift: Grant,
    *,
    until: int | None = None,
) -> frozenset[Permission]:
    """Return the permissions of `gift` that the giver does not have to give.

    Args:
        giver: Who gives; a token, which is good for one thing, gives nothing.
        rights: What reaches the giver.
        gift: What would be given, with the end of the one who receives it.
        until: When the giver's account ends (microseconds since the epoch); None: never.
    """
    wanted = gift.permissions if _is_boundless(gift) else gift.permissions & within_project()
    if giver.scopes is not None or not _ends_by(until, gift):
        return wanted
    missing = wanted - _given(rights.all(), gift)
    if giver.limits is not None:
        missing |= wanted - _given(giver.limits, gift)
    return missing


def covers(grant: Grant, gift: Grant) -> bool:
    """Tell whether a grant reaches everything that a gift reaches, for as long."""
    if grant.project is not None and grant.project != gift.project:
        return False
    if not _ends_by(grant.expires_at, gift):
        return False
    return _covers_repositories(grant.repositories, gift) and _within(gift.tags, grant.tags)


def _ends_by(end: int | None, gift: Grant) -> bool:
    return end is None or (gift.expires_at is not None and gift.expires_at <= end)


def _given(grants: Iterable[Grant], gift: Grant) -> frozenset[Permission]:
    return frozenset[Permission]().union(*(grant.permissions for grant in grants if covers(grant, gift)))


def _covers_repositories(pattern: Pattern | None, gift: Grant) -> bool:
    if pattern is not None and pattern.text == EVERY_REPOSITORY:
        return not _is_boundless(gift)
    return _within(gift.repositories, pattern)


def _is_boundless(gift: Grant) -> bool:
    """Tell whether a gift reaches the registry as a whole."""
    return gift.project is None and gift.repositories is None


def _within(narrow: Pattern | None, wide: Pattern | None) -> bool:
    if wide is None or narrow == wide:
        return True
    if narrow is None or _WILDCARD.search(narrow.text):
        return False
    return wide.matches(narrow.text)
