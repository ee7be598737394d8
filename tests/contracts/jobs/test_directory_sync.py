"""The synchronisation with a directory as a job: what it says, what becomes of it, when it has nothing to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from entrepot.access.roles import ensure_roles
from entrepot.accounts.directory.model import NoDirectory, Person
from entrepot.accounts.directory.synchronization import Rules
from entrepot.jobs.directory_sync import DIRECTORY_SYNC, DirectorySync
from entrepot.jobs.model import JobKind
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import job_lines
from entrepot.metadata.jobs.job_runs import Run, State
from entrepot.metadata.people import users
from tests.support.directory import ScriptedDirectory, ScriptedSource
from tests.support.events import recorded
from tests.support.job_runs import ask, until, worker


def job(tables: Database, directory: ScriptedDirectory | None) -> DirectorySync:
    """Give the job; it makes accounts for everybody."""
    return DirectorySync(tables, ScriptedSource(directory=directory), Rules(create=True))


async def run(tables: Database, directory: ScriptedDirectory | None, **parameters: bool) -> Run:
    """Run it once, with one attempt, as somebody asks for it."""
    await ensure_roles(tables)
    traits = replace(DIRECTORY_SYNC, attempts=1)
    asked = await ask(tables, traits.name, parameters=parameters, actor="alice")
    async with worker(tables, JobKind(traits=traits, run=job(tables, directory).run)):
        return await until(tables, asked)


async def test_people_are_taken_in_and_the_run_says_whom(tables: Database) -> None:
    """Its result counts the changes, its log names them, and the events are those of who asked for it."""
    people = [Person(subject=f"uid={name}", name=name) for name in ("anna", "bert")]
    done = await run(tables, ScriptedDirectory(people=people))
    assert (done.state, done.result) == (State.SUCCEEDED, {"people": 2, "account made": 2})
    assert [line.text for line in await job_lines.page(tables, done.id)] == ["anna: account made", "bert: account made"]
    assert await users.find(tables, "anna") is not None
    assert {event.actor for event in await recorded(tables)} == {"alice"}


async def test_a_dry_run_changes_nothing(tables: Database) -> None:
    """It says the same."""
    done = await run(tables, ScriptedDirectory(people=[Person(subject="uid=anna", name="anna")]), dry_run=True)
    assert (done.state, done.result) == (State.SUCCEEDED, {"people": 1, "account made": 1})
    assert await users.find(tables, "anna") is None


async def test_a_directory_that_is_down_fails_the_run(tables: Database) -> None:
    """With the directory's own reason."""
    failed = await run(tables, ScriptedDirectory(down=True))
    assert (failed.state, failed.error) == (State.FAILED, "it is down")
    assert DIRECTORY_SYNC.attempts > 1


async def test_without_a_directory_its_time_passes(tables: Database) -> None:
    """Also where there is one whose people cannot be listed."""
    assert not await job(tables, None).applies()
    assert not await job(tables, ScriptedDirectory(can_list=False)).applies()
    assert await job(tables, ScriptedDirectory()).applies()


@dataclass
class _Settings:
    """A source whose settings are wrong in some way, or say that there is no directory."""

    fault: str = ""

    async def current(self) -> None:
        """See `DirectorySource`."""
        if self.fault:
            raise NoDirectory(self.fault)

    async def close(self) -> None:
        """See `DirectorySource`."""


async def test_wrong_settings_are_logged_once(tables: Database, caplog: pytest.LogCaptureFixture) -> None:
    """They are looked at every minute; what is wrong in another way, or again, is told again."""
    source = _Settings()
    sync = DirectorySync(tables, source, Rules())
    for fault in ("no host", "no host", "no base", "no base", "", "no base"):
        source.fault = fault
        assert not await sync.applies()
    assert [record.__dict__["reason"] for record in caplog.records] == ["no host", "no base", "no base"]
