"""What a grant gives, to whom and where: read from a request, and checked before it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from entrepot.access.faults import Invalid, NotFound
from entrepot.access.model import Audience, Grant
from entrepot.access.patterns import Pattern, PatternInvalid
from entrepot.access.permissions import PermissionUnknown, expand, parse, within_project
from entrepot.metadata import clock
from entrepot.metadata.contents import projects
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Reader
from entrepot.metadata.people import roles

_FIRST_PART = re.compile(r"([^*?\[{]+)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """On which part of a project, or of the registry, a grant works, and until when."""

    repositories: str | None = None  #: a pattern over full names
    tags: str | None = None  #: a pattern
    expires_at: int | None = None  #: microseconds since the epoch


WHOLE = Extent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gift:
    """A role, or permissions one by one, to be given to one account, one group or an audience."""

    principal_id: int | None = None
    audience: Audience | None = None
    role_id: int | None = None
    permissions: frozenset[str] | None = None
    project: str | None = None  #: None: the whole registry
    extent: Extent = WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedGift:
    """A gift that can be given: as it is decided on, and as it is kept."""

    gift: Gift
    grant: Grant
    project: ProjectRecord | None
    what: str  #: for people: the role's name, or the permissions


async def checked_gift(reader: Reader, gift: Gift) -> CheckedGift:
    """Return a gift with everything that it names looked up.

    Raises:
        Invalid: It says something that cannot be.
        NotFound: There is no such role or project.
    """
    if (gift.principal_id is None) == (gift.audience is None):
        raise Invalid("a grant is made to a user, a robot or a group, or to an audience: say one of them")
    repositories, tags = _pattern(gift.extent.repositories), _pattern(gift.extent.tags)
    if gift.extent.expires_at is not None and gift.extent.expires_at <= clock.now():
        raise Invalid("the grant would have ended already; choose a moment ahead")
    project = None if gift.project is None else await _project(reader, gift.project)
    if project is not None and repositories is not None:
        _require_within(repositories, project.name)
    permissions, what = await _permissions(reader, gift)
    grant = Grant(
        permissions=expand(permissions),
        project=gift.project,
        repositories=repositories,
        tags=tags,
        expires_at=gift.extent.expires_at,
    )
    if project is not None and not grant.permissions & within_project():
        raise Invalid(f"{what} gives nothing that can be done within a project; give it on the whole registry")
    return CheckedGift(gift=gift, grant=grant, project=project, what=what)


async def _permissions(reader: Reader, gift: Gift) -> tuple[Iterable[str], str]:
    if (gift.role_id is None) == (gift.permissions is None):
        raise Invalid("a grant gives a role, or permissions one by one: say one of them")
    if gift.role_id is not None:
        role = await roles.find(reader, gift.role_id)
        if role is None:
            raise NotFound(f"there is no role {gift.role_id}; GET /api/v2.0/roles lists them all")
        return role.permissions, role.name
    try:
        wanted = parse(gift.permissions or ())
    except PermissionUnknown as error:
        raise Invalid(str(error)) from None
    if not wanted:
        raise Invalid("a grant gives at least one permission")
    return wanted, ",".join(sorted(wanted))


async def _project(reader: Reader, name: str) -> ProjectRecord:
    project = await projects.find(reader, name)
    if project is None:
        raise NotFound(f"there is no project {name[:100]}")
    return project


def _pattern(text: str | None) -> Pattern | None:
    try:
        return None if text is None else Pattern.parse(text)
    except PatternInvalid as error:
        raise Invalid(str(error)) from None


def _require_within(pattern: Pattern, project: str) -> None:
    """Go on only if a pattern can match a repository of the project; names of one part belong to `library`."""
    first = _FIRST_PART.match(pattern.text)
    if first is not None and first[1].split("/")[0] != project:
        raise Invalid(f"the pattern is over full names, so here it begins with {project}/")
