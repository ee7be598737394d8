"""What administrators ask of a directory: to be tried, searched, and to have people taken in before they sign in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from entrepot.access.faults import Invalid, PreconditionFailed
from entrepot.accounts.directory.model import (
    PROVIDER,
    Answer,
    Directory,
    DirectoryError,
    DirectoryGroup,
    DirectorySource,
    NoDirectory,
    Person,
)
from entrepot.accounts.directory.names import DnInvalid, fold_dn
from entrepot.accounts.directory.people import NotAdmitted, People
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import groups

#: People and groups that a search shows at most.
MOST_FOUND = 100
#: People who can be taken in at once.
MOST_TAKEN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """Somebody who was not taken in."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGroup:
    """A group of the directory, with its number where it is known here."""

    group: DirectoryGroup
    id: int | None


class DirectoryDesk:
    """The use cases; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, source: DirectorySource) -> None:
        self._metadata = metadata
        self._source = source

    async def test(self, values: Mapping[str, object]) -> Answer:
        """Try the settings; `values` are those that are not the present ones, by Harbor's names.

        Raises:
            DirectoryError: They do not work, or cannot be used; the message says why.
        """
        if not values:
            return await (await self._directory()).test()
        directory = await self._source.trial(values)
        try:
            return await directory.test()
        finally:
            await directory.close()

    async def search_people(self, text: str) -> list[Person]:
        """Return people of whom a name begins with a text.

        Raises:
            PreconditionFailed: The directory cannot be asked now, or there is none.
        """
        try:
            return await (await self._directory()).search_people(text, limit=MOST_FOUND)
        except DirectoryError as error:
            raise _failed(error) from error

    async def search_groups(self, text: str, dn: str) -> list[FoundGroup]:
        """Return the group of a DN, or without one the groups whose name begins with a text.

        Raises:
            Invalid: The DN is none.
            PreconditionFailed: The directory cannot be asked now, or there is none.
        """
        try:
            directory = await self._directory()
            if dn:
                one = await directory.find_group(fold_dn(dn))
                found = [] if one is None else [one]
            else:
                found = await directory.search_groups(text, limit=MOST_FOUND)
        except DnInvalid as error:
            raise Invalid(str(error)) from error
        except DirectoryError as error:
            raise _failed(error) from error
        known = await groups.by_subjects(self._metadata, PROVIDER, [group.subject for group in found])
        ids = {record.subject: record.id for record in known}
        return [FoundGroup(group=group, id=ids.get(group.subject)) for group in found]

    async def take_in(self, names: Sequence[str], *, by: Source) -> list[NotTaken]:
        """Make accounts for people of the directory; returns whom that was not possible for, and why.

        Raises:
            PreconditionFailed: The directory cannot be asked now, or there is none.
        """
        try:
            directory = await self._directory()
            tried = [await self._take_in(directory, name, by) for name in dict.fromkeys(names)]
        except DirectoryError as error:
            raise _failed(error) from error
        return [failure for failure in tried if failure is not None]

    async def _take_in(self, directory: Directory, name: str, by: Source) -> NotTaken | None:
        person = await directory.find_person(name)
        if person is None:
            return NotTaken(name=name, reason="the directory knows nobody of this name, or more than one")
        try:
            await People(self._metadata, directory).take_in(person, by=by)
        except NotAdmitted as error:
            return NotTaken(name=name, reason=str(error))
        return None

    async def _directory(self) -> Directory:
        configured = await self._source.current()
        if configured is None:
            raise NoDirectory("no directory is configured: set auth_mode to ldap_auth, and ldap_url")
        return configured.directory


def _failed(error: DirectoryError) -> PreconditionFailed:
    return PreconditionFailed(f"the directory cannot be asked: {error}")
