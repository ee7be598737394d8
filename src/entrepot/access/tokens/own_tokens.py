"""Our own tokens: what they may say, how they are signed, and how they are believed (Docker token specification)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from entrepot.access.authorizer import Authorizer
from entrepot.access.durations import Span, always
from entrepot.access.errors import SetupError, TokenRefused
from entrepot.access.model import (
    ANY_ACTION,
    CATALOG_NAME,
    REGISTRY_TYPE,
    REPOSITORY_ACTIONS,
    REPOSITORY_TYPE,
    SYSTEM_TARGET,
    Principal,
    PrincipalKind,
    Target,
)
from entrepot.access.permissions import CATALOG, Permission
from entrepot.access.policy import Policy
from entrepot.access.tokens.jwt import check_lifetime, has_audience, read_header, scopes_of, sign, text, verified_claims
from entrepot.access.tokens.signing_keys import SigningKeys
from entrepot.access.ttl_cache import Memory
from entrepot.metadata.clock import seconds as clock_seconds
from entrepot.oci.errors import NameInvalid
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope

#: `service` in our challenges and `aud` in our tokens.
SERVICE = "entrepot"
ISSUER = "entrepot"
LIFETIME = 300
#: The token specification's least: clients that are told less assume this much.
SHORTEST_LIFETIME = 60
#: Two workers' clocks are one clock; this covers a step of it.
_LEEWAY = 5.0
_HEADER_FIELDS = frozenset({"alg", "kid", "typ"})
#: Our claim that ties a token to an account: kind, id and epoch, the key that signed in if it was one, and `whole` for
#: a token that stands for the account and not for some scopes.
_ACCOUNT = "entrepot"
#: The operator's requests never cross a network, and no token speaks for them.
_KINDS = frozenset(kind.value for kind in PrincipalKind) - {PrincipalKind.OPERATOR.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token as the endpoint hands it out."""

    text: str = field(repr=False)
    expires_in: int  #: seconds
    issued_at: int  #: seconds since the epoch
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Whom a token speaks for, and until when (seconds since the epoch, leeway included)."""

    principal: Principal
    expires: float


class TokenService:
    """Issues tokens that say what a principal asked for, as far as it has the right."""

    def __init__(
        self,
        keys: SigningKeys,
        authorizer: Authorizer,
        *,
        issuer: str = ISSUER,
        service: str = SERVICE,
        lifetime: int = LIFETIME,
        span: Span | None = None,
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        if lifetime < SHORTEST_LIFETIME:
            raise SetupError(f"tokens must live at least {SHORTEST_LIFETIME} seconds, not {lifetime}")
        self.service = service
        self._issuer = issuer
        self._keys = keys
        self._authorizer = authorizer
        self._lifetime = span or always(lifetime)
        self._clock = clock

    async def issue(self, principal: Principal, scopes: Iterable[Scope]) -> IssuedToken:
        """Sign a token for the part of `scopes` that the principal may have; less is no error.

        A yes may be a few seconds old, since each use of the token is decided again; a no is what is true now.
        """
        wishes = [wish for scope in scopes if (wish := _Wish.of(scope)) is not None]
        recalled = [await self._recalls(principal, wish) for wish in wishes]
        now = await self._moment(principal, [wish for wish, known in zip(wishes, recalled, strict=True) if not known])
        kept = [
            wish.scope if known else await _granted(now, principal, wish)
            for wish, known in zip(wishes, recalled, strict=True)
        ]
        granted = tuple(scope for scope in kept if scope.actions)
        access = [{"type": s.type, "name": s.name, "actions": list(s.actions)} for s in granted]
        claims = {"access": access, _ACCOUNT: _account_claim(principal)}
        return self._signed(principal, claims, int(self._lifetime()), granted)

    async def _recalls(self, principal: Principal, wish: _Wish) -> bool:
        """Tell whether all of a wish was granted a few seconds ago."""
        for permission in wish.permissions.values():
            recalled = await self._authorizer.recalls(principal, permission, wish.target)
            if recalled is None or not recalled.allowed:
                return False
        return True

    async def _moment(self, principal: Principal, wishes: Sequence[_Wish]) -> Authorizer:
        """Return what decides on what is committed now; where wishes name several projects, that is read at once."""
        now = self._authorizer.now()
        named = {wish.target.project for wish in wishes if wish.target.project is not None}
        if len(named) > 1:
            await now.read_ahead(principal, sorted(named))
        return now

    def issue_whole(self, principal: Principal, lifetime: int) -> IssuedToken:
        """Sign a token that stands for its account wherever the account's password would."""
        return self._signed(principal, {_ACCOUNT: _account_claim(principal) | {"whole": True}}, lifetime, ())

    def _signed(
        self, principal: Principal, claims: Mapping[str, object], lifetime: int, scopes: tuple[Scope, ...]
    ) -> IssuedToken:
        now = int(self._clock())
        common = {
            "iss": self._issuer,
            "sub": principal.name,
            "aud": self.service,
            "exp": now + lifetime,
            "nbf": now,
            "iat": now,
            "jti": secrets.token_urlsafe(16),
        }
        key = self._keys.current
        text = sign({**common, **claims}, key.key, key.id, key.algorithm)
        return IssuedToken(text=text, expires_in=lifetime, issued_at=now, scopes=scopes)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A scope as far as it is understood: what its actions need, and on what."""

    scope: Scope
    target: Target
    permissions: Mapping[str, Permission]  #: by action

    @classmethod
    def of(cls, scope: Scope) -> _Wish | None:
        """Read a scope; None when it asks for nothing that we know."""
        if scope.type == REGISTRY_TYPE and scope.name == CATALOG_NAME and ANY_ACTION in scope.actions:
            return cls(Scope(scope.type, scope.name, (ANY_ACTION,)), SYSTEM_TARGET, {ANY_ACTION: CATALOG})
        if scope.type != REPOSITORY_TYPE:
            return None
        try:
            name = RepositoryName.parse(scope.name)
        except NameInvalid:
            return None
        wanted = {
            action: permission
            for action, permission in REPOSITORY_ACTIONS.items()
            if action in scope.actions or ANY_ACTION in scope.actions
        }
        return cls(Scope(scope.type, scope.name, tuple(wanted)), Target.of(name), wanted)


async def _granted(authorizer: Authorizer, principal: Principal, wish: _Wish) -> Scope:
    """Return the part of a scope that the principal may have; without actions when that is nothing."""
    actions = [
        action
        for action, permission in wish.permissions.items()
        if (await authorizer.allows(principal, permission, wish.target)).allowed
    ]
    return Scope(wish.scope.type, wish.scope.name, tuple(actions))


class TokenChecker(Protocol):
    """Decides from the token alone whether it is to be believed."""

    def check(self, token: str, *, grace: float = 0) -> VerifiedToken:
        """Return whom the token speaks for.

        Raises:
            TokenRefused: The token is not valid.
        """
        ...


class OwnTokenChecker:
    """Believes what our keys signed for this service."""

    def __init__(
        self,
        keys: SigningKeys,
        *,
        issuer: str = ISSUER,
        service: str = SERVICE,
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._service = service
        self._clock = clock

    def check(self, token: str, *, grace: float = 0) -> VerifiedToken:
        """See `TokenChecker`. Our own header has three fields: what has more is not ours."""
        header = read_header(token)
        key = self._keys.trusted.get(str(header.get("kid", "")))
        if key is None or header.get("alg") != key.algorithm or not _HEADER_FIELDS.issuperset(header):
            raise TokenRefused("the token was not made by this registry")
        claims = verified_claims(token, key.key, [key.algorithm])
        if claims.get("iss") != self._issuer or not has_audience(claims, self._service):
            raise TokenRefused("the token is meant for another service")
        expires = check_lifetime(claims, now=self._clock(), leeway=_LEEWAY, grace=grace)
        account = _account(claims)
        return VerifiedToken(account if account.fleeting else account.with_scopes(scopes_of(claims)), expires + _LEEWAY)

    def is_own(self, token: str) -> bool:
        """Tell whether a token names one of our keys: then it is ours, or a forgery."""
        try:
            return str(read_header(token).get("kid", "")) in self._keys.trusted
        except TokenRefused:
            return False


def _account_claim(principal: Principal) -> dict[str, object]:
    claim: dict[str, object] = {"kind": principal.kind.value, "id": principal.id, "epoch": principal.epoch}
    return claim if principal.key is None else claim | {"key": principal.key}


def _account(claims: dict[str, object]) -> Principal:
    match claims.get(_ACCOUNT):
        case {"kind": str(kind), "id": int() | None as number, "epoch": int(epoch), **more} if kind in _KINDS:
            key = more.get("key")
            return Principal(
                kind=PrincipalKind(kind),
                name=text(claims, "sub"),
                id=number,
                epoch=epoch,
                key=key if isinstance(key, int) else None,
                fleeting=more.get("whole") is True,
            )
    raise TokenRefused("the token does not say whose it is")


class RememberedTokens:
    """A `TokenVerifier` that checks each token once, and the standing of its account every time.

    Checking costs 0.2 ms, remembering 2 µs. Tokens are remembered by their hash, so that memory holds no credential.
    """

    def __init__(
        self,
        checker: TokenChecker,
        policy: Policy,
        *,
        limit: int = 10_000,
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        self._checker = checker
        self._policy = policy
        self._clock = clock
        self._known: Memory[bytes, VerifiedToken] = Memory(limit=limit, seconds=3600, clock=clock)

    async def verify(self, token: str, *, grace: float = 0) -> Principal:
        """See `TokenVerifier`.

        Raises:
            TokenRefused: Not valid, or the account was disabled or changed since it was issued.
        """
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        known = self._known.find(digest)
        if known is None:
            known = await self._checked(token, grace)
            self._known.put(digest, known, seconds=known.expires - self._clock())
        if not await self._policy.is_current(known.principal):
            raise TokenRefused
        return known.principal

    async def _checked(self, token: str, grace: float) -> VerifiedToken:
        """Check a token. One that a key asked for is limited as the key is: tags do not show in scopes."""
        checked = self._checker.check(token, grace=grace)
        principal = checked.principal
        if principal.key is None:
            return checked
        limits = await self._policy.limits_of(principal.key)
        return VerifiedToken(replace(principal, limits=limits), checked.expires)
