"""The audit log is shortened by a job, as `audit.retention` or somebody says."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.audit.chain_check import verify
from entrepot.audit.retention import Retention
from entrepot.audit.seals import CHECKPOINT, Sealer
from entrepot.jobs.audit_purge import PURGE_AUDIT_LOG, AuditPurging
from entrepot.jobs.model import JobKind
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.jobs import job_lines
from entrepot.metadata.jobs.job_runs import State
from tests.support.events import recorded
from tests.support.job_runs import ask, until, worker

DAY = 86_400.0
ALICE = Source(name="alice")


@pytest.fixture
async def log(tables: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Two pushes, a sign-in and a delete from ten days ago, and a push from now, all sealed."""
    old = clock.after(-10 * DAY)
    image = {"repository": "team/app", "digest": "sha256:0"}
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: old)
        await _add(tables, events.PUSH, **image)
        await _add(tables, events.PUSH, **image)
        await _add(tables, events.SIGN_IN, subject="user:alice")
        await _add(tables, events.DELETE, **image)
    await _add(tables, events.PUSH, **image)
    await Sealer(tables, str).run_once()
    return tables


async def _add(tables: Database, kind: str, **what: str) -> None:
    await tables.write(lambda tx: events.add(tx, kind, by=ALICE, **what))


async def purge(log: Database, *, configured: float = 0, **parameters: Any) -> tuple[Any, list[str]]:
    """Run the job; gives its result and what it said."""
    asked = await ask(log, PURGE_AUDIT_LOG.name, parameters=PURGE_AUDIT_LOG.read_parameters(parameters), actor="bob")
    async with worker(log, JobKind(traits=PURGE_AUDIT_LOG, run=AuditPurging(Retention(log), configured).run)):
        run = await until(log, asked)
    assert run.state is State.SUCCEEDED, run.error
    return run.result, [line.text for line in await job_lines.page(log, asked)]


async def kinds(log: Database) -> list[str]:
    """Give the kinds of the events that there are."""
    return [event.kind for event in await recorded(log)]


async def test_old_events_go_and_the_rest_verifies(log: Database) -> None:
    """Older than asked for; who had it done is told by an event of its own."""
    result, said = await purge(log, audit_retention_hour=24 * 7)
    assert (result, said) == ({"removed": 4, "dry_run": False}, ["removed 4 events older than 168 h"])
    assert await kinds(log) == [events.PUSH, CHECKPOINT, events.DELETE]
    assert (await recorded(log))[-1].actor == "bob"
    assert (await verify(log)).holds


async def test_without_a_time_the_configuration_decides(log: Database) -> None:
    """Where that says nothing either, nothing goes."""
    result, said = await purge(log)
    assert result == {"removed": 0}
    assert "audit.retention is not set" in said[0]
    assert (await purge(log, configured=20 * DAY))[0]["removed"] == 0
    whole_months = log.dialect != "sqlite"
    assert (await purge(log, configured=9 * DAY))[0]["removed"] == (0 if whole_months else 4)


async def test_a_dry_run_only_counts(log: Database) -> None:
    """It says what would go."""
    result, said = await purge(log, audit_retention_hour=24, dry_run=True)
    assert (result, said) == ({"removed": 4, "dry_run": True}, ["would remove 4 events older than 24 h"])
    assert len(await kinds(log)) == 6


@pytest.mark.parametrize(
    ("types", "removed"),
    [
        ({"include_operations": "create,delete,pull"}, 2),
        ({"include_event_types": "create_artifact"}, 2),
        ({"include_event_types": "push, delete, other"}, 4),
        ({"include_event_types": "pull_artifact"}, 0),
    ],
)
async def test_an_event_of_another_type_stays_and_all_after_it(
    log: Database, types: dict[str, str], removed: int
) -> None:
    """The log is a chain, so it goes from its oldest on; the run says which event is in the way."""
    result, said = await purge(log, audit_retention_hour=24, **types)
    assert result["removed"] == removed
    assert len(said) == (1 if removed == 4 else 2)
    assert (await verify(log)).holds
