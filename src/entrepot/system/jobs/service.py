"""Runs of jobs as people ask for them, look at them and stop them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.metadata import events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.jobs import job_lines, job_runs, job_steps
from entrepot.metadata.jobs.job_lines import Line
from entrepot.metadata.jobs.job_runs import Cause, Run, Wanted
from entrepot.metadata.jobs.job_steps import Step
from entrepot.system.jobs.kinds import Kinds
from entrepot.system.jobs.traits import JobTraits


class Jobs:
    """The use cases about runs; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, kinds: Kinds) -> None:
        self._metadata = metadata
        self._kinds = kinds

    def kinds(self) -> Sequence[JobTraits]:
        """Return the kinds of jobs there are."""
        return self._kinds.list()

    async def page(self, selection: Selection) -> Listed[Run]:
        """Return a page of the runs, newest first unless another order is asked for."""
        return await job_runs.page(self._metadata, selection)

    async def get(self, run: int, kind: str | None = None) -> Run:
        """Return a run.

        Raises:
            NotFound: There is none of this number, or it is of another kind than the one asked for.
        """
        found = await job_runs.find(self._metadata, run)
        if found is None or kind not in (None, found.kind):
            raise NotFound(f"there is no run {run}{'' if kind is None else f' of {kind}'}; it may be too long ago")
        return found

    async def lines(self, run: int, *, after: int = 0) -> list[Line]:
        """Return the lines of a run's log that follow one."""
        return await job_lines.page(self._metadata, run, after=after)

    async def steps(self, run: int) -> list[Step]:
        """Return the steps of a run."""
        return await job_steps.of_run(self._metadata, run)

    async def start(
        self, kind: str, *, subject: str = "", parameters: Mapping[str, Any] | None = None, by: Source
    ) -> Run:
        """Ask for a run.

        Raises:
            NotFound: There is no such kind.
            Invalid: The kind does not take such a subject or such parameters.
            Conflict: A run of that kind and subject has not ended yet.
        """
        traits = self._kinds.get(kind)
        wanted = Wanted(
            kind=kind,
            subject=checked_subject(traits, subject),
            parameters=checked_parameters(traits, parameters or {}),
            version=traits.version,
            cause=Cause.MANUAL,
            actor=by.name,
        )

        async def work(tx: Transaction) -> Run:
            active = await job_runs.find_active(tx, kind, subject)
            if active is not None:
                raise Conflict(
                    f"run {active.id} of {kind} is {active.state.value.lower()}; wait for its end or stop it"
                )
            run = await job_runs.ask(tx, wanted)
            detail = {"run": run, "subject": subject, "parameters": dict(wanted.parameters)}
            await events.add(tx, events.START, by=by, subject=f"job:{kind}", detail=detail)
            found = await job_runs.find(tx, run)
            assert found is not None
            return found

        return await self._metadata.write(work, name="start a job")

    async def stop(self, run: int, *, kind: str | None = None, by: Source) -> None:
        """Ask a run to end: a waiting one ends at once, a running one at its next step. One that has ended stays so.

        Raises:
            NotFound: As `get`.
        """
        found = await self.get(run, kind)

        async def work(tx: Transaction) -> None:
            if await job_runs.stop(tx, run):
                await events.add(tx, events.STOP, by=by, subject=f"job:{found.kind}", detail={"run": run})

        await self._metadata.write(work, name="stop a job")


def checked_subject(traits: JobTraits, subject: str) -> str:
    """Return what a run is about.

    Raises:
        Invalid: The kind's runs are about something else, or about nothing in particular.
    """
    if not traits.takes_subject(subject):
        form = f"a subject of the form {traits.subjects}" if traits.subjects else "no subject"
        raise Invalid(f"{traits.name} takes {form}, and {subject[:100]!a} was given")
    return subject


def checked_parameters(traits: JobTraits, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a run, complete.

    Raises:
        Invalid: One is not known or not of its type.
    """
    try:
        return traits.read_parameters(given)
    except ValueError as error:
        raise Invalid(str(error)) from None
