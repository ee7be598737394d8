"""What people may do to their own sign-in: only with the password or in a session, never with a key or a token."""

from __future__ import annotations

from fastapi import Request

from entrepot.access.faults import Forbidden, NotFound
from entrepot.access.model import PrincipalKind
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.security_keys import SecurityKeys
from entrepot.web.api.caller import Caller, own_request
from entrepot.web.api.services import ApiServices
from entrepot.web.session.gate import SessionGate


def require_person(caller: Caller) -> None:
    """Go on only for a person who has signed in as themselves.

    Raises:
        AccessRefused: Nobody has signed in.
        Forbidden: A robot, a key or a token asks: who has one of these must not get hold of the account.
    """
    caller.require_sign_in()
    principal = caller.principal
    if principal.kind is not PrincipalKind.USER or principal.key is not None or principal.scopes is not None:
        raise Forbidden("sign in with name and password, or in a browser, to do this")


def gate_of(services: ApiServices) -> SessionGate:
    """Return the sessions of browsers.

    Raises:
        NotFound: This registry has no accounts that sign in with a browser.
    """
    if services.web.sessions is None:
        raise NotFound("nobody signs in to this registry with a browser")
    return services.web.sessions


def factors_of(services: ApiServices) -> SecondFactors:
    """Return the second factors; raises what `gate_of` does."""
    if services.web.second_factors is None:
        raise NotFound("this registry has no accounts")
    return services.web.second_factors


def security_keys_of(services: ApiServices) -> SecurityKeys:
    """Return the security keys; raises what `gate_of` does."""
    if services.web.security_keys is None:
        raise NotFound("this registry has no accounts")
    return services.web.security_keys


async def renew_session(request: Request, caller: Caller, services: ApiServices) -> None:
    """Keep the session that asks; its account may have just ended all of them."""
    if caller.session is not None:
        await gate_of(services).renew(own_request(request))
