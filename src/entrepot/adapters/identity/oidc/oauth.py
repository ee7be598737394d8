"""A provider of GitHub's kind: OAuth 2.0, and addresses that say whose token it is and in which groups they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from entrepot.accounts.providers.model import Arrival, Grip, Kept, PersonGone, ProviderUnavailable, SignInRefused, Told
from entrepot.adapters.identity.oidc.code_flow import (
    CodeFlowProvider,
    ask_with_token,
    code_of,
    departure,
    document,
    redeem,
    renew,
)
from entrepot.adapters.identity.oidc.fields import at, filled
from entrepot.metadata import clock

_NEXT: Final = re.compile(r'\brel="?next\b')
_MOST_PAGES: Final = 20
#: Seconds before a token's end at which it is renewed.
_EARLY: Final = 60
#: No token is believed to last longer, in seconds.
_LONGEST: Final = 10 * 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupList:
    """An address that lists groups."""

    url: str
    items: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where to ask for what."""

    authorize: str
    token: str
    user: str
    groups: tuple[GroupList, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """How a person's fields are made of the provider's answer."""

    subject: str
    name: str
    email: str
    realname: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OAuthProvider(CodeFlowProvider):
    """A `Provider`; see there."""

    endpoints: Endpoints
    templates: Templates

    async def address(self, redirect_uri: str, kept: Kept, *, anew: bool = False) -> str:
        """See `Provider`; GitHub knows the word, and who does not passes over it (RFC 6749, section 3.1)."""
        more = {"prompt": "select_account"} if anew else {}
        return departure(self.endpoints.authorize, self.client, redirect_uri, kept, **more)

    async def arrival(self, answer: Mapping[str, str], redirect_uri: str, kept: Kept) -> Arrival:
        """See `Provider`."""
        code = code_of(answer, kept)
        tokens = await redeem(self.http, self.endpoints.token, self.client, code, redirect_uri, kept, basic=False)
        grip = _grip(tokens)
        try:
            return Arrival(told=await self._told(grip.token), grip=grip)
        except PersonGone as gone:
            raise SignInRefused(str(gone)) from None

    async def ask_again(self, subject: str, grip: Grip) -> tuple[Told, Grip]:
        """See `Provider`: the token itself is used, and renewed where it ends."""
        if grip.refresh and grip.ends_at is not None and clock.after(_EARLY) >= grip.ends_at:
            tokens = await renew(self.http, self.endpoints.token, self.client, grip.refresh, basic=False)
            grip = _grip(tokens, grip.refresh)
        told = await self._told(grip.token)
        if told.subject != subject:
            raise PersonGone("the provider speaks of somebody else now")
        return told, grip

    async def farewell(self, hint: str, back_to: str) -> str:  # noqa: ARG002 - the port's signature
        """See `Provider`; OAuth 2.0 knows no such thing."""
        return ""

    async def _told(self, token: str) -> Told:
        user = document(await ask_with_token(self.http, self.endpoints.user, token))
        subject = filled(self.templates.subject, user)
        if not subject:
            raise ProviderUnavailable("the provider's answer does not say who it is; check the setting subject")
        groups: list[str] = []
        for where in self.endpoints.groups:
            groups += await self._groups(where, token)
        return Told(
            subject=subject,
            name=filled(self.templates.name, user) or subject,
            email=filled(self.templates.email, user),
            realname=filled(self.templates.realname, user),
            groups=tuple(groups),
        )

    async def _groups(self, where: GroupList, token: str) -> list[str]:
        found: list[str] = []
        url: str | None = where.url
        for _ in range(_MOST_PAGES):
            if url is None:
                break
            answer = await ask_with_token(self.http, url, token)
            found += _names(at(document(answer), where.items), where.name)
            url = _next(answer.headers.get("link", ""), where.url)
        return found


def _names(items: object, template: str) -> Sequence[str]:
    if not isinstance(items, list):
        raise ProviderUnavailable("the provider's list of groups is no list; check the setting groups.items")
    return [name for name in (filled(template, item) for item in items) if name]


def _next(link: str, base: str) -> str | None:
    """Return the next page, where it is at the same place: the token goes nowhere else."""
    found = next((url for url, parameters in _links(link) if _NEXT.search(parameters)), None)
    if found is None:
        return None
    here, there = urlsplit(base), urlsplit(found)
    return found if (here.scheme, here.netloc) == (there.scheme, there.netloc) else None


def _links(header: str) -> Iterator[tuple[str, str]]:
    """Yield each address of a Link header with what is said of it, looking at each character but once."""
    for entry in header.split("<")[1:]:
        url, _, parameters = entry.partition(">")
        yield url, parameters


def _grip(tokens: Mapping[str, object], refresh: str = "") -> Grip:
    token, renewal, seconds = tokens.get("access_token"), tokens.get("refresh_token"), tokens.get("expires_in")
    if not isinstance(token, str) or not token:
        raise ProviderUnavailable("the provider's token endpoint sent no token")
    ends = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
    return Grip(
        token=token,
        refresh=renewal if isinstance(renewal, str) and renewal else refresh,
        ends_at=clock.after(min(float(str(seconds)), _LONGEST)) if ends else None,
    )
