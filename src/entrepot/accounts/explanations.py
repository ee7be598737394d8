"""Why somebody may, or may not: asked by name, answered with every grant that was looked at."""

from __future__ import annotations

from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Invalid, NotFound
from entrepot.access.model import (
    ANONYMOUS,
    REPOSITORY_ACTIONS,
    SYSTEM_TARGET,
    Decision,
    Principal,
    PrincipalKind,
    Target,
)
from entrepot.access.permissions import Permission, known
from entrepot.accounts.names import NOBODY
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.people import principals
from entrepot.metadata.people.principals import PrincipalRecord
from entrepot.oci.errors import NameInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag


class Explaining:
    """Answers `access explain`; whether the caller may ask, the caller's side has asked before."""

    def __init__(self, metadata: Reader, authorizer: Authorizer) -> None:
        self._metadata = metadata
        self._authorizer = authorizer

    async def explain(self, name: str, action: str, target: str, *, robot: bool = False) -> Decision:
        """Decide for an account as it would be decided if it signed in now with its password.

        Args:
            name: The account; `anonymous` for whoever has not signed in.
            action: A permission (`repository:pull`), or `pull`, `push` or `delete`.
            target: A repository, with a tag after `:` if one is meant; a project, with `/` after its name; or the
                empty text for the registry as a whole.
            robot: Whether the name is a robot's.

        Raises:
            NotFound: There is no such account.
            Invalid: The action or the target cannot be.
        """
        permission, wanted = action_named(action), target_named(target)
        if name == NOBODY and not robot:
            return await self._authorizer.explain(ANONYMOUS, permission, wanted)
        account = await self._account(principals.ROBOT if robot else principals.USER, name)
        if account.disabled or (account.expires_at is not None and account.expires_at <= clock.now()):
            return Decision(allowed=False, reason=f"the account {account.name} is closed, or its time is over")
        principal = Principal(kind=PrincipalKind(account.kind), name=account.name, id=account.id, epoch=account.epoch)
        return await self._authorizer.explain(principal, permission, wanted)

    async def _account(self, kind: str, name: str) -> PrincipalRecord:
        account = await principals.find(self._metadata, kind, name)
        if account is None:
            raise NotFound(f"there is no {kind} {name[:100]}")
        return account


def action_named(text: str) -> Permission:
    """Read a permission, or the name of an action on a repository.

    Raises:
        Invalid: There is none of this name.
    """
    permission = REPOSITORY_ACTIONS.get(text, Permission(text))
    if permission not in known():
        raise Invalid(
            f"there is no action {text[:100]!a}; say pull, push or delete, or one of GET /api/v2.0/permissions"
        )
    return permission


def target_named(text: str) -> Target:
    """Read a repository with or without a tag, a project with `/` after its name, or nothing for the registry.

    Raises:
        Invalid: It is none of these.
    """
    if not text:
        return SYSTEM_TARGET
    try:
        if text.endswith("/"):
            return _project(text.removesuffix("/"))
        name, colon, tag = text.partition(":")
        return Target.of(RepositoryName.parse(name), Tag.parse(tag) if colon else None)
    except (NameInvalid, TagInvalid):
        raise Invalid(
            f"{text[:100]!a} is no repository (team/app or team/app:v1), and no project with / after its name (team/)"
        ) from None


def _project(name: str) -> Target:
    if "/" in RepositoryName.parse(name):
        raise NameInvalid
    return Target(name)
