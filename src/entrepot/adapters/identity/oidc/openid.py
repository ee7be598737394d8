"""A provider that speaks OpenID Connect (Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from entrepot.access.errors import TokenRefused
from entrepot.access.tokens.foreign_issuer import LEEWAY, Issuer
from entrepot.access.tokens.jwt import Claims, read_header
from entrepot.accounts.providers.model import (
    Arrival,
    Grip,
    GripLost,
    Kept,
    PersonGone,
    ProviderError,
    ProviderUnavailable,
    SignInRefused,
    Told,
)
from entrepot.adapters.identity.oidc.code_flow import (
    CodeFlowProvider,
    ask_with_token,
    code_of,
    departure,
    document,
    redeem,
    renew,
    with_query,
)
from entrepot.adapters.identity.oidc.fields import groups_at, text_at
from entrepot.metadata import clock
from entrepot.metadata.clock import seconds as clock_seconds
from entrepot.outbound.errors import OutboundError

_HASHES: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
_LONGEST_SUBJECT: Final = 255
#: Seconds after which an access token that is said to last longer counts as ended.
_LONGEST_ACCESS: Final = 30 * 24 * 3600.0
#: The scope that asks for a refresh token (Core 1.0, section 11).
OFFLINE_ACCESS: Final = "offline_access"
_UNASKED: Final = (
    "so people are asked about only while the access token of their sign-in lasts; accounts and keys then work until "
    "`offline` has passed since"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """Which claims say what."""

    name: str
    groups: str  #: empty: the provider says nothing of groups


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenIdProvider(CodeFlowProvider):
    """A `Provider`; see there."""

    issuer: Issuer
    claims: ClaimNames
    logout: bool = True  #: at the provider too, where it can be done

    async def address(self, redirect_uri: str, kept: Kept, *, anew: bool = False) -> str:
        """See `Provider`."""
        endpoint = await self._endpoint("authorization_endpoint")
        return departure(endpoint, self.client, redirect_uri, kept, **self._prompt(anew=anew), nonce=kept.nonce)

    async def arrival(self, answer: Mapping[str, str], redirect_uri: str, kept: Kept) -> Arrival:
        """See `Provider`."""
        metadata = await self._metadata()
        names_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
        code = code_of(answer, kept, self.issuer.name, names_issuer=names_issuer)
        endpoint = await self._endpoint("token_endpoint")
        tokens = await redeem(
            self.http, endpoint, self.client, code, redirect_uri, kept, basic=self._says_basic(metadata)
        )
        claims = await self._id_claims(tokens, kept.nonce)
        access = _text(tokens, "access_token")
        try:
            told = await self._told(claims, access)
        except PersonGone as gone:
            raise SignInRefused(str(gone)) from None
        return Arrival(
            told=told,
            grip=await self._grip(tokens, claims),
            session=_session(claims, kept),
            hint=_text(tokens, "id_token") if self.logout else "",
        )

    async def ask_again(self, subject: str, grip: Grip) -> tuple[Told, Grip]:
        """See `Provider`: the refresh token is exchanged, and what came with it or the userinfo endpoint read."""
        if not grip.is_lasting:
            return await self._ask_while_it_lasts(subject, grip), grip
        metadata = await self._metadata()
        endpoint = await self._endpoint("token_endpoint")
        tokens = await renew(self.http, endpoint, self.client, grip.token, basic=self._says_basic(metadata))
        claims = await self._renewed_claims(tokens)
        if claims and claims.get("sub") != subject:
            raise PersonGone("the provider speaks of somebody else now")
        told = await self._told({"sub": subject, **claims}, _text(tokens, "access_token"))
        return told, Grip(token=_text(tokens, "refresh_token") or grip.token)

    async def refresh_doubt(self) -> str:
        """Say why the provider may give no refresh token, by its discovery document; empty when it seems to.

        Raises:
            ProviderUnavailable: It cannot be asked, or is another one.
        """
        metadata = await self._metadata()
        supported, grants = metadata.get("scopes_supported"), metadata.get("grant_types_supported")
        if isinstance(grants, list) and "refresh_token" not in grants:
            return f"{self.issuer.name} gives no refresh tokens, {_UNASKED}"
        if isinstance(supported, list) and OFFLINE_ACCESS in supported and OFFLINE_ACCESS not in self.client.scopes:
            return f"has no {OFFLINE_ACCESS}, for which {self.issuer.name} gives refresh tokens, {_UNASKED}"
        return ""

    async def _ask_while_it_lasts(self, subject: str, grip: Grip) -> Told:
        """Ask the userinfo endpoint with the access token of the sign-in.

        That the provider takes it no longer says nothing of the person: who signs out there ends it, too.
        """
        if grip.ends_at is not None and clock.now() >= grip.ends_at:
            raise GripLost("the access token of the sign-in has ended, and the provider gave no refresh token")
        try:
            known = await self._userinfo(subject, grip.token)
        except PersonGone:
            raise GripLost(
                "the provider takes the access token of the sign-in no longer, and gave no refresh token"
            ) from None
        if not known:
            raise GripLost("the provider has no userinfo endpoint to ask, and gave no refresh token")
        return self._read(known)

    async def _grip(self, tokens: Claims, claims: Claims) -> Grip | None:
        """Return what to ask with the next time: a refresh token, else the access token for as long as it says.

        An access token is none where there is no userinfo endpoint to show it to, or where that leaves out what the
        ID token told, groups for one.
        """
        refresh, access, seconds = (
            _text(tokens, "refresh_token"),
            _text(tokens, "access_token"),
            tokens.get("expires_in"),
        )
        if refresh:
            return Grip(token=refresh)
        if not access or isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
            return None
        try:
            known = await self._userinfo(str(claims["sub"]), access)
        except ProviderError:
            return None
        if not known or any(_has(claims, name) and not _has(known, name) for name in self._wanted):
            return None
        return Grip(token=access, ends_at=clock.after(min(float(seconds), _LONGEST_ACCESS)), is_lasting=False)

    @property
    def _wanted(self) -> list[str]:
        return [self.claims.name, "email", *([self.claims.groups] if self.claims.groups else [])]

    def _prompt(self, *, anew: bool) -> dict[str, str]:
        """Ask for consent where a refresh token is wanted: without, offline access is ignored (Core 1.0, section 11).

        What the operator says of `prompt` counts as it is. Who shall sign in `anew` is asked for the password, too.
        """
        usual = "consent" if OFFLINE_ACCESS in self.client.scopes else ""
        words = self.client.parameters.get("prompt", usual).split()
        if anew:
            words = ["login", *(word for word in words if word not in ("login", "none"))]
        return {"prompt": " ".join(words)} if words else {}

    async def farewell(self, hint: str, back_to: str) -> str:
        """See `Provider`: the address of RP-initiated logout."""
        if not self.logout:
            return ""
        try:
            endpoint = await self.issuer.find_endpoint("end_session_endpoint")
        except OutboundError as error:
            raise ProviderUnavailable(str(error)) from error
        query = {"client_id": self.client.id, "post_logout_redirect_uri": back_to}
        return with_query(endpoint, query | ({"id_token_hint": hint} if hint else {})) if endpoint else ""

    async def _id_claims(self, tokens: Claims, nonce: str) -> dict[str, object]:
        token = _text(tokens, "id_token")
        if not token:
            raise SignInRefused("the provider sent no ID token; the scope openid is needed")
        try:
            claims = await self.issuer.claims(token, audience=self.client.id, fetched=True)
            self._check(claims, nonce, clock_seconds())
            _check_access_token(token, claims, _text(tokens, "access_token"))
        except TokenRefused as refused:
            raise SignInRefused(f"the provider's ID token cannot be believed: {refused.message}") from refused
        except OutboundError as error:
            raise ProviderUnavailable(str(error)) from error
        return claims

    async def _renewed_claims(self, tokens: Claims) -> dict[str, object]:
        """Read the ID token that came with a renewal, if one did (Core 1.0, section 12.2)."""
        token = _text(tokens, "id_token")
        if not token:
            return {}
        try:
            return await self.issuer.claims(token, audience=self.client.id, fetched=True)
        except TokenRefused as refused:
            raise ProviderUnavailable(f"the provider's ID token cannot be believed: {refused.message}") from refused
        except OutboundError as error:
            raise ProviderUnavailable(str(error)) from error

    def _check(self, claims: Claims, nonce: str, now: float) -> None:
        """Check what Core 1.0, section 3.1.3.7 asks for beyond signature, issuer, audience and end."""
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise TokenRefused("it names nobody")
        said = claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise TokenRefused("it was made for another sign-in")
        party = claims.get("azp")
        if (party is not None and party != self.client.id) or (party is None and _many(claims.get("aud"))):
            raise TokenRefused("it was made for another party")
        issued = claims.get("iat")
        if not isinstance(issued, int | float) or isinstance(issued, bool) or issued > now + LEEWAY:
            raise TokenRefused("it does not say when it was made, or was made in the future; do the clocks agree?")

    async def _told(self, claims: Claims, access_token: str) -> Told:
        """Put together what is told, with the userinfo endpoint where the ID token leaves out what we want."""
        known = dict(claims)
        if access_token and any(not _has(known, name) for name in self._wanted):
            known = {**await self._userinfo(str(claims["sub"]), access_token), **known}
        return self._read(known)

    def _read(self, known: Claims) -> Told:
        """Read what is known of somebody."""
        subject = str(known["sub"])
        return Told(
            subject=subject,
            name=text_at(known, self.claims.name) or text_at(known, "email").partition("@")[0] or subject,
            email=text_at(known, "email") if known.get("email_verified") is not False else "",
            realname=text_at(known, "name"),
            groups=tuple(groups_at(known, self.claims.groups)),
        )

    async def _userinfo(self, subject: str, access_token: str) -> dict[str, object]:
        """Ask the userinfo endpoint; nothing where the provider has none (Core 1.0, section 5.3)."""
        try:
            endpoint = await self.issuer.find_endpoint("userinfo_endpoint")
        except OutboundError as error:
            raise ProviderUnavailable(str(error)) from error
        if endpoint is None:
            return {}
        found = document(await ask_with_token(self.http, endpoint, access_token))
        if not isinstance(found, dict):
            raise ProviderUnavailable("the provider's userinfo endpoint sent no JSON object")
        if found.get("sub") != subject:
            raise ProviderUnavailable("the provider's userinfo endpoint speaks of somebody else")
        return found

    async def _metadata(self) -> Mapping[str, object]:
        try:
            return await self.issuer.metadata()
        except OutboundError as error:
            raise ProviderUnavailable(f"the provider cannot be asked: {error}") from error

    async def _endpoint(self, name: str) -> str:
        try:
            return await self.issuer.endpoint(name)
        except OutboundError as error:
            raise ProviderUnavailable(f"the provider cannot be asked: {error}") from error

    def _says_basic(self, metadata: Mapping[str, object]) -> bool:
        """Tell whether the secret goes into the header: the default, unless the provider only takes it in the form."""
        methods = metadata.get("token_endpoint_auth_methods_supported")
        return not isinstance(methods, list) or "client_secret_basic" in methods


def _check_access_token(token: str, claims: Claims, access_token: str) -> None:
    """Check that the access token came with this ID token (Core 1.0, section 3.1.3.8)."""
    said = claims.get("at_hash")
    make = _HASHES.get(str(read_header(token).get("alg", ""))[-3:])
    if said is None or make is None or not access_token:
        return
    digest = make(access_token.encode()).digest()
    expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not hmac.compare_digest(expected, str(said).encode()):
        raise TokenRefused("it came with another access token")


def _session(claims: Claims, kept: Kept) -> str:
    """Return the provider's name for its session, or one that we make up where it has none."""
    session = claims.get("sid")
    made_up = hashlib.sha256(kept.nonce.encode()).hexdigest()[:32]
    return session if isinstance(session, str) and 0 < len(session) <= _LONGEST_SUBJECT else made_up


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _has(claims: Claims, path: str) -> bool:
    return path in claims or path.partition(".")[0] in claims


def _many(audience: object) -> bool:
    return isinstance(audience, list) and len(audience) > 1
