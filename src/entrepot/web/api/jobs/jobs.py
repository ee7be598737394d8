"""`/jobs`: runs of jobs of every kind: listed, looked at, started, stopped; and what kinds there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from entrepot.access.permissions import Permission
from entrepot.metadata.filtering import Selection
from entrepot.metadata.jobs import job_runs
from entrepot.metadata.jobs.job_lines import Line
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.jobs.job_models import Job, JobKind, JobRequest, JobStep
from entrepot.web.api.jobs.job_rights import require_to_run
from entrepot.web.api.locations import LOCATED, set_location
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.values import moment

LIST, READ, CREATE, STOP = (Permission.of("job", action) for action in ("list", "read", "create", "stop"))
#: The number of the last line that was read, so that the next request asks for what follows it.
LAST_LINE: Final = "X-Last-Line"

Id = Annotated[int, Path(ge=1, lt=2**63, description="The run's number.", examples=[17])]
After = Annotated[int, Query(ge=0, lt=2**63, description="Only the lines after the one of this number.")]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["job"])
    add = routes.add_api_route
    add("/jobs", list_jobs, methods=["GET"], responses=PAGED, operation_id="listJobs")
    add(
        "/jobs",
        start_job,
        methods=["POST"],
        status_code=201,
        responses=LOCATED | refusals(404, 409),
        operation_id="startJob",
    )
    add("/jobs/kinds", list_kinds, methods=["GET"], operation_id="listJobKinds")
    add("/jobs/{job_id}", get_job, methods=["GET"], responses=refusals(404), operation_id="getJob")
    add("/jobs/{job_id}/steps", list_steps, methods=["GET"], responses=refusals(404), operation_id="listJobSteps")
    add(
        "/jobs/{job_id}/log",
        get_log,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=LOGGED | refusals(404),
        operation_id="getJobLog",
    )
    add("/jobs/{job_id}/stop", stop_job, methods=["POST"], responses=refusals(404), operation_id="stopJob")
    return routes


async def list_jobs(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(job_runs.FIELDS))],
) -> list[Job]:
    """List the runs of all kinds, newest first."""
    await caller.require(LIST)
    found = await services.jobs.runs.page(wanted)
    describe(request, response, wanted, found.total)
    return [Job.of(run) for run in found.items]


async def list_kinds(caller: CallerOf, services: ServicesOf) -> list[JobKind]:
    """List the kinds of jobs there are, and what a run of each may be given."""
    await caller.require(LIST)
    return [JobKind.of(traits) for traits in services.jobs.runs.kinds()]


async def start_job(body: JobRequest, response: Response, caller: CallerOf, services: ServicesOf) -> Job:
    """Ask for a run, for who may do what it does; the next worker that is free begins it."""
    await caller.require(CREATE)
    await require_to_run(caller, services, body.kind, body.parameters)
    run = await services.jobs.runs.start(body.kind, subject=body.subject, parameters=body.parameters, by=caller.source)
    set_location(response, services, f"/jobs/{run.id}")
    return Job.of(run)


async def get_job(job_id: Id, caller: CallerOf, services: ServicesOf) -> Job:
    """Return a run: how far it is, or what came of it."""
    await caller.require(READ)
    return Job.of(await services.jobs.runs.get(job_id))


async def list_steps(job_id: Id, caller: CallerOf, services: ServicesOf) -> list[JobStep]:
    """List the parts of a run that are done once, however often it is begun."""
    await caller.require(READ)
    await services.jobs.runs.get(job_id)
    return [JobStep.of(step) for step in await services.jobs.runs.steps(job_id)]


async def get_log(job_id: Id, caller: CallerOf, services: ServicesOf, after: After = 0) -> Response:
    """Return what a run has to say, one line for each thing; of a long log the end."""
    await caller.require(READ)
    await services.jobs.runs.get(job_id)
    return log_answer(await services.jobs.runs.lines(job_id, after=after), after)


async def stop_job(job_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Ask a run to end. One that waits ends at once, one that runs at its next step; one that has ended stays so."""
    await caller.require(STOP)
    await services.jobs.runs.stop(job_id, by=caller.source)


def log_answer(lines: Sequence[Line], after: int = 0) -> Response:
    """Return lines as text."""
    text = "".join(f"{moment(line.at):%Y-%m-%dT%H:%M:%SZ} {line.text}\n" for line in lines)
    return PlainTextResponse(text, headers={LAST_LINE: str(lines[-1].number if lines else after)})


#: How a log looks, for the documentation.
LOGGED: Final[dict[int | str, dict[str, object]]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "2026-01-02T03:04:05Z removed 5 events\n"}},
        "headers": {
            LAST_LINE: {"schema": {"type": "integer"}, "description": "The number of the last line, for `after`."}
        },
    }
}
