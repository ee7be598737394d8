"""There and back: begin at a provider, complete, choose a name, say goodbye."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Conflict, Fault, NotFound
from entrepot.access.model import Principal
from entrepot.access.web_sessions import NewSession, Session, Sessions
from entrepot.accounts.providers.model import (
    Arrival,
    Provider,
    ProviderError,
    ProviderSource,
    ProviderUnavailable,
    SignInRefused,
    provider_key,
)
from entrepot.accounts.providers.pending_sign_ins import Journeys, Stranger, Strangers, Ticket, begin
from entrepot.accounts.providers.people import People, Standing, standing, suggested_name, tell
from entrepot.accounts.providers.provider_tokens import Grips, Held
from entrepot.metadata import clock
from entrepot.metadata.events import Source

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """From where somebody signs in."""

    address: str
    agent: str
    request: str = ""

    @property
    def source(self) -> Source:
        """What the audit log says until the name is known."""
        return Source(name="", address=self.address, credential="provider", request=self.request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Send the browser there, with this cookie."""

    address: str = field(repr=False)
    state: str = field(repr=False)
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Somebody is signed in."""

    name: str
    session: NewSession
    back_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameWanted:
    """Somebody has to choose a name first."""

    ticket: Ticket
    suggestion: str
    title: str  #: of the provider
    problem: str = ""  #: why the last choice could not be


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderParts:
    """What signing in by providers works with."""

    people: People
    grips: Grips
    sessions: Sessions
    journeys: Journeys
    strangers: Strangers


class ProviderSignIn:
    """Signs people in whom a provider vouches for."""

    def __init__(self, source: ProviderSource, parts: ProviderParts) -> None:
        self._source = source
        self._parts = parts

    @property
    def fixed(self) -> Collection[str]:
        """The names of the providers that have a redirect address of their own."""
        return self._source.fixed

    async def choices(self) -> Mapping[str, str]:
        """Return the providers' names, with their names for people."""
        return {provider.name: provider.title for provider in await self._source.all()}

    async def begin(self, name: str, redirect_uri: str, back_to: str, visit: Visit, *, anew: bool = False) -> Departure:
        """Prepare a journey to a provider; `anew`: for somebody else than whom it knows.

        Raises:
            NotFound: There is no provider of this name.
            ProviderUnavailable: It cannot be asked for the way.
        """
        journey = begin(name, redirect_uri, back_to)
        provider = await self._provider(name)
        try:
            address = await provider.address(redirect_uri, journey.kept, anew=anew)
        except ProviderUnavailable as error:
            tell(name, str(error), visit.source)
            raise
        cookie = await self._parts.journeys.seal(journey)
        return Departure(address=address, state=journey.kept.state, cookie=cookie)

    async def complete(self, name: str, answer: Mapping[str, str], cookie: str, visit: Visit) -> Welcome | NameWanted:
        """Let somebody in who comes back, or have them choose a name first.

        Raises:
            NotFound: There is no provider of this name.
            SignInRefused: Not this browser's journey, or the provider or our rules say no.
            ProviderUnavailable: The provider cannot be asked now.
        """
        provider = await self._provider(name)
        try:
            journey = await self._parts.journeys.open(name, answer.get("state", ""), cookie)
        except SignInRefused as refused:
            tell(name, str(refused), visit.source)  # anybody can send a browser here: that is no event
            raise
        try:
            arrival = await provider.arrival(answer, journey.redirect_uri, journey.kept)
            return await self._receive(provider, arrival, journey.back_to, visit)
        except ProviderError as error:
            await self._parts.people.refused(name, str(error), visit.source)
            raise
        except CredentialsRefused as refused:
            await self._parts.people.refused(name, refused.message, visit.source)
            raise

    async def stranger(self, ticket: Ticket, problem: str = "") -> NameWanted:
        """Say again what has to be chosen.

        Raises:
            SignInRefused: The ticket counts no longer.
        """
        stranger = await self._parts.strangers.find(ticket)
        return NameWanted(
            ticket=ticket,
            suggestion=suggested_name(stranger.arrival.told),
            title=(await self._provider(stranger.provider)).title,
            problem=problem,
        )

    async def choose(self, ticket: Ticket, chosen: str, visit: Visit) -> Welcome | NameWanted:
        """Make the account under the name that its owner chose, or ask for another name.

        Raises:
            SignInRefused: The ticket counts no longer, or our rules say no.
        """
        stranger = await self._parts.strangers.find(ticket)
        provider = await self._provider(stranger.provider)
        try:
            found = standing(provider.name, stranger.arrival.told, provider.rules)
            principal = await self._parts.people.admit(found, visit.source, name=chosen)
        except Fault as fault:
            return await self.stranger(ticket, str(fault))
        except SignInRefused as refused:
            await self._parts.people.refused(provider.name, str(refused), visit.source)
            raise
        await self._parts.strangers.forget(ticket)
        return await self._welcome(principal, provider, stranger.arrival, stranger.back_to, visit)

    async def farewell(self, session: Session, back_to: str) -> str:
        """Return where a browser ends the provider's session behind one of ours; empty when nowhere."""
        key = session.provider
        provider = next((one for one in await self._source.all() if provider_key(one.name) == key), None)
        if provider is None or session.principal.id is None:
            return ""
        held = await self._parts.grips.find(session.principal.id)
        try:
            return await provider.farewell(held.hints.get(session.provider_session or "", ""), back_to)
        except ProviderError:
            return ""

    async def _provider(self, name: str) -> Provider:
        found = {provider.name: provider for provider in await self._source.all()}
        if name not in found:
            known = ", ".join(sorted(found))
            raise NotFound(f"there is no sign-in provider {name[:40]!a}; there are: {known or 'none'}")
        return found[name]

    async def _receive(self, provider: Provider, arrival: Arrival, back_to: str, visit: Visit) -> Welcome | NameWanted:
        found = standing(provider.name, arrival.told, provider.rules)
        principal = await self._known_or_new(provider, found, visit.source)
        if principal is not None:
            return await self._welcome(principal, provider, arrival, back_to, visit)
        ticket = await self._parts.strangers.keep(Stranger(provider=provider.name, arrival=arrival, back_to=back_to))
        return await self.stranger(ticket)

    async def _known_or_new(self, provider: Provider, found: Standing, by: Source) -> Principal | None:
        """Return the account, made where that may be done unasked; None where a name must be chosen."""
        if await self._parts.people.find(provider.name, found.told.subject) is not None:
            return await self._parts.people.admit(found, by)
        name = suggested_name(found.told)
        if not provider.rules.auto_onboard or not name:
            return None
        try:
            return await self._parts.people.admit(found, by, name=name)
        except Conflict:
            return None

    async def _welcome(
        self, principal: Principal, provider: Provider, arrival: Arrival, back_to: str, visit: Visit
    ) -> Welcome:
        assert principal.id is not None  # it has an account
        before = await self._parts.grips.find(principal.id)
        held = Held(grip=arrival.grip, hints=before.hints).with_hint(arrival.session, arrival.hint)
        await self._parts.grips.put(principal.id, held, at=clock.now())
        if arrival.grip is None or not arrival.grip.is_lasting:
            _log.warning(
                "a provider gave no refresh token, so it cannot be asked whether somebody is still there; the account "
                "and its keys work until `offline` has passed, and again after the next sign-in",
                extra={"user": principal.name, "provider": provider.name},
            )
        session = await self._parts.sessions.open(
            principal,
            provider=provider_key(provider.name),
            address=visit.address,
            agent=visit.agent,
            provider_session=arrival.session or None,
        )
        return Welcome(name=principal.name, session=session, back_to=back_to)
