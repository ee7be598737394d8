"""Goes through a directory and brings the accounts of its people in line with it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from entrepot.accounts.directory.model import PROVIDER, Directory, DirectoryError, DirectoryUnavailable, Person
from entrepot.accounts.directory.plan_execution import apply, close
from entrepot.accounts.directory.sync_plan import Step, plan
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import directory_people, sync_runs
from entrepot.metadata.people.directory_people import KnownPerson
from entrepot.telemetry.progress import Progress, Unwatched

T = TypeVar("T")

_log = logging.getLogger(__name__)
_BATCH = 200
#: Lines of a report; the counts go on.
_MOST_LINES = 1000
#: So many accounts may always be closed by one run.
FEW = 10
_LEFT = "no longer among the people of the directory"


class TooManyLeft(DirectoryError):
    """More people left at once than is likely; nothing was closed."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run did, or would do."""

    dry_run: bool = False
    people: int = 0  #: that the directory has and lets in
    counts: dict[str, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    error: str = ""  #: why the run did not come to its end

    def add(self, step: Step) -> None:
        """Note a step."""
        name = step.known.name if step.known else step.person.name
        for words in step.changes:
            self.note(name, words)
        if step.problem:
            self.problems.append(f"{name}: {step.problem}")
            del self.problems[_MOST_LINES:]

    def note(self, name: str, words: str) -> None:
        """Note a change."""
        kind = words.partition(":")[0].partition(" to ")[0]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.changes) < _MOST_LINES:
            self.changes.append(f"{name}: {words}")

    def document(self) -> dict[str, object]:
        """Return it for keeping."""
        return {
            "people": self.people,
            "counts": self.counts,
            "changes": self.changes,
            "problems": self.problems,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a run may do."""

    create: bool = False  #: make accounts for people who never signed in
    most_removed: int = 50  #: per cent of the accounts that may be closed at once, beyond a few
    dry_run: bool = False
    force: bool = False  #: close as many as it takes


class Synchronisation:
    """One run."""

    def __init__(
        self, metadata: Database, directory: Directory, rules: Rules, by: Source, progress: Progress | None = None
    ) -> None:
        self._metadata = metadata
        self._directory = directory
        self._rules = rules
        self._by = by
        self._progress = progress or Unwatched()
        self._report = Report(dry_run=rules.dry_run, error="it did not come to its end")
        self._seen: set[str] = set()
        self._started = clock.now()

    async def run(self) -> Report:
        """Do it; the report says what came of it, also where the directory failed.

        Raises:
            Stopped: Somebody asked it to end.
        """
        run = await self._metadata.write(
            lambda tx: sync_runs.start(tx, PROVIDER, dry_run=self._rules.dry_run), name="directory sync"
        )
        try:
            await self._go_through()
            self._report.error = ""
        except DirectoryError as error:
            self._report.error = str(error)
            _log.error("the directory was not synchronised", extra={"reason": str(error)})
        finally:
            document = self._report.document()
            await self._metadata.write(lambda tx: sync_runs.finish(tx, run, document), name="directory sync")
        return self._report

    async def _go_through(self) -> None:
        if not self._directory.can_list:
            raise DirectoryUnavailable("synchronising needs access.ldap.binddn and users.base")
        later: list[Person] = []
        async with contextlib.aclosing(self._directory.everybody()) as pages:
            async for page in pages:
                self._seen.update(subject for person in page for subject in (person.identity, person.subject))
                self._report.people += sum(not person.refused for person in page)
                for part in _batches(page):
                    later += await self._bring_in_line(part)
                    await self._progress.step(self._report.people)
        left = await self._left()
        self._check(len(left), await self._open_accounts(left))
        await self._follow_moves(later, left)
        for accounts in _batches(await self._left()):
            await self._close(accounts)

    async def _bring_in_line(self, people: Sequence[Person]) -> list[Person]:
        """Change what differs; returns those whose account may be that of somebody who moved."""
        steps = await plan(self._metadata, people, create=self._rules.create)
        self._seen.update(step.unsure for step in steps if step.unsure)
        waiting = [step.person for step in steps if step.problem and step.known is None]
        wanted = [step.person for step in steps if step.changes and not (step.problem and step.known is None)]
        await self._apply(wanted, [step for step in steps if step.person not in waiting], gone=())
        return waiting

    async def _follow_moves(self, people: Sequence[Person], left: Sequence[KnownPerson]) -> None:
        gone = [known.subject or "" for known in left]
        for part in _batches(people):
            steps = await plan(self._metadata, part, create=self._rules.create, gone=gone)
            await self._apply([step.person for step in steps if step.changes], steps, gone=gone)

    async def _apply(self, people: Sequence[Person], steps: Sequence[Step], gone: Sequence[str]) -> None:
        """Plan again within the transaction and do it: somebody may have signed in meanwhile."""

        async def work(tx: Transaction) -> list[Step]:
            again = await plan(tx, people, create=self._rules.create, gone=gone)
            await apply(tx, again, self._by)
            return again

        done = list(steps)
        if people and not self._rules.dry_run:
            taken = {step.person.identity: step for step in await self._metadata.write(work, name="directory sync")}
            done = [taken.get(step.person.identity, step) for step in steps]
        for step in done:
            self._report.add(step)

    async def _left(self) -> list[KnownPerson]:
        """List the open accounts whose people the directory did not name."""
        found: list[KnownPerson] = []
        last = ""
        while page := await directory_people.after(self._metadata, PROVIDER, last, limit=1000):
            last = page[-1].subject or ""
            found += [known for known in page if self._has_left(known)]
        return found

    def _has_left(self, known: KnownPerson) -> bool:
        return known.subject not in self._seen and known.expires_at is None and known.created_at < self._started

    async def _open_accounts(self, left: Sequence[KnownPerson]) -> int:
        """Count the open accounts, only where it matters."""
        if len(left) <= FEW:
            return 0
        count, last = 0, ""
        while page := await directory_people.after(self._metadata, PROVIDER, last, limit=1000):
            last = page[-1].subject or ""
            count += sum(known.expires_at is None for known in page)
        return count

    def _check(self, left: int, accounts: int) -> None:
        """Go on only if it is likely that so many left.

        Raises:
            TooManyLeft: It is not.
        """
        if left > FEW and left * 100 > accounts * self._rules.most_removed and not self._rules.force:
            raise TooManyLeft(
                f"{left} of {accounts} accounts would be closed, which is more than {self._rules.most_removed} % "
                "(access.ldap.sync.mostremoved); if they all left: entrepot directory sync --force"
            )

    async def _close(self, accounts: Sequence[KnownPerson]) -> None:
        async def work(tx: Transaction) -> None:
            subjects = [known.subject or "" for known in accounts]
            for known in await directory_people.by_subjects(tx, PROVIDER, subjects):
                if known.expires_at is None:
                    await close(tx, known.id, known.name, _LEFT, self._by)

        if not self._rules.dry_run:
            await self._metadata.write(work, name="directory sync")
        for known in accounts:
            self._report.note(known.name, f"closed: {_LEFT}")


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
