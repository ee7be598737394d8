"""Who is asking, and may they: what every handler of the API begins with.

async def get_thing(caller: CallerOf, services: ServicesOf, thing: str) -> Thing:
    await caller.require(Permission("thing:read"))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from entrepot.access.authorizer import MUST_CHANGE, MUST_ENROL, Authorizer
from entrepot.access.errors import AccessRefused
from entrepot.access.faults import Forbidden, NotFound
from entrepot.access.model import SYSTEM_TARGET, Principal, Target
from entrepot.access.permissions import Permission
from entrepot.access.web_sessions import Session
from entrepot.metadata.engine.ballast import Reserve, use_reserve
from entrepot.metadata.events import Source
from entrepot.web.api.mount import REQUEST
from entrepot.web.api.services import ApiServices
from entrepot.web.http import Request as OwnRequest
from entrepot.web.rates import Counted

READ_PROJECT = Permission("project:read")
#: Whoever has this in a project looks for people and groups to give roles to.
_GIVE_ROLES = Permission("member:create")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent a request, and what to write into the audit log about them."""

    principal: Principal
    source: Source
    authorizer: Authorizer
    counted: Counted
    session: Session | None = None  #: the browser's session, where that is what signed in
    deletes: bool = False  #: whether the request is a DELETE, which finds room on a full disk once the caller may

    async def may(self, permission: Permission, target: Target = SYSTEM_TARGET) -> bool:
        """Tell whether the caller may do something."""
        return (await self.authorizer.allows(self.principal, permission, target)).allowed

    async def require(
        self, permission: Permission, target: Target = SYSTEM_TARGET, *, hidden: str | None = None
    ) -> None:
        """Go on only if the caller may do something.

        Args:
            permission: What the caller wants to do.
            target: What it would be done to.
            hidden: What to say where the caller may not even know of it: no more than they have said.

        Raises:
            AccessRefused: Nobody has signed in.
            NotFound: The target is in a project that the caller may not even read.
            Forbidden: The caller may not do this.
            TooManyRequests: There were too many requests to the target's project.
        """
        decision = await self.authorizer.allows(self.principal, permission, target)
        if decision.allowed:
            self._release_reserve()
            await self.counted.project(target.project)
            return
        self.require_sign_in()
        if target.project is not None and not await self.may(READ_PROJECT, Target(target.project)):
            raise NotFound(hidden or f"there is no project {target.project}, or you may not see it")
        raise Forbidden(f"you may not do this: {decision.reason}")

    async def require_to_choose_members(self, permission: Permission) -> None:
        """Go on only for who has a permission on the registry, or gives roles in some project.

        Raises:
            AccessRefused: Nobody has signed in.
            Forbidden: The caller has no reason to look for people and groups.
        """
        if not await self.authorizer.allows_somewhere(self.principal, _GIVE_ROLES):
            await self.require(permission)

    def require_sign_in(self) -> None:
        """Go on only if somebody has signed in.

        Raises:
            AccessRefused: Nobody has.
        """
        if self.principal.is_anonymous:
            raise AccessRefused("sign in to do this")
        self._release_reserve()  # for what is the caller's own; else it is still asked whether they may

    def _release_reserve(self) -> None:
        if self.deletes:
            use_reserve(Reserve.RELEASED)


def own_request(request: Request) -> OwnRequest:
    """Return our own view of a request, with its id and the client's address."""
    return cast("OwnRequest", request.scope[REQUEST])


def services_of(request: Request) -> ApiServices:
    """Return what handlers work with."""
    return cast("ApiServices", request.app.state.services)


ServicesOf = Annotated[ApiServices, Depends(services_of)]


async def caller_of(request: Request, services: ServicesOf) -> Caller:
    """Return who is asking, unless all they may do is change their password or set up a second factor.

    Raises:
        Forbidden: Administrators need a second factor, and the caller has none.
        And what `caller_setting_up` raises.
    """
    caller = await caller_setting_up(request, services)
    if await caller.authorizer.is_unproven(caller.principal):
        raise Forbidden(f"{MUST_ENROL}: POST /api/v2.0/users/current/second_factor")
    return caller


async def caller_setting_up(request: Request, services: ServicesOf) -> Caller:
    """Return who is asking, also if all they may do is set up a second factor.

    Raises:
        Forbidden: The password was set by somebody else and must be changed first.
        And what `caller_changing_password` raises.
    """
    caller = await caller_changing_password(request, services)
    if await caller.authorizer.must_change_password(caller.principal):
        raise Forbidden(f"{MUST_CHANGE}: PUT /api/v2.0/users/{caller.principal.id}/password")
    return caller


async def caller_changing_password(request: Request, services: ServicesOf) -> Caller:
    """Return who is asking, also if all they may do is change their password.

    Raises:
        CredentialsRefused: The credentials are wrong.
        TokenRefused: The token is not valid any more.
        TooManyRequests: Too many failures from there or for that account, or too many requests of it.
        ForeignRequest: A session's cookie came with a change, and without proof that a page of ours sent it.
    """
    own = own_request(request)
    session = await _session(own, services)
    principal = session.principal if session is not None else await _signed_in(own, services)
    own.user = principal.name
    counted = Counted(services.web.rates, own)
    await counted.principal(principal)
    credential = "session" if session is not None else principal.credential
    source = Source(name=principal.name, address=own.client, credential=credential, request=own.id)
    return Caller(
        principal=principal,
        source=source,
        authorizer=services.web.authorizer,
        counted=counted,
        session=session,
        deletes=own.method == "DELETE",
    )


async def _session(own: OwnRequest, services: ApiServices) -> Session | None:
    """Return the browser's session, unless the request brings credentials of its own."""
    if services.web.sessions is None or own.header(b"authorization") is not None:
        return None
    return await services.web.sessions.authenticate(own)


async def _signed_in(own: OwnRequest, services: ApiServices) -> Principal:
    return await services.web.authenticator.authenticate(own.header(b"authorization"), own.client)


CallerOf = Annotated[Caller, Depends(caller_of)]
#: For the handlers that somebody needs who must set up a second factor.
CallerSettingUp = Annotated[Caller, Depends(caller_setting_up)]
#: For the few handlers that somebody needs who must change their password: who they are, and changing it.
CallerChangingPassword = Annotated[Caller, Depends(caller_changing_password)]
