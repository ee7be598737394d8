"""Harbor's words for kinds of jobs, triggers and schedules, and how they are written here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from entrepot.access.faults import Invalid
from entrepot.metadata.jobs.job_runs import Run
from entrepot.metadata.jobs.schedules import Schedule
from entrepot.web.api.values import moment, moment_or_none

#: Types of jobs that Harbor's clients look for.
HARBORS: Final = (
    "AUDIT_LOGS_GDPR_COMPLIANT",
    "EXECUTION_SWEEP",
    "GARBAGE_COLLECTION",
    "IMAGE_SCAN",
    "P2P_PREHEAT",
    "PURGE_AUDIT_LOG",
    "REPLICATION",
    "RETENTION",
    "SBOM",
    "SCAN_ALL",
    "SCAN_DATA_EXPORT",
    "SLACK",
    "SYSTEM_ARTIFACT_CLEANUP",
    "WEBHOOK",
)
MANUAL: Final = "Manual"
NONE: Final = "None"
_LINES: Final = {"Hourly": "0 0 * * * *", "Daily": "0 0 0 * * *", "Weekly": "0 0 0 * * 0"}
_TYPES: Final = {line: name for name, line in _LINES.items()}
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_TIME: Final = "2026-01-02T03:04:05Z"


class ScheduleObj(BaseModel):
    """When something runs: by a cron line, at once (`Manual`), or not by itself (`None`).

    Without a type, the cron line counts.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"type": "Daily", "cron": "0 0 0 * * *"}})

    type: Literal["Hourly", "Daily", "Weekly", "Custom", "Manual", "None", "Schedule", "Event"] = "Custom"
    cron: Annotated[str, Field(max_length=200)] = ""
    next_scheduled_time: datetime | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _counted(cls, value: object) -> object:
        return value or "Custom"

    @field_validator("next_scheduled_time", mode="before")
    @classmethod
    def _written_out(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError(f"write the time as text, as in {_TIME}")  # noqa: TRY004 - what Pydantic listens to
        return value

    def line(self) -> str:
        """Return the cron line meant.

        Raises:
            Invalid: There is none.
        """
        line = self.cron or _LINES.get(self.type, "")
        if not line:
            raise Invalid(f"schedule.cron is missing for the type {self.type}")
        return line


class ScheduleBody(BaseModel):
    """A schedule to be set, or a run to be started, with its parameters."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"schedule": {"type": "Daily", "cron": "0 0 0 * * *"}, "parameters": {"dry_run": False}}
        }
    )

    schedule: ScheduleObj
    parameters: Annotated[dict[str, Any], Field(max_length=100)] | None = None


class StartBody(BaseModel):
    """A run to be started."""

    model_config = ConfigDict(json_schema_extra={"example": {"parameters": {"dry_run": True}}})

    parameters: Annotated[dict[str, Any], Field(max_length=100)] | None = None


class History(BaseModel):
    """A run, or a schedule, as Harbor shows both."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 17,
                "job_name": "PURGE_AUDIT_LOG",
                "job_kind": "SCHEDULE",
                "job_parameters": '{"dry_run": false}',
                "job_status": "Success",
                "deleted": False,
                "schedule": {"type": "Schedule", "cron": ""},
                "creation_time": _TIME,
                "update_time": _TIME,
            }
        }
    )

    id: int
    job_name: str
    job_kind: str
    job_parameters: str = Field(description="JSON.")
    job_status: str
    deleted: bool = False
    schedule: ScheduleObj
    creation_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, run: Run) -> History:
        """Show a run."""
        return cls(
            id=run.id,
            job_name=vendor_type(run.kind),
            job_kind=run.cause.value,
            job_parameters=json.dumps(run.parameters),
            job_status=run.state.value,
            schedule=ScheduleObj.model_validate({"type": run.cause.value.title()}),
            creation_time=moment(run.created_at),
            update_time=moment(run.updated_at),
        )

    @classmethod
    def of_schedule(cls, schedule: Schedule) -> History:
        """Show a schedule."""
        return cls(
            id=schedule.id,
            job_name=vendor_type(schedule.kind),
            job_kind=schedule.cron,
            job_parameters=json.dumps(schedule.parameters),
            job_status="",
            schedule=ScheduleObj.model_validate(
                {
                    "type": _TYPES.get(schedule.cron, "Custom"),
                    "cron": schedule.cron,
                    "next_scheduled_time": moment_or_none(schedule.next_at),
                }
            ),
            creation_time=moment(schedule.created_at),
            update_time=moment(schedule.updated_at),
        )

    @classmethod
    def of_no_schedule(cls, kind: str) -> History:
        """Show that something does not run by itself, where Harbor's answer has no body; the times are Go's zero."""
        return cls(
            id=0,
            job_name=vendor_type(kind),
            job_kind="",
            job_parameters="{}",
            job_status="",
            schedule=ScheduleObj.model_validate({"type": NONE}),
            creation_time=_NEVER,
            update_time=_NEVER,
        )


def vendor_type(kind: str) -> str:
    """Return Harbor's word for a kind: `garbage-collection` is GARBAGE_COLLECTION there."""
    return kind.upper().replace("-", "_")


def kind_of(vendor: str) -> str:
    """Return the kind that Harbor's word means."""
    return vendor.lower().replace("_", "-")


def known_only(given: Mapping[str, Any] | None, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a kind knows: Harbor's clients send others, which mean nothing here."""
    return {name: value for name, value in (given or {}).items() if name in known}
