"""Sign-in providers made of dictionaries, for what is ours about signing in by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from entrepot.accounts.providers.mapping import Rules
from entrepot.accounts.providers.model import (
    Arrival,
    Grip,
    GripLost,
    Kept,
    PersonGone,
    Provider,
    ProviderUnavailable,
    SignInRefused,
    Told,
)
from entrepot.metadata import clock


@dataclass(slots=True)
class Vouching:
    """A `Provider` whose people a test writes down; the code that it hands out is the subject."""

    people: dict[str, Told] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    name: str = "main"
    title: str = "Main <login>"
    down: set[str] = field(default_factory=set)  #: subjects about whom it cannot be asked; `*`: all
    asked: list[str] = field(default_factory=list)  #: subjects, in the order in which they were asked about
    turns: int = 0  #: how often it gave a new grip
    gives_grip: bool = True
    gives_passing_grip: bool = False  #: one that nothing renews
    ended: set[str] = field(default_factory=set)  #: subjects whose passing grip is at its end

    def add(self, subject: str, name: str = "", *groups: str, email: str = "", realname: str = "") -> Told:
        """Let it know somebody."""
        told = Told(subject=subject, name=name or subject, groups=groups, email=email, realname=realname)
        self.people[subject] = told
        return told

    async def address(self, redirect_uri: str, kept: Kept, *, anew: bool = False) -> str:
        """See `Provider`."""
        self._check_up("*")
        more = "&prompt=login" if anew else ""
        return f"https://provider.test/auth?redirect_uri={redirect_uri}&state={kept.state}{more}"

    async def arrival(self, answer: Mapping[str, str], redirect_uri: str, kept: Kept) -> Arrival:
        """See `Provider`."""
        assert answer["state"] == kept.state
        assert redirect_uri.endswith(("/c/oidc/callback", f"/c/oidc/callback/{self.name}"))
        if "error" in answer:
            raise SignInRefused(f"the provider said no: {answer['error']}")
        subject = answer["code"]
        self._check_up(subject)
        return Arrival(
            told=self.people[subject],
            grip=self._grip(subject) if self.gives_grip else None,
            session=f"session of {subject}",
            hint=f"hint of {subject}",
        )

    async def ask_again(self, subject: str, grip: Grip) -> tuple[Told, Grip]:
        """See `Provider`."""
        self.asked.append(subject)
        self._check_up(subject)
        if not grip.is_lasting and subject in self.ended:
            raise GripLost("the access token of the sign-in has ended")
        if subject not in self.people:
            raise PersonGone("the provider no longer vouches for the account (invalid_grant)")
        assert grip.token.startswith(f"grip of {subject} ")
        return self.people[subject], self._grip(subject)

    async def farewell(self, hint: str, back_to: str) -> str:
        """See `Provider`."""
        return f"https://provider.test/end?hint={hint.replace(' ', '+')}&back_to={back_to}"

    def _grip(self, subject: str) -> Grip:
        self.turns += 1
        end = clock.after(3600) if self.gives_passing_grip else None
        return Grip(token=f"grip of {subject} {self.turns}", ends_at=end, is_lasting=end is None)

    def _check_up(self, subject: str) -> None:
        if {subject, "*"} & self.down:
            raise ProviderUnavailable("the provider cannot be asked")


@dataclass(frozen=True, slots=True)
class VouchingSource:
    """A `ProviderSource` of the providers that a test names: those of a configuration file, and those of settings."""

    providers: Sequence[Vouching]
    settings: Sequence[Vouching] = ()

    @property
    def fixed(self) -> Collection[str]:
        """See `ProviderSource`."""
        return [provider.name for provider in self.providers]

    async def all(self) -> Sequence[Provider]:
        """See `ProviderSource`."""
        return [*self.providers, *self.settings]
