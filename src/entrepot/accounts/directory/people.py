"""Lets people in whom the directory has just vouched for: their accounts are made and kept up to date."""

from __future__ import annotations

from entrepot.access.model import Principal, PrincipalKind
from entrepot.accounts.directory.model import PROVIDER, Directory, Person, is_own_id, subject_of_name
from entrepot.accounts.directory.plan_execution import apply
from entrepot.accounts.directory.sync_plan import Step, plan
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import directory_people, principals


class NotAdmitted(Exception):
    """The person is who it is, and may not enter; the message says why."""


class People:
    """Accounts of people of a directory."""

    def __init__(self, metadata: Database, directory: Directory) -> None:
        self._metadata = metadata
        self._directory = directory

    async def admit(self, person: Person, *, address: str = "") -> Principal:
        """Return the person's account, made or changed where the directory says something new.

        Raises:
            NotAdmitted: The person may not enter, or the account of this name is somebody else's.
            DirectoryUnavailable: Whether the account was left by somebody else cannot be found out now.
        """
        return await self._admit(person, address, create=True)

    async def take_in(self, person: Person, *, by: Source) -> Principal:
        """Make the account of somebody who has not signed in yet; what is there already is brought up to date.

        Raises:
            NotAdmitted: As for `admit`.
            DirectoryUnavailable: As for `admit`.
        """
        return await self._admit(person, "", create=True, by=by)

    async def _admit(self, person: Person, address: str, *, create: bool, by: Source | None = None) -> Principal:
        step = (await plan(self._metadata, [person], create=create))[0]
        gone = await self._gone(person) if step.problem and step.known is None else ()
        if step.changes or gone:
            source = by or Source(name=person.name, address=address, credential="directory")
            step = await self._change(person, source, create=create, gone=gone)
        if person.refused:
            raise NotAdmitted(person.refused)
        if step.problem and step.known is None:
            raise NotAdmitted(step.problem)
        return await self._principal(person)

    async def _gone(self, person: Person) -> tuple[str, ...]:
        """Say which DN the account of that name had, if the directory has it no more: then the person has moved."""
        known = await directory_people.by_names(self._metadata, [person.name])
        subject = known[0].subject if known and known[0].provider == PROVIDER else None
        if not subject or is_own_id(subject) or subject == subject_of_name(person.name):
            return ()
        return () if await self._directory.has(subject) else (subject,)

    async def _change(self, person: Person, by: Source, *, create: bool, gone: tuple[str, ...]) -> Step:
        async def work(tx: Transaction) -> Step:
            steps = await plan(tx, [person], create=create, gone=gone)
            await apply(tx, steps, by)
            return steps[0]

        return await self._metadata.write(work, name="account of the directory")

    async def _principal(self, person: Person) -> Principal:
        known = await directory_people.by_subjects(self._metadata, PROVIDER, [person.identity])
        account = await principals.find_by_id(self._metadata, known[0].id) if known else None
        if account is None:
            raise NotAdmitted("the account was removed meanwhile; sign in again")
        if account.disabled:
            raise NotAdmitted("the account was disabled here; ask the registry's administrators")
        return Principal(kind=PrincipalKind.USER, name=account.name, id=account.id, epoch=account.epoch)
