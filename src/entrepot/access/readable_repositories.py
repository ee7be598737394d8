"""Which repositories somebody may see in lists: whole projects, and what the patterns of single grants let through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from entrepot.access.decision import Rights, decide
from entrepot.access.model import Grant, Principal, Target, Visibility
from entrepot.access.permissions import PULL
from entrepot.oci.reference import DEFAULT_PROJECT, RepositoryName
from entrepot.registry.catalog import Part, Visible


@dataclass(frozen=True, slots=True)
class _Side:
    """What some grants let through; None in place of projects stands for all of them."""

    projects: frozenset[str] | None
    patterned: tuple[Grant, ...]


def readable(principal: Principal, rights: Rights, open_projects: Iterable[str], now: int) -> Visible:
    """Return the repositories that a principal may see in lists.

    The scopes of a token do not count: one for the catalog is good for all that the account may see.

    Args:
        principal: Who asks.
        rights: What reaches the principal.
        open_projects: The projects that the principal may read without a grant.
        now: Microseconds since the epoch, for grants that expire.
    """
    opened = frozenset(open_projects)
    account = _side(rights.all(), now, opened)
    key = _Side(None, ()) if principal.limits is None else _side(principal.limits, now)
    patterned = [*account.patterned, *key.patterned]
    patterns = [grant.repositories for grant in patterned if grant.repositories is not None]
    return Visible(
        projects=_both(account.projects, key.projects),
        names=[pattern.text for pattern in patterns if pattern.is_plain],
        parts=_parts(patterned),
        allows=_allows(replace(principal, scopes=None), rights, opened, now),
    )


def _side(grants: Iterable[Grant], now: int, opened: frozenset[str] = frozenset()) -> _Side:
    """Sort grants that let somebody pull. One on tags shows the repository: it lets bytes out by digest."""
    pulling = [g for g in grants if PULL in g.permissions and (g.expires_at is None or now < g.expires_at)]
    whole = [grant.project for grant in pulling if grant.repositories is None]
    if None in whole:
        return _Side(None, ())
    names = opened.union(name for name in whole if name is not None)
    return _Side(names, tuple(grant for grant in pulling if grant.repositories is not None))


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _parts(patterned: Iterable[Grant]) -> Collection[Part]:
    """Return the beginnings to look through, without those that lie within another."""
    parts = sorted(
        {_part(grant) for grant in patterned if grant.repositories is not None and not grant.repositories.is_plain},
        key=lambda part: (len(part.beginning), part.project or ""),
    )
    kept: list[Part] = []
    for part in parts:
        if not any(_within(part, wide) for wide in kept):
            kept.append(part)
    return kept


def _part(grant: Grant) -> Part:
    assert grant.repositories is not None
    beginning = grant.repositories.beginning
    if grant.project is None or grant.project == DEFAULT_PROJECT:
        return Part(grant.project, beginning)
    own = f"{grant.project}/"
    return Part(None, beginning if beginning.startswith(own) else own)


def _within(part: Part, wide: Part) -> bool:
    return wide.project in (None, part.project) and part.beginning.startswith(wide.beginning)


def _allows(principal: Principal, rights: Rights, opened: Collection[str], now: int) -> Callable[[str], bool]:
    """Return what tells whether one repository may be pulled from; an open project was found open for the principal."""

    def allows(name: str) -> bool:
        target = Target.of(RepositoryName(name))
        visibility = Visibility.PUBLIC if target.project in opened else Visibility.PRIVATE
        return decide(principal, rights, PULL, target, visibility=visibility, now=now).allowed

    return allows
