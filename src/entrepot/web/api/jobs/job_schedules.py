"""`/jobs/schedules`: when jobs of every kind run by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from entrepot.access.faults import NotFound
from entrepot.access.permissions import Permission
from entrepot.metadata.filtering import Selection
from entrepot.metadata.jobs import schedules as rows
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.jobs.job_models import JobSchedule, JobScheduleRequest
from entrepot.web.api.jobs.job_rights import require_to_run
from entrepot.web.api.jobs.jobs import LIST, READ
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals

_UPDATE = Permission("job:update")
Kind = Annotated[str, Path(min_length=1, max_length=100, description="Name of the kind.", examples=["upload-purging"])]
About = Annotated[str, Query(max_length=512, description="What the runs are about, for kinds that have subjects.")]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["job"])
    add = routes.add_api_route
    add("/jobs/schedules", list_schedules, methods=["GET"], responses=PAGED, operation_id="listJobSchedules")
    one = "/jobs/schedules/{kind}"
    add(one, get_schedule, methods=["GET"], responses=refusals(404), operation_id="getJobSchedule")
    add(one, set_schedule, methods=["PUT"], responses=refusals(404), operation_id="setJobSchedule")
    add(one, reset_schedule, methods=["DELETE"], responses=refusals(404), operation_id="resetJobSchedule")
    return routes


async def list_schedules(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(rows.FIELDS))],
) -> list[JobSchedule]:
    """List the schedules of all kinds, those out of force included."""
    await caller.require(LIST)
    found = await services.jobs.schedules.page(wanted)
    describe(request, response, wanted, found.total)
    return [JobSchedule.of(schedule) for schedule in found.items]


async def get_schedule(kind: Kind, caller: CallerOf, services: ServicesOf, subject: About = "") -> JobSchedule:
    """Return when a kind of job runs by itself."""
    await caller.require(READ)
    found = await services.jobs.schedules.find(kind, subject)
    if found is None:
        raise NotFound(f"{kind} has no schedule; set one with PUT, or start a run with POST /jobs")
    return JobSchedule.of(found)


async def set_schedule(kind: Kind, body: JobScheduleRequest, caller: CallerOf, services: ServicesOf) -> JobSchedule:
    """Set when a kind of job runs by itself, whatever the configuration says; for who may do what it does."""
    await caller.require(_UPDATE)
    await require_to_run(caller, services, kind, body.parameters)
    return JobSchedule.of(
        await services.jobs.schedules.set(
            kind,
            cron=body.cron,
            time_zone=body.time_zone,
            subject=body.subject,
            parameters=body.parameters,
            by=caller.source,
        )
    )


async def reset_schedule(kind: Kind, caller: CallerOf, services: ServicesOf, subject: About = "") -> None:
    """Remove what a person set, so that the configuration's schedule is in force again, if there is one."""
    await caller.require(_UPDATE)
    await require_to_run(caller, services, kind)
    await services.jobs.schedules.reset(kind, subject=subject, by=caller.source)
