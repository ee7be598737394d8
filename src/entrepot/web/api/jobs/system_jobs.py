"""`/system/gc` and `/system/purgeaudit`: two kinds of jobs as Harbor shows and steers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import PlainTextResponse

from entrepot.access.permissions import Permission
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.jobs import job_runs
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.jobs.harbor_jobs import MANUAL, NONE, History, ScheduleBody, StartBody, known_only
from entrepot.web.api.jobs.job_rights import require_for_parameters
from entrepot.web.api.jobs.jobs import LOGGED, log_answer
from entrepot.web.api.locations import LOCATED, set_location
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices

_FIELDS: Final = {name: field for name, field in job_runs.FIELDS.items() if name != "kind"}
Wanted = Annotated[Selection, Depends(selection(_FIELDS))]
Id = Annotated[int, Path(ge=1, lt=2**63, description="The run's number.", examples=[17])]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A kind with a place of its own in Harbor's API."""

    kind: str
    path: str
    resource: str
    words: str  #: in the names of Harbor's operations

    def may(self, action: str) -> Permission:
        """Return the permission to do something about it."""
        return Permission.of(self.resource, action)


_PARTS: Final = (
    _Part(kind="garbage-collection", path="/system/gc", resource="garbage-collection", words="GC"),
    _Part(kind="purge-audit-log", path="/system/purgeaudit", resource="purge-audit", words="Purge"),
)


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["gc"])
    for part in _PARTS:
        _Routes(part).add_to(routes)
    return routes


class _Routes:
    """The handlers for one kind."""

    def __init__(self, part: _Part) -> None:
        self._part = part

    def add_to(self, routes: APIRouter) -> None:
        """Add the routes of the kind."""
        add, path, words = routes.add_api_route, self._part.path, self._part.words
        made: dict[str, Any] = {"status_code": 201, "responses": LOCATED | refusals(404, 409)}
        add(path, self.history, methods=["GET"], responses=PAGED, operation_id=f"get{words}History")
        add(path, self.start, methods=["POST"], operation_id=f"start{words}", **made)
        add(f"{path}/schedule", self.create_schedule, methods=["POST"], operation_id=f"create{words}Schedule", **made)
        add(
            f"{path}/schedule",
            self.schedule,
            methods=["GET"],
            response_model=History,
            responses=refusals(404),
            operation_id=f"get{words}Schedule",
        )
        add(
            f"{path}/schedule",
            self.update_schedule,
            methods=["PUT"],
            responses=refusals(404, 409),
            operation_id=f"update{words}Schedule",
        )
        one = f"{path}/{{run_id}}"
        add(one, self.get, methods=["GET"], responses=refusals(404), operation_id=f"get{words}")
        add(one, self.stop, methods=["PUT"], responses=refusals(404), operation_id=f"stop{words}")
        add(
            f"{one}/log",
            self.log,
            methods=["GET"],
            response_class=PlainTextResponse,
            responses=LOGGED | refusals(404),
            operation_id=f"get{words}Log",
        )

    async def history(
        self, request: Request, response: Response, caller: CallerOf, services: ServicesOf, wanted: Wanted
    ) -> list[History]:
        """List the runs, newest first."""
        await caller.require(self._part.may("list"))
        ours = Condition(field="kind", match=Match.EQUAL, values=(self._part.kind,))
        narrowed = Selection(
            conditions=(*wanted.conditions, ours), order=wanted.order, limit=wanted.limit, offset=wanted.offset
        )
        found = await services.jobs.runs.page(narrowed)
        describe(request, response, wanted, found.total)
        return [History.of(run) for run in found.items]

    async def start(self, caller: CallerOf, services: ServicesOf, body: StartBody | None = None) -> Response:
        """Start a run."""
        await caller.require(self._part.may("create"))
        return await self._start(caller, services, None if body is None else body.parameters)

    async def get(self, run_id: Id, caller: CallerOf, services: ServicesOf) -> History:
        """Return one run."""
        await caller.require(self._part.may("read"))
        return History.of(await services.jobs.runs.get(run_id, self._part.kind))

    async def log(self, run_id: Id, caller: CallerOf, services: ServicesOf) -> Response:
        """Return what a run has to say."""
        await caller.require(self._part.may("read"))
        await services.jobs.runs.get(run_id, self._part.kind)
        return log_answer(await services.jobs.runs.lines(run_id))

    async def stop(self, run_id: Id, caller: CallerOf, services: ServicesOf) -> None:
        """Ask a run to end."""
        await caller.require(self._part.may("stop"))
        await services.jobs.runs.stop(run_id, kind=self._part.kind, by=caller.source)

    async def schedule(self, caller: CallerOf, services: ServicesOf) -> History:
        """Return when it runs by itself; one of the type `None` where it does not."""
        await caller.require(self._part.may("read"))
        found = await services.jobs.schedules.find(self._part.kind)
        if found is None or found.next_at is None:
            return History.of_no_schedule(self._part.kind)
        return History.of_schedule(found)

    async def create_schedule(self, body: ScheduleBody, caller: CallerOf, services: ServicesOf) -> Response:
        """Set when it runs by itself; with the type `Manual`, start a run."""
        await caller.require(self._part.may("create"))
        if body.schedule.type == MANUAL:
            return await self._start(caller, services, body.parameters)
        await self._set(body, caller, services)
        return Response(status_code=201)

    async def update_schedule(self, body: ScheduleBody, caller: CallerOf, services: ServicesOf) -> Response:
        """Set when it runs by itself; with the type `Manual`, start a run."""
        await caller.require(self._part.may("update"))
        if body.schedule.type == MANUAL:
            await caller.require(self._part.may("create"))
            await self._start(caller, services, body.parameters)
        else:
            await self._set(body, caller, services)
        return Response()

    async def _start(self, caller: Caller, services: ApiServices, parameters: dict[str, object] | None) -> Response:
        known = await self._known(caller, services, parameters)
        run = await services.jobs.runs.start(self._part.kind, parameters=known, by=caller.source)
        response = Response(status_code=201)
        set_location(response, services, f"{self._part.path}/{run.id}")
        return response

    async def _set(self, body: ScheduleBody, caller: Caller, services: ApiServices) -> None:
        line = "" if body.schedule.type == NONE else body.schedule.line()
        parameters = await self._known(caller, services, body.parameters)
        await services.jobs.schedules.set(self._part.kind, cron=line, parameters=parameters, by=caller.source)

    async def _known(self, caller: Caller, services: ApiServices, given: dict[str, object] | None) -> dict[str, object]:
        """Return the parameters that the kind knows; the caller may what they ask for, or this is refused."""
        traits = services.jobs.kinds.get(self._part.kind)
        known = known_only(given, traits.parameters)
        await require_for_parameters(caller, traits, known)
        return known
