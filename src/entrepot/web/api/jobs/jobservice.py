"""`/jobservice` and `/schedules`: workers, queues and schedules of all jobs, as Harbor shows and steers them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid, NotFound
from entrepot.access.permissions import Permission
from entrepot.metadata import clock
from entrepot.metadata.filtering import Selection
from entrepot.metadata.jobs.job_runs import Run
from entrepot.metadata.jobs.job_workers import Worker as WorkerRecord
from entrepot.metadata.jobs.schedules import Schedule
from entrepot.system.jobs.queues import QueueState
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.jobs.harbor_jobs import HARBORS, kind_of, vendor_type
from entrepot.web.api.jobs.jobs import LOGGED, log_answer
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.values import moment, moment_or_none

_LIST, _STOP = Permission("jobservice-monitor:list"), Permission("jobservice-monitor:stop")
_ALL: Final = "all"
_HIGHEST: Final = 2**63 - 1
_TIME: Final = "2026-01-02T03:04:05Z"
Pool = Annotated[
    str, Path(max_length=100, description="The worker's id; `all` stands for every one.", examples=["4f1c0a9d2b7e6f38"])
]
JobType = Annotated[
    str, Path(max_length=100, description="The kind of job; `all` stands for every one.", examples=["PURGE_AUDIT_LOG"])
]
JobId = Annotated[
    str, Path(max_length=100, description="The run's number; `all` stands for every running one.", examples=["17"])
]


class WorkerPool(BaseModel):
    """A process that runs jobs."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "worker_pool_id": "4f1c0a9d2b7e6f38",
                "pid": 212,
                "host": "registry-1",
                "concurrency": 3,
                "start_at": _TIME,
                "heartbeat_at": _TIME,
            }
        }
    )

    worker_pool_id: str
    pid: int
    host: str
    concurrency: int
    start_at: datetime
    heartbeat_at: datetime

    @classmethod
    def of(cls, worker: WorkerRecord) -> WorkerPool:
        """Show a worker."""
        return cls(
            worker_pool_id=worker.id,
            pid=worker.pid,
            host=worker.host,
            concurrency=worker.concurrency,
            start_at=moment(worker.started_at),
            heartbeat_at=moment(worker.seen_at),
        )


class Worker(BaseModel):
    """A run that a worker does now."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "17",
                "pool_id": "4f1c0a9d2b7e6f38",
                "job_id": "17",
                "job_name": "PURGE_AUDIT_LOG",
                "check_in": "12000",
                "start_at": _TIME,
                "checkin_at": _TIME,
            }
        }
    )

    id: str
    pool_id: str
    job_id: str
    job_name: str
    check_in: str = Field(description="How far it is.")
    start_at: datetime | None
    checkin_at: datetime

    @classmethod
    def of(cls, run: Run) -> Worker:
        """Show a run."""
        return cls(
            id=str(run.id),
            pool_id=run.holder or "",
            job_id=str(run.id),
            job_name=vendor_type(run.kind),
            check_in=str(run.done) if run.total is None else f"{run.done} of {run.total}",
            start_at=moment_or_none(run.started_at),
            checkin_at=moment(run.updated_at),
        )


class JobQueue(BaseModel):
    """The runs of a kind that wait."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"job_type": "PURGE_AUDIT_LOG", "count": 1, "latency": 4, "paused": False}}
    )

    job_type: str
    count: int
    latency: int = Field(description="Age of the oldest, in seconds.")
    paused: bool

    @classmethod
    def of(cls, state: QueueState) -> JobQueue:
        """Show a queue."""
        oldest = state.queue.oldest
        return cls(
            job_type=vendor_type(state.queue.kind),
            count=state.queue.waiting,
            latency=0 if oldest is None else max(0, clock.now() - oldest) // clock.MICROSECONDS,
            paused=state.paused,
        )


class ActionRequest(BaseModel):
    """What is to become of a queue: what waits is stopped, or held back, or goes on."""

    model_config = ConfigDict(json_schema_extra={"example": {"action": "pause"}})

    action: Literal["stop", "pause", "resume"]


class ScheduleTask(BaseModel):
    """A schedule in force."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 4,
                "vendor_type": "PURGE_AUDIT_LOG",
                "vendor_id": 0,
                "cron": "0 0 0 * * *",
                "update_time": _TIME,
            }
        }
    )

    id: int
    vendor_type: str
    vendor_id: int = Field(description="The number of what it is about; 0: nothing in particular.")
    cron: str
    update_time: datetime

    @classmethod
    def of(cls, schedule: Schedule) -> ScheduleTask:
        """Show a schedule."""
        number = schedule.subject.rpartition(":")[2]
        return cls(
            id=schedule.id,
            vendor_type=vendor_type(schedule.kind),
            vendor_id=int(number) if number.isdecimal() else 0,
            cron=schedule.cron,
            update_time=moment(schedule.updated_at),
        )


class SchedulerStatus(BaseModel):
    """Whether all schedules are held back."""

    model_config = ConfigDict(json_schema_extra={"example": {"paused": False}})

    paused: bool


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["jobservice"])
    add = routes.add_api_route
    add("/jobservice/pools", list_pools, methods=["GET"], operation_id="getWorkerPools")
    add(
        "/jobservice/pools/{pool_id}/workers",
        list_workers,
        methods=["GET"],
        responses=refusals(404),
        operation_id="getWorkers",
    )
    add("/jobservice/queues", list_queues, methods=["GET"], operation_id="listJobQueues")
    add(
        "/jobservice/queues/{job_type}",
        act_on_queue,
        methods=["PUT"],
        responses=refusals(404),
        operation_id="actionPendingJobs",
    )
    add(
        "/jobservice/jobs/{job_id}",
        stop_job,
        methods=["PUT"],
        responses=refusals(404),
        operation_id="stopRunningJob",
    )
    add(
        "/jobservice/jobs/{job_id}/log",
        get_log,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=LOGGED | refusals(404),
        operation_id="actionGetJobLog",
    )
    add("/schedules", list_schedules, methods=["GET"], responses=PAGED, operation_id="listSchedules")
    add("/schedules/{job_type}/paused", is_paused, methods=["GET"], operation_id="getSchedulePaused")
    return routes


async def list_pools(caller: CallerOf, services: ServicesOf) -> list[WorkerPool]:
    """List the processes that run jobs."""
    await caller.require(_LIST)
    return [WorkerPool.of(worker) for worker in await services.jobs.queues.workers()]


async def list_workers(pool_id: Pool, caller: CallerOf, services: ServicesOf) -> list[Worker]:
    """List what a process, or every one, does now."""
    await caller.require(_LIST)
    pools = {worker.id for worker in await services.jobs.queues.workers()}
    if pool_id != _ALL and pool_id not in pools:
        raise NotFound(f"there is no worker {pool_id!a}; GET /jobservice/pools lists all")
    return [Worker.of(run) for run in await services.jobs.queues.running() if pool_id in (_ALL, run.holder)]


async def list_queues(caller: CallerOf, services: ServicesOf) -> list[JobQueue]:
    """List the queues, one for each kind of job; those of Harbor's that nothing here runs are always empty."""
    await caller.require(_LIST)
    queues = [JobQueue.of(state) for state in await services.jobs.queues.list()]
    known = {queue.job_type for queue in queues}
    others = [JobQueue(job_type=name, count=0, latency=0, paused=False) for name in HARBORS if name not in known]
    return sorted([*queues, *others], key=lambda queue: queue.job_type)


async def act_on_queue(job_type: JobType, body: ActionRequest, caller: CallerOf, services: ServicesOf) -> None:
    """Stop the runs that wait, let them wait longer, or let them go on."""
    await caller.require(_STOP)
    kind = None if job_type.lower() == _ALL else kind_of(job_type)
    if body.action == "stop":
        await services.jobs.queues.clear(kind, caller.source)
    elif body.action == "pause":
        await services.jobs.queues.pause(kind, caller.source)
    else:
        await services.jobs.queues.resume(kind, caller.source)


async def stop_job(job_id: JobId, caller: CallerOf, services: ServicesOf) -> None:
    """Ask a run, or every running one, to end."""
    await caller.require(_STOP)
    if job_id.lower() == _ALL:
        for run in await services.jobs.queues.running():
            await services.jobs.runs.stop(run.id, by=caller.source)
        return
    await services.jobs.runs.stop(_number(job_id), by=caller.source)


async def get_log(job_id: JobId, caller: CallerOf, services: ServicesOf) -> Response:
    """Return what a run has to say."""
    await caller.require(_LIST)
    run = await services.jobs.runs.get(_number(job_id))
    return log_answer(await services.jobs.runs.lines(run.id))


async def list_schedules(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection({}))],
) -> list[ScheduleTask]:
    """List the schedules in force."""
    await caller.require(_LIST)
    found = await services.jobs.schedules.page(wanted, in_force=True)
    describe(request, response, wanted, found.total)
    return [ScheduleTask.of(schedule) for schedule in found.items]


async def is_paused(job_type: JobType, caller: CallerOf, services: ServicesOf) -> SchedulerStatus:
    """Tell whether all schedules are held back; `job_type` is `all`."""
    caller.require_sign_in()
    if job_type.lower() != _ALL:
        raise Invalid("job_type can only be all: ask for /schedules/all/paused")
    return SchedulerStatus(paused=await services.jobs.queues.is_scheduler_paused())


def _number(job_id: str) -> int:
    if not job_id.isascii() or not job_id.isdecimal():
        raise NotFound(f"there is no run {job_id!a}")
    return min(int(job_id), _HIGHEST)
