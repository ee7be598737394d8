"""`/audit-logs`, `/auditlog-exts` and those of a project: who did what, newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid
from entrepot.access.permissions import Permission
from entrepot.audit.export import Format, export
from entrepot.audit.words import TYPES, operation_of, resource_type_of
from entrepot.metadata import audit_log, events
from entrepot.metadata.audit_log import EventRecord, Filter
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.filtering import Condition, Kind, Match, Order, Selection
from entrepot.metadata.filtering import Field as ListField
from entrepot.metadata.tables import events as table
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.paging import PAGED, chosen, describe, selection
from entrepot.web.api.values import moment

LIST = Permission("audit-log:list")
LIST_OF_PROJECT = Permission("log:list")

#: What `q` may name, and the field of the filter that it stands for.
_NAMES: Final[Mapping[str, str]] = {
    "username": "actor",
    "operation": "kind",
    "resource": "resource",
    "resource_type": "resource_type",
    "operator": "actor",
    "project": "project",
    "subject": "subject",
    "address": "address",
    "result": "result",
}
_COLUMNS: Final[Mapping[str, str]] = {"resource": "repository", "resource_type": "subject"}
_FIELDS: Final = {name: ListField(column=table.c[_COLUMNS.get(field, field)]) for name, field in _NAMES.items()} | {
    "id": ListField(column=table.c.id, kind=Kind.NUMBER),
    "op_time": ListField(column=table.c.at, kind=Kind.TIME),
}
_NEWEST_FIRST: Final = (Order("op_time", descending=True), Order("id", descending=True))
#: Of these a part may be asked for, whatever its case.
_PARTS: Final[Mapping[str, str]] = {"username": "actor_part", "operator": "actor_part", "resource": "resource_part"}
#: What happens here and has no word in Harbor.
_KINDS: Final = (
    events.MOUNT,
    events.RESTORE,
    events.PURGE,
    events.EXPIRE,
    events.RETAIN,
    events.ALERT,
    events.START,
    events.STOP,
    events.QUARANTINE,
    events.HEAL,
)

#: What exports look like.
_EXPORTS: Final[dict[str, dict[str, Any]]] = {
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": '{"at":"2026-01-02T03:04:05Z","actor":"alice","kind":"push"}\n',
    },
    "text/csv": {"schema": {"type": "string"}, "example": "at,actor,kind\n2026-01-02T03:04:05Z,alice,push\n"},
}
_ATTACHED: Final = {
    "Content-Disposition": {"schema": {"type": "string"}, "description": "A name to save it by, as an attachment."}
}

Wanted = Annotated[Selection, Depends(selection(_FIELDS))]


class AuditLog(BaseModel):
    """One event."""

    id: int = Field(examples=[8812])
    username: str = Field(examples=["alice"])
    resource: str = Field(examples=["team/app:v1"])
    resource_type: str = Field(examples=["artifact"])
    operation: str = Field(description="Harbor's word, or ours where it has none.", examples=["create"])
    op_time: datetime = Field(examples=["2026-01-02T03:04:05Z"])

    @classmethod
    def of(cls, event: EventRecord) -> AuditLog:
        """Show an event."""
        return cls(**_common(event))


class AuditLogExt(AuditLog):
    """One event, with what came of it."""

    operation_description: str = Field(examples=["push artifact team/app:v1"])
    operation_result: bool = Field(examples=[True])
    kind: str = Field(description="The registry's own word for what was done.", examples=["push"])
    reason: str | None = Field(description="Why it failed, or was done, where that was noted.", examples=[None])
    count: int = Field(description="How many like events it stands for.", examples=[1])
    address: str | None = Field(description="Where the request came from.", examples=["192.0.2.7"])
    credential: str | None = Field(description="What signed in: password, session, key:12, ...", examples=["key:12"])
    request_id: str | None = Field(examples=["0a1b2c3d4e5f"])
    project: str | None = Field(examples=["team"])
    seal: str | None = Field(
        description="The hash that chains it to the event before; none in the first seconds.", examples=[None]
    )

    @classmethod
    def of(cls, event: EventRecord) -> AuditLogExt:
        """Show an event."""
        return cls(
            **_common(event),
            operation_description=_description(event),
            operation_result=event.result != events.FAILURE,
            reason=_reason(event),
            kind=event.kind,
            count=event.count,
            address=event.address,
            credential=event.credential,
            request_id=event.request,
            project=event.project,
            seal=event.seal,
        )


class EventType(BaseModel):
    """A kind of event."""

    model_config = ConfigDict(json_schema_extra={"example": {"event_type": "create_artifact"}})

    event_type: str = Field(examples=["create_artifact"])


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["auditlog"])
    add = routes.add_api_route
    add("/audit-logs", list_logs, methods=["GET"], responses=PAGED, operation_id="listAuditLogs")
    add("/auditlog-exts", list_log_exts, methods=["GET"], responses=PAGED, operation_id="listAuditLogExts")
    add("/auditlog-exts/events", list_kinds, methods=["GET"], operation_id="listAuditLogEventTypes")
    add(
        "/auditlog-exts/export",
        export_logs,
        methods=["GET"],
        operation_id="exportAuditLogs",
        response_class=StreamingResponse,
        responses={200: {"content": _EXPORTS, "headers": _ATTACHED}},
    )
    one = "/projects/{project_name_or_id}"
    add(f"{one}/logs", list_project_logs, methods=["GET"], responses=PAGED, operation_id="getLogs")
    add(f"{one}/auditlog-exts", list_project_exts, methods=["GET"], responses=PAGED, operation_id="getLogExts")
    return routes


async def list_logs(
    request: Request, response: Response, caller: CallerOf, services: ServicesOf, wanted: Wanted
) -> list[AuditLog]:
    """List what was done, newest first."""
    await caller.require(LIST)
    return [AuditLog.of(event) for event in await _page(request, response, services, wanted)]


async def list_log_exts(
    request: Request, response: Response, caller: CallerOf, services: ServicesOf, wanted: Wanted
) -> list[AuditLogExt]:
    """List what was done and what came of it, newest first."""
    await caller.require(LIST)
    return [AuditLogExt.of(event) for event in await _page(request, response, services, wanted)]


async def list_kinds(caller: CallerOf) -> list[EventType]:
    """List the kinds of events: Harbor's, then those that it does not have."""
    caller.require_sign_in()
    return [EventType(event_type=kind) for kind in (*TYPES, *_KINDS)]


async def export_logs(
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(chosen(_FIELDS))],
    *,
    form: Annotated[Format, Query(alias="format", description="JSON lines or CSV.")] = Format.JSONL,
) -> StreamingResponse:
    """Write all events that fit, newest first."""
    await caller.require(LIST)
    media_type = "text/csv" if form is Format.CSV else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="audit-log.{form}"'}
    pieces = export(services.metadata, _filter(wanted), form)
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


async def list_project_logs(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(LIST_OF_PROJECT))],
    wanted: Wanted,
) -> list[AuditLog]:
    """List what was done in a project since it was made, newest first."""
    return [AuditLog.of(event) for event in await _page(request, response, services, wanted, project)]


async def list_project_exts(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(LIST_OF_PROJECT))],
    wanted: Wanted,
) -> list[AuditLogExt]:
    """List what was done in a project since it was made and what came of it, newest first."""
    return [AuditLogExt.of(event) for event in await _page(request, response, services, wanted, project)]


async def _page(
    request: Request, response: Response, services: ServicesOf, wanted: Selection, project: ProjectRecord | None = None
) -> list[EventRecord]:
    fitting = _filter(wanted, project)
    describe(request, response, wanted, await audit_log.count(services.metadata, fitting))
    if (by := _order(wanted)) is not None:
        return await audit_log.sorted_page(services.metadata, fitting, by, limit=wanted.limit, skip=wanted.offset)
    return (await audit_log.page(services.metadata, fitting, limit=wanted.limit, skip=wanted.offset)).events


def _order(wanted: Selection) -> str | None:
    """Return the order that is asked for; None for the log's own, the newest first."""
    if not wanted.order or wanted.order[0] in _NEWEST_FIRST:
        return None
    first = wanted.order[0]
    if len(wanted.order) > 1 or first.field not in audit_log.SORTS:
        raise Invalid(f"sort: name one of {', '.join(audit_log.SORTS)}, with - before it for the other way")
    return f"-{first.field}" if first.descending else first.field


def _filter(wanted: Selection, project: ProjectRecord | None = None) -> Filter:
    """Return what is asked for; of a project nothing from before it was made, when another may have had its name."""
    found: dict[str, Any] = {}
    for condition in wanted.conditions:
        found |= _asked(condition)
    asked = Filter(**found)
    if project is None:
        return asked
    return replace(asked, project=project.name, since=max(asked.since or 0, project.created_at))


def _asked(condition: Condition) -> dict[str, Any]:
    """Return what one condition asks of the filter."""
    match condition.field, condition.match:
        case "op_time", _:
            return _times(condition)
        case "id", _:
            raise Invalid("the log can be sorted by id, and asked for by op_time")
        case "operation", Match.EQUAL | Match.ANY:
            return {"operations": tuple(str(value).lower() for value in condition.values)}
        case field, Match.CONTAINS if field in _PARTS:
            return {_PARTS[field]: str(condition.values[0])}
    return {_NAMES[condition.field]: _one(condition)}


def _times(condition: Condition) -> dict[str, Any]:
    if condition.match is not Match.RANGE:
        raise Invalid("ask for op_time as a range: op_time=[2026-01-01~2026-02-01]")
    low, high = condition.values
    return {"since": low, "until": high}


def _one(condition: Condition) -> str:
    if condition.match is not Match.EQUAL:
        raise Invalid(f"ask for {condition.field} with = and one value")
    return str(condition.values[0])


def _common(event: EventRecord) -> dict[str, Any]:
    return {
        "id": event.id,
        "username": event.actor,
        "resource": _resource(event),
        "resource_type": resource_type_of(event),
        "operation": operation_of(event),
        "op_time": moment(event.at),
    }


def _resource(event: EventRecord) -> str:
    if event.repository is None:
        return (event.subject or event.project or "").partition(":")[2] or event.subject or event.project or ""
    reference = f":{event.tag}" if event.tag else f"@{event.digest}" if event.digest else ""
    return f"{event.repository}{reference}"


def _reason(event: EventRecord) -> str | None:
    detail = {} if event.detail is None else json.loads(event.detail)
    reason = detail.get("reason") or detail.get("closed")
    return None if reason is None else str(reason)


def _description(event: EventRecord) -> str:
    done = f"{event.kind} {resource_type_of(event)} {_resource(event)}"
    detail = {} if event.detail is None else json.loads(event.detail)
    return done + "".join(f", {name}: {value}" for name, value in detail.items())
