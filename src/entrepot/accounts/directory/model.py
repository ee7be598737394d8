"""What a directory is to us, and what it tells of a person."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

#: The value of `provider` in the rows of people and groups of a directory.
PROVIDER = "ldap"
#: Before an entry's own id in the rows; no DN begins so.
_ID = "id:"
#: Before the name of an account that an administrator opened for whoever has that name in the directory now.
_NAME = "name:"


class DirectoryError(Exception):
    """The directory did not answer as it should; the message is for the operator."""


class DirectoryUnavailable(DirectoryError):
    """It is down, too slow or does not let us in: nothing is known now, and nobody is let in or thrown out on that."""


class NoDirectory(DirectoryError):
    """None is configured, or the extra that speaks LDAP is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryGroup:
    """A group as the directory has it; equal to itself however the DN is spelled."""

    subject: str  #: its folded DN
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whom the directory knows."""

    subject: str  #: folded DN
    name: str  #: what to sign in by
    own_id: str = ""  #: the entry's own id, which it keeps wherever it goes; empty where the directory tells none
    email: str = ""
    realname: str = ""
    refused: str = ""  #: why the person may not enter, in words; empty for who may
    is_admin: bool = False
    groups: tuple[DirectoryGroup, ...] = ()  #: all of them, those included that another group is in

    @property
    def identity(self) -> str:
        """By what the account is known: the entry's own id, or else its DN."""
        return f"{_ID}{self.own_id}" if self.own_id else self.subject


def is_own_id(subject: str | None) -> bool:
    """Tell whether an account is known by the entry's own id, not by its DN."""
    return subject is not None and subject.startswith(_ID)


def subject_of_name(name: str) -> str:
    """Return what stands in the row of an account that is for whoever has its name in the directory."""
    return f"{_NAME}{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a test of the connection found."""

    server: str
    milliseconds: int
    people: int  #: found by the filter, 1,000 at most
    groups: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long what counts, in seconds."""

    remember: float = 60.0  #: a password that was right is not asked again
    offline: float = 3600.0  #: it counts while the directory is down or slow
    patience: float = 2.0  #: the wait for the directory where there is something to fall back on


class Directory(Protocol):
    """A directory that can be asked. Every call ends within the time-outs of its configuration.

    Raises:
        DirectoryUnavailable: From every method.
    """

    @property
    def can_list(self) -> bool:
        """Whether people can be asked about without their passwords."""
        ...

    async def sign_in(self, name: str, password: str) -> Person | None:
        """Return the person of that name and password, who may still be refused; None when they do not match."""
        ...

    def everybody(self) -> AsyncGenerator[Sequence[Person], None]:
        """Give all people whom the filter lets in, and those refused for another reason, in parts."""
        ...

    async def search_people(self, text: str, *, limit: int) -> list[Person]:
        """Return people whose name, e-mail address or real name begins with a text."""
        ...

    async def find_person(self, name: str) -> Person | None:
        """Return the person of exactly that name."""
        ...

    async def search_groups(self, text: str, *, limit: int) -> list[DirectoryGroup]:
        """Return groups whose name begins with a text."""
        ...

    async def find_group(self, dn: str) -> DirectoryGroup | None:
        """Return the group of that DN."""
        ...

    async def has(self, subject: str) -> bool:
        """Tell whether there is an entry of a DN."""
        ...

    async def test(self) -> Answer:
        """Try the connection and the settings."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A directory, and how it is used here."""

    directory: Directory
    times: Times


class DirectorySource(Protocol):
    """Knows which directory is asked now; it may change while the registry runs."""

    async def current(self) -> Configured | None:
        """Return it; None when no directory is asked.

        Raises:
            NoDirectory: The settings cannot be used; the message says why.
        """
        ...

    async def trial(self, values: Mapping[str, object]) -> Directory:
        """Return a directory of other settings, by Harbor's names, which the caller closes.

        Raises:
            NoDirectory: They cannot be used; the message says why.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
