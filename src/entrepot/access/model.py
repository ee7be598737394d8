"""The words of access: principals, actions, grants and decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope

#: The catalog as a resource of the scope grammar: `registry:catalog:*`.
REGISTRY_TYPE = "registry"
CATALOG_NAME = "catalog"
REPOSITORY_TYPE = "repository"
ANY_ACTION = "*"


class Action(StrEnum):
    """What a principal may be allowed to do."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    CATALOG = "catalog"  #: list repositories; which ones is decided for each
    CREATE_PROJECT = "create"  #: make a project, also by pushing into one that does not exist
    ADMIN = "admin"  #: everything else: accounts, settings, visibility


#: The actions that a token may name in a scope of type `repository`.
REPOSITORY_ACTIONS = (Action.PULL, Action.PUSH, Action.DELETE)

#: What each HTTP method needs on the repository it names (field by field what registry:2 asks for).
ACTIONS_BY_METHOD = {
    "GET": (Action.PULL,),
    "HEAD": (Action.PULL,),
    "POST": (Action.PULL, Action.PUSH),
    "PUT": (Action.PULL, Action.PUSH),
    "PATCH": (Action.PULL, Action.PUSH),
    "DELETE": (Action.DELETE,),
}


class PrincipalKind(StrEnum):
    """Where a principal's name comes from, and with it which grants reach it."""

    ANONYMOUS = "anonymous"
    USER = "user"  #: an account of ours or of an htpasswd file
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

    @property
    def is_anonymous(self) -> bool:
        """Tell whether nobody signed in."""
        return self.kind is PrincipalKind.ANONYMOUS

    @property
    def key(self) -> str:
        """Name the principal so that no two kinds share a name: the owner of upload sessions."""
        return f"{self.kind}:{self.name}"

    def with_scopes(self, scopes: Iterable[Scope]) -> Principal:
        """Return the same principal, limited to `scopes`."""
        return replace(self, scopes=tuple(scopes))

    def beyond_token(self) -> Principal:
        """Return the person behind the token: the same for a token of another service, which is all we know of it."""
        return self if self.kind is PrincipalKind.TOKEN else replace(self, scopes=None)


ANONYMOUS = Principal(kind=PrincipalKind.ANONYMOUS, name="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A right given to one principal or to an audience; `resource` is `*` or `project:<name>`."""

    resource: str
    actions: frozenset[str]
    origin: str = ""  #: why it exists, for people: `first-start`, `registry2-compat`, ...
    principal_id: int | None = None
    audience: Audience | None = None
    id: int | None = None

    def covers(self, action: Action, project: str | None) -> bool:
        """Tell whether the grant allows `action` on a project's repositories (None: on the registry as a whole)."""
        if action not in self.actions and ANY_ACTION not in self.actions:
            return False
        return self.resource == ANY_RESOURCE or (project is not None and self.resource == project_resource(project))


ANY_RESOURCE = "*"


def project_resource(project: str) -> str:
    """Return how a grant names a project."""
    return f"project:{project}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether something is allowed, and why: the reason is for people and logs."""

    allowed: bool
    reason: str


def scope_for(name: RepositoryName | None, actions: Iterable[Action]) -> Scope:
    """Return the scope that a token needs for `actions` on a repository, or on the catalog when there is no name."""
    if name is None:
        return Scope(REGISTRY_TYPE, CATALOG_NAME, (ANY_ACTION,))
    return Scope(REPOSITORY_TYPE, str(name), tuple(str(action) for action in actions))
