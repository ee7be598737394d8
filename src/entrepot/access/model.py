"""The words of access: principals, targets, grants and decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from entrepot.access.patterns import Pattern
from entrepot.access.permissions import ANY, DELETE, PULL, PUSH, Permission
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope

#: The catalog as a resource of the scope grammar: `registry:catalog:*`.
REGISTRY_TYPE = "registry"
CATALOG_NAME = "catalog"
REPOSITORY_TYPE = "repository"
ANY_ACTION = ANY
#: As the repositories of a grant: all of every project, and the projects themselves, but not the registry as a whole.
EVERY_REPOSITORY = "**"


#: The actions that a token may name in a scope of type `repository`.
REPOSITORY_ACTIONS: Mapping[str, Permission] = {"pull": PULL, "push": PUSH, "delete": DELETE}

#: What each HTTP method needs on the repository it names (field by field what registry:2 asks for).
PERMISSIONS_BY_METHOD = {
    "GET": (PULL,),
    "HEAD": (PULL,),
    "POST": (PULL, PUSH),
    "PUT": (PULL, PUSH),
    "PATCH": (PULL, PUSH),
    "DELETE": (DELETE,),
}


class PrincipalKind(StrEnum):
    """Where a principal's name comes from, and with it which grants reach it."""

    ANONYMOUS = "anonymous"
    USER = "user"  #: an account of ours, of a directory, of a provider or of an htpasswd file
    ROBOT = "robot"  #: a machine's account
    OPERATOR = "operator"  #: whoever works on the data folder itself
    TOKEN = "token"  # noqa: S105 - the kind of a principal whom another service's token names


class Audience(StrEnum):
    """Groups of principals that a grant may be made to, in place of one principal."""

    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking. `scopes`, when set, is all that the token it came with may be used for."""

    kind: PrincipalKind
    name: str
    id: int | None = None  #: row in `principals`; None for names that other services keep
    epoch: int = 0  #: the account's epoch when this was verified: an older one is revoked
    scopes: tuple[Scope, ...] | None = None
    key: int | None = None  #: row in `api_keys`, when it was a key that signed in
    limits: tuple[Grant, ...] | None = None  #: all that the key may be used for; None: whatever the account may
    vouched: bool = False  #: a sign-in provider says who this is, and asks people for what it wants of them
    unproven: bool = False  #: lacks the second factor that is required: good for nothing but setting one up
    fleeting: bool = False  #: signed in with what lives for minutes: it is given nothing that lives longer

    @property
    def is_anonymous(self) -> bool:
        """Tell whether nobody signed in."""
        return self.kind is PrincipalKind.ANONYMOUS

    @property
    def is_insider(self) -> bool:
        """Tell whether internal projects are open: to people who signed in. A machine has what it was given."""
        return not self.is_anonymous and self.kind is not PrincipalKind.ROBOT

    @property
    def label(self) -> str:
        """Name the principal so that no two kinds share a name: the owner of upload sessions."""
        return f"{self.kind}:{self.name}"

    @property
    def credential(self) -> str:
        """Say for the audit log what signed in, where that is known."""
        if self.kind is PrincipalKind.OPERATOR:
            return "command line"
        if self.key is not None:
            return f"key:{self.key}"
        if self.is_anonymous:
            return ""
        return "token" if self.fleeting or self.scopes is not None else "password"

    def with_scopes(self, scopes: Iterable[Scope]) -> Principal:
        """Return the same principal, limited to `scopes`."""
        return replace(self, scopes=tuple(scopes))

    def beyond_token(self) -> Principal:
        """Return the person behind the token: the same for a token of another service, which is all we know of it."""
        return self if self.kind is PrincipalKind.TOKEN else replace(self, scopes=None)


ANONYMOUS = Principal(kind=PrincipalKind.ANONYMOUS, name="")


class Visibility(StrEnum):
    """Who may read a project without having been granted anything."""

    PRIVATE = "private"
    INTERNAL = "internal"  #: whoever is signed in, but for robots
    PUBLIC = "public"  #: everybody


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is done to: the registry as a whole, a project, a repository or a tag of it."""

    project: str | None = None
    repository: RepositoryName | None = None
    tag: str | None = None

    @classmethod
    def of(cls, name: RepositoryName | None, tag: str | None = None) -> Target:
        """Return a repository as a target, with its project; None means the registry as a whole."""
        return SYSTEM_TARGET if name is None else cls(name.project, name, tag)

    def __str__(self) -> str:
        if self.repository is not None:
            return f"repository {self.repository}" + (f", tag {self.tag}" if self.tag is not None else "")
        return "the registry" if self.project is None else f"project {self.project}"


SYSTEM_TARGET = Target()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Permissions given to one principal, to a group it is in, or to an audience, on a part of the registry.

    Without `project`, `repositories` and `tags` that part is everything. A grant on tags alone lets bytes in and out by
    digest, for an upload names no tag; the tag is asked for where it is set, moved or read.
    """

    permissions: frozenset[Permission]  #: wildcards spelt out
    role: str = ""  #: name of the role they come from; empty for permissions given one by one
    project: str | None = None
    repositories: Pattern | None = None  #: over the full name
    tags: Pattern | None = None
    origin: str = ""  #: why it exists, for people: `first-start`, `registry2-compat`, ...
    principal_id: int | None = None
    group: str = ""  #: name of the group through which it reaches the principal
    audience: Audience | None = None
    expires_at: int | None = None  #: microseconds since the epoch
    id: int | None = None

    def misses(self, permission: Permission, target: Target, now: int) -> str:
        """Say why the grant does not allow `permission` on `target`; the empty text when it does."""
        if permission not in self.permissions:
            return "it does not include the permission"
        if self.project is not None and self.project != target.project:
            return "it is for another project"
        if self.expires_at is not None and now >= self.expires_at:
            return "it has expired"
        if self.repositories is not None and not _fits(self.repositories, target):
            return "its pattern does not match the repository"
        if self.tags is not None and not self._reaches_tag(permission, target):
            return "its pattern does not match the tag"
        return ""

    def _reaches_tag(self, permission: Permission, target: Target) -> bool:
        assert self.tags is not None
        if target.tag is None:
            return target.repository is not None and permission in (PULL, PUSH)
        return self.tags.matches(target.tag)

    def __str__(self) -> str:
        what = f"role {self.role}" if self.role else "permissions"
        where = [f"project {self.project}"] if self.project is not None else []
        where += [f"repositories {self.repositories.text}"] if self.repositories is not None else []
        where += [f"tags {self.tags.text}"] if self.tags is not None else []
        through = f", through group {self.group}" if self.group else ""
        return f"grant {self.origin or self.id}: {what} on {', '.join(where) or 'everything'}{through}"


def _fits(pattern: Pattern, target: Target) -> bool:
    if target.repository is None:
        return target.project is not None and pattern.text == EVERY_REPOSITORY
    return pattern.matches(target.repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether something is allowed, and why: the reason is for people and logs."""

    allowed: bool
    reason: str
    trace: tuple[str, ...] = ()  #: every grant that was looked at and what came of it; only where it was asked for


def scope_for(name: RepositoryName | None, permissions: Iterable[Permission]) -> Scope:
    """Return the scope that a token needs on a repository, or on the catalog when there is no name."""
    if name is None:
        return Scope(REGISTRY_TYPE, CATALOG_NAME, (ANY_ACTION,))
    return Scope(REPOSITORY_TYPE, str(name), tuple(permission.action for permission in permissions))
