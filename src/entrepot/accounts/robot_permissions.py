"""What a robot may do, in Harbor's shape and as grants.

    {"kind": "project", "namespace": "demo", "access": [{"resource": "repository", "action": "push"}]}

A namespace is a project's name, `*` for every project, or `/` (kind `system`) for the registry as a whole. Two fields
of our own narrow an entry: `repositories` and `tags`, patterns over the full name and the tag.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from entrepot.access.faults import Invalid
from entrepot.access.model import EVERY_REPOSITORY, Grant
from entrepot.access.patterns import Pattern, PatternInvalid
from entrepot.access.permissions import SYSTEM, Permission, PermissionUnknown, expand, parse, within_project
from entrepot.metadata.people.grants import GrantRecord

#: `origin` of a robot's grants: others may be given to it like to a user, and are none of its permissions.
ORIGIN = "robot"
EVERY_PROJECT = "*"
REGISTRY = "/"
_MOST = 200
#: Characters of all permissions of one robot, as an answer writes them: a page shows a hundred robots.
_MOST_CHARACTERS = 128 * 1024
#: Of one action that is allowed: `{"resource":"tag-retention","action":"operate","effect":"allow"}`.
_ACCESS_CHARACTERS = 60


class Kind(StrEnum):
    """What a permission is about."""

    SYSTEM = "system"
    PROJECT = "project"


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotPermission:
    """Some permissions on a part of the registry."""

    kind: Kind
    namespace: str
    access: tuple[Permission, ...]
    repositories: str | None = None
    tags: str | None = None

    @property
    def characters(self) -> int:
        """About how long it is in an answer."""
        texts = (self.namespace, self.repositories or "", self.tags or "")
        return _ACCESS_CHARACTERS * len(set(self.access)) + sum(map(len, texts))

    @property
    def project(self) -> str | None:
        """The project's name, where it is about one."""
        return None if self.namespace in (EVERY_PROJECT, REGISTRY) else self.namespace

    def check(self) -> None:
        """Go on only if the permission means something.

        Raises:
            Invalid: It does not; the message says what to write.
        """
        if (self.kind is Kind.SYSTEM) != (self.namespace == REGISTRY):
            raise Invalid(
                "a permission is of kind system with the namespace /, or of kind project with a project's name"
            )
        if not self.access:
            raise Invalid(f"the permission on {self.namespace} names nothing that is allowed")
        if self.kind is Kind.SYSTEM and (self.repositories is not None or self.tags is not None):
            raise Invalid("only permissions of kind project can be narrowed to repositories and tags")
        self._check_access()
        self._check_patterns()

    def as_grant(self, expires_at: int | None = None) -> Grant:
        """Return it as the grant that decisions are made with; `expires_at` is the robot's end."""
        repositories = self.stored_repositories
        return Grant(
            permissions=expand(self.stored_access),
            project=self.project,
            repositories=None if repositories is None else Pattern(repositories),
            tags=None if self.tags is None else Pattern(self.tags),
            origin=ORIGIN,
            expires_at=expires_at,
        )

    @property
    def stored_repositories(self) -> str | None:
        """The pattern of the grant: every project is one, too, so that the registry as a whole stays out of reach."""
        return EVERY_REPOSITORY if self.namespace == EVERY_PROJECT and self.repositories is None else self.repositories

    @property
    def stored_access(self) -> frozenset[Permission]:
        """The permissions of the grant. Beyond one project wildcards are spelt out: `*` also means the other kind."""
        if self.namespace == EVERY_PROJECT:
            return expand(self.access) & within_project()
        return expand(self.access) & _SYSTEM if self.kind is Kind.SYSTEM else frozenset(self.access)

    def _check_access(self) -> None:
        try:
            parse(self.access)
        except PermissionUnknown as error:
            raise Invalid(str(error)) from None
        allowed = within_project() if self.kind is Kind.PROJECT else _SYSTEM
        beside = sorted(permission for permission in self.access if not expand((permission,)) & allowed)
        if beside:
            raise Invalid(
                f"{', '.join(beside)} cannot be allowed on {self.namespace}; GET /api/v2.0/permissions says what"
            )

    def _check_patterns(self) -> None:
        for pattern in (self.repositories, self.tags):
            try:
                if pattern is not None:
                    Pattern.parse(pattern)
            except PatternInvalid as error:
                raise Invalid(str(error)) from None


_SYSTEM = frozenset(Permission.of(resource, action) for resource, actions in SYSTEM.items() for action in actions)


def check_permissions(permissions: tuple[RobotPermission, ...], project: str | None) -> None:
    """Go on only if a robot of this project, or (None) of the registry, can have these permissions.

    Raises:
        Invalid: It cannot; the message says why.
    """
    if len(permissions) > _MOST:
        raise Invalid(f"a robot has {_MOST} permissions at most; use patterns or * for more")
    if sum(permission.characters for permission in permissions) > _MOST_CHARACTERS:
        raise Invalid(
            f"the robot's permissions are longer than {_MOST_CHARACTERS // 1024} KiB; use patterns or * for more"
        )
    for permission in permissions:
        permission.check()
        if project is not None and permission.project != project:
            raise Invalid(
                f"a robot of project {project} can have permissions on {project} only, not on {permission.namespace}"
            )


def from_grants(records: Iterable[GrantRecord]) -> tuple[RobotPermission, ...]:
    """Return a robot's permissions from its grants."""
    return tuple([_from_grant(record) for record in records if record.origin == ORIGIN])


def _from_grant(record: GrantRecord) -> RobotPermission:
    everywhere = record.project is None and record.repositories is None
    whole = record.project is None and record.repositories == EVERY_REPOSITORY
    return RobotPermission(
        kind=Kind.SYSTEM if everywhere else Kind.PROJECT,
        namespace=REGISTRY if everywhere else record.project or EVERY_PROJECT,
        access=tuple(map(Permission, sorted(record.permissions))),
        repositories=None if whole else record.repositories,
        tags=record.tags,
    )
