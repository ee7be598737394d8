"""What a provider is to us, and what it tells of a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from entrepot.accounts.providers.mapping import Rules


class ProviderError(Exception):
    """A provider did not answer as it should; the message is for people and holds no secret."""


class ProviderUnavailable(ProviderError):
    """It cannot be asked now: nothing is known. Nobody may be let in or thrown out on that."""


class SignInRefused(ProviderError):
    """The provider, or what it says, lets nobody in this time; the message says why."""


class GripLost(ProviderError):
    """What we could ask with has ended and cannot be renewed: nothing is known of the person from here on."""


class PersonGone(ProviderError):
    """The provider no longer vouches for the person: removed, disabled, or the consent was taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a provider says of a person, before any of our rules."""

    subject: str  #: never changes, and never is somebody else's
    name: str
    email: str = ""
    realname: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grip:
    """What lets us ask a provider about a person again. A secret."""

    token: str = field(repr=False)
    refresh: str = field(default="", repr=False)  #: for providers whose tokens end
    ends_at: int | None = None  #: microseconds since the epoch
    is_lasting: bool = True  #: False: nothing renews it, so it can be asked with until `ends_at` alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Somebody comes back from a provider."""

    told: Told
    grip: Grip | None = None  #: None where the provider gave nothing to ask again with
    session: str = ""  #: the provider's name for its session
    hint: str = field(default="", repr=False)  #: what it wants to hear when the session is to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What must come back unchanged, or be shown, when somebody returns."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class Provider(Protocol):
    """A service that says who somebody is.

    Raises:
        ProviderUnavailable: From every coroutine.
    """

    @property
    def name(self) -> str:
        """Its short name."""
        ...

    @property
    def title(self) -> str:
        """Its name for people."""
        ...

    @property
    def rules(self) -> Rules:
        """What the operator decided about its people."""
        ...

    async def address(self, redirect_uri: str, kept: Kept, *, anew: bool = False) -> str:
        """Return the address to send a browser to; `anew`: the provider shall ask who it is, whom it knows or not."""
        ...

    async def arrival(self, answer: Mapping[str, str], redirect_uri: str, kept: Kept) -> Arrival:
        """Find out who came back with an answer.

        Raises:
            SignInRefused: The provider said no, or the answer is not for this sign-in.
        """
        ...

    async def ask_again(self, subject: str, grip: Grip) -> tuple[Told, Grip]:
        """Ask about somebody who signed in before, and return what to ask with the next time.

        Raises:
            PersonGone: The provider no longer vouches for them.
            GripLost: The grip was not lasting, and is at its end.
        """
        ...

    async def farewell(self, hint: str, back_to: str) -> str:
        """Return the address at which a browser ends the provider's session; empty when there is none."""
        ...


class ProviderSource(Protocol):
    """Knows the providers there are; those of the settings may change while the registry runs."""

    @property
    def fixed(self) -> Collection[str]:
        """The names of those that the configuration file has, each with a redirect address of its own."""
        ...

    async def all(self) -> Sequence[Provider]:
        """Return the providers there are now."""
        ...


def provider_key(name: str) -> str:
    """Return what stands in the rows of a provider's people, groups and sessions."""
    return f"oidc:{name}"
