"""`/retentions/{retention_id}/executions`: runs of a policy, and what they did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from entrepot.lifecycle.retention.executions import FORGOTTEN, Executions, line_of
from entrepot.lifecycle.retention.policies import KIND, subject_of
from entrepot.metadata.filtering import Selection
from entrepot.metadata.jobs import job_runs
from entrepot.metadata.lifecycle import retention_tasks
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.metadata.lifecycle.retention_verdicts import PIECE
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.locations import LOCATED, set_location
from entrepot.web.api.paging import PAGE_SIZE, PAGED, Page, describe, offset_of, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.retention.retentions import LIST, READ, UPDATE, PolicyIn, policy_where
from entrepot.web.api.retention.run_models import (
    ExecutionChange,
    ExecutionRequest,
    RetentionExecution,
    RetentionTask,
    RetentionVerdict,
)

ExecutionId = Annotated[int, Path(ge=1, lt=2**63, description="Number of the run.", examples=[17])]
TaskId = Annotated[int, Path(ge=1, lt=2**63, description="Number of the task.", examples=[31])]
PageSize = Annotated[int, Query(ge=0, le=PIECE, description="How many a page has; 0 for as many as it can have.")]
After = Annotated[
    int | None,
    Query(
        ge=0,
        lt=2**62,
        description="In place of `page`: begin behind so many, at any place of a list of any length.",
        examples=[0],
    ),
]
_LOGGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": "removed v1 sha256:... no rule keeps it\n",
            }
        }
    }
}


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["retention"])
    add = routes.add_api_route
    every = "/retentions/{retention_id}/executions"
    add(every, list_executions, methods=["GET"], responses=PAGED, operation_id="listRetentionExecutions")
    add(
        every,
        start_execution,
        methods=["POST"],
        status_code=201,
        responses=LOCATED | refusals(405, 409),
        operation_id="triggerRetentionExecution",
    )
    one = f"{every}/{{eid}}"
    add(one, change_execution, methods=["PATCH"], operation_id="operateRetentionExecution")
    add(f"{one}/tasks", list_tasks, methods=["GET"], responses=PAGED, operation_id="listRetentionTasks")
    task = f"{one}/tasks/{{tid}}"
    add(
        task,
        get_log,
        methods=["GET"],
        response_class=StreamingResponse,
        responses=_LOGGED,
        operation_id="getRetentionTaskLog",
    )
    add(f"{task}/verdicts", list_verdicts, methods=["GET"], responses=PAGED, operation_id="listRetentionVerdicts")
    return routes


async def list_executions(
    request: Request,
    response: Response,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(LIST))],
    wanted: Annotated[Selection, Depends(selection(job_runs.FIELDS))],
) -> list[RetentionExecution]:
    """List the runs of a policy, the newest first."""
    runs = await services.lifecycle.retained.page(found.policy.id, wanted)
    describe(request, response, wanted, runs.total)
    return [RetentionExecution.of(found.policy.id, run) for run in runs.items]


async def start_execution(
    caller: CallerOf,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(UPDATE))],
    body: ExecutionRequest | None = None,
) -> Response:
    """Run a policy now; a dry run only says what would go."""
    dry_run = body is not None and body.dry_run
    if not dry_run:
        services.web.registry.settings.require_deletes()
    run = await services.jobs.runs.start(
        KIND, subject=subject_of(found.policy.id), parameters={"dry_run": dry_run}, by=caller.source
    )
    response = Response(status_code=201)
    set_location(response, services, f"/retentions/{found.policy.id}/executions/{run.id}")
    return response


async def change_execution(
    eid: ExecutionId,
    body: ExecutionChange,  # noqa: ARG001 - it can say one thing
    caller: CallerOf,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(UPDATE))],
) -> None:
    """Ask a run to end; what it removed is in the trash."""
    await services.lifecycle.retained.get(found.policy.id, eid)
    await services.jobs.runs.stop(eid, kind=KIND, by=caller.source)


async def list_tasks(
    eid: ExecutionId,
    request: Request,
    response: Response,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(LIST))],
    wanted: Annotated[Selection, Depends(selection(retention_tasks.FIELDS))],
) -> list[RetentionTask]:
    """List what a run did, repository by repository."""
    run = await services.lifecycle.retained.get(found.policy.id, eid)
    tasks = await services.lifecycle.retained.tasks(found.policy.id, eid, wanted)
    describe(request, response, wanted, tasks.total)
    return [RetentionTask.of(task, run) for task in tasks.items]


async def get_log(
    eid: ExecutionId,
    tid: TaskId,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(READ))],
) -> StreamingResponse:
    """Return a line for each tag of a repository: kept or removed, by which rule and why."""
    executions = services.lifecycle.retained
    task = await executions.task(found.policy.id, eid, tid)
    return StreamingResponse(_lines(executions, task), media_type="text/plain")


async def _lines(executions: Executions, task: TaskRecord) -> AsyncIterator[str]:
    yield f"{task.repository}: {task.total} looked at, {task.retained} kept\n"
    seen = 0
    async for piece in executions.verdicts(task):
        seen += len(piece)
        yield "".join(f"{line_of(verdict)}\n" for verdict in piece)
    if not seen and task.total:
        yield f"{FORGOTTEN}\n"


def _positions(page: Page = 1, page_size: PageSize = PAGE_SIZE, after: After = None) -> Selection:
    """Read which verdicts are wanted; they are kept by position."""
    size = page_size or PIECE
    return Selection(limit=size, offset=offset_of(page or 1, size) if after is None else after)


async def list_verdicts(
    eid: ExecutionId,
    tid: TaskId,
    request: Request,
    response: Response,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(READ))],
    wanted: Annotated[Selection, Depends(_positions)],
) -> list[RetentionVerdict]:
    """List what was decided about each tag of a repository."""
    task = await services.lifecycle.retained.task(found.policy.id, eid, tid)
    some = await services.lifecycle.retained.some_verdicts(task, offset=wanted.offset, limit=wanted.limit)
    describe(request, response, wanted, task.total)
    return [RetentionVerdict.of(verdict) for verdict in some]
