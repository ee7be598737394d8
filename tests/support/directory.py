"""A directory whose answers a test decides: for faults that no real server shows on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from entrepot.accounts.directory.model import (
    Answer,
    Configured,
    DirectoryGroup,
    DirectoryUnavailable,
    Person,
    Times,
)


@dataclass(kw_only=True)
class ScriptedDirectory:
    """A `Directory`: these people, one password for all, and whatever is wrong with it now."""

    people: list[Person] = field(default_factory=list)
    password: str = "right"
    down: bool = False
    seconds: float = 0.0  #: how long an answer takes
    breaks_after: int | None = None  #: pages after which a listing fails
    asked: int = 0  #: how often a password was asked about
    at_once: int = 0  #: how many such questions were under way together, at most
    can_list: bool = True
    _under_way: int = 0

    async def sign_in(self, name: str, password: str) -> Person | None:
        """See `Directory`."""
        self.asked += 1
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            await self._answer()
        finally:
            self._under_way -= 1
        return await self.find_person(name) if password == self.password else None

    async def everybody(self) -> AsyncGenerator[Sequence[Person], None]:
        """Give people in pages of two."""
        await self._answer()
        for number, start in enumerate(range(0, len(self.people), 2)):
            if self.breaks_after == number:
                raise DirectoryUnavailable("it broke off in the middle")
            yield self.people[start : start + 2]

    async def search_people(self, text: str, *, limit: int) -> list[Person]:
        """See `Directory`."""
        await self._answer()
        return [person for person in self.people if person.name.startswith(text)][:limit]

    async def find_person(self, name: str) -> Person | None:
        """See `Directory`."""
        return next((person for person in self.people if person.name == name), None)

    async def search_groups(self, text: str, *, limit: int) -> list[DirectoryGroup]:
        """See `Directory`."""
        return [group for group in self._groups() if group.name.startswith(text)][:limit]

    async def find_group(self, dn: str) -> DirectoryGroup | None:
        """See `Directory`."""
        return next((group for group in self._groups() if group.subject == dn), None)

    async def has(self, subject: str) -> bool:
        """See `Directory`."""
        await self._answer()
        return any(person.subject == subject for person in self.people)

    async def test(self) -> Answer:
        """See `Directory`."""
        await self._answer()
        return Answer(server="scripted", milliseconds=0, people=len(self.people), groups=len(self._groups()))

    async def close(self) -> None:
        """See `Directory`."""

    async def _answer(self) -> None:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.down:
            raise DirectoryUnavailable("it is down")

    def _groups(self) -> list[DirectoryGroup]:
        return sorted({group for person in self.people for group in person.groups}, key=lambda group: group.subject)


@dataclass(frozen=True, kw_only=True)
class ScriptedSource:
    """A `DirectorySource` of it; None is no directory."""

    directory: ScriptedDirectory | None
    times: Times = field(default_factory=Times)

    async def current(self) -> Configured | None:
        """See `DirectorySource`."""
        return None if self.directory is None else Configured(directory=self.directory, times=self.times)

    async def close(self) -> None:
        """See `DirectorySource`."""
