"""What is shown of runs of jobs, their steps, kinds and schedules, in shapes of our own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from entrepot.metadata.jobs.job_runs import Run
from entrepot.metadata.jobs.job_steps import Step
from entrepot.metadata.jobs.schedules import Schedule
from entrepot.system.jobs.traits import JobTraits
from entrepot.web.api.values import moment, moment_or_none

_TIME = "2026-01-02T03:04:05Z"
Name = Annotated[str, Field(min_length=1, max_length=100)]
Subject = Annotated[str, Field(max_length=512)]
Parameters = Annotated[dict[str, Any], Field(max_length=100)]


class Job(BaseModel):
    """One run of a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 17,
                "kind": "purge-audit-log",
                "subject": "",
                "status": "Success",
                "trigger": "MANUAL",
                "actor": "alice",
                "parameters": {"audit_retention_hour": 720, "dry_run": False},
                "done": 12000,
                "total": None,
                "attempt": 1,
                "stopping": False,
                "result": {"removed": 12000},
                "error": None,
                "creation_time": _TIME,
                "due_time": _TIME,
                "start_time": _TIME,
                "update_time": _TIME,
                "end_time": _TIME,
            }
        }
    )

    id: int
    kind: str
    subject: str
    status: str = Field(description="Pending, Running, Success, Error or Stopped.")
    trigger: str = Field(description="MANUAL, SCHEDULE or EVENT.")
    actor: str
    parameters: dict[str, Any]
    done: int
    total: int | None
    attempt: int = Field(description="How often a worker began it.")
    stopping: bool = Field(description="Whether somebody asked it to end.")
    result: Any
    error: str | None
    creation_time: datetime
    due_time: datetime = Field(description="The earliest time at which a worker may begin it.")
    start_time: datetime | None
    update_time: datetime
    end_time: datetime | None

    @classmethod
    def of(cls, run: Run) -> Job:
        """Show a run."""
        return cls(
            id=run.id,
            kind=run.kind,
            subject=run.subject,
            status=run.state.value,
            trigger=run.cause.value,
            actor=run.actor,
            parameters=dict(run.parameters),
            done=run.done,
            total=run.total,
            attempt=run.attempt,
            stopping=run.stop_at is not None and run.ended_at is None,
            result=run.result,
            error=run.error,
            creation_time=moment(run.created_at),
            due_time=moment(run.due_at),
            start_time=moment_or_none(run.started_at),
            update_time=moment(run.updated_at),
            end_time=moment_or_none(run.ended_at),
        )


class JobStep(BaseModel):
    """A part of a run that is done once, however often the run is begun."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "list", "start_time": _TIME, "end_time": _TIME, "result": {"found": 2}}}
    )

    name: str
    start_time: datetime
    end_time: datetime | None
    result: Any

    @classmethod
    def of(cls, step: Step) -> JobStep:
        """Show a step."""
        return cls(
            name=step.name,
            start_time=moment(step.started_at),
            end_time=moment_or_none(step.ended_at),
            result=step.result,
        )


class JobKind(BaseModel):
    """A kind of job."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "upload-purging",
                "title": "Remove uploads that nobody finished",
                "parameters": {"dry_run": False},
                "subjects": "",
                "schedule": "@every 24h",
                "attempts": 3,
                "parallel": 1,
                "kept": 100,
                "kept_days": 90,
            }
        }
    )

    name: str
    title: str
    parameters: dict[str, Any] = Field(description="What a run may be given, with what holds without it.")
    subjects: str = Field(description="What a run is about, as a regular expression; empty: nothing in particular.")
    schedule: str = Field(description="When it runs unless somebody decides otherwise.")
    attempts: int
    parallel: int
    kept: int
    kept_days: float

    @classmethod
    def of(cls, traits: JobTraits) -> JobKind:
        """Show a kind."""
        return cls(
            name=traits.name,
            title=traits.title,
            parameters=dict(traits.parameters),
            subjects=traits.subjects,
            schedule=traits.schedule,
            attempts=traits.attempts,
            parallel=traits.parallel,
            kept=traits.kept,
            kept_days=traits.kept_for / 86_400,
        )


class JobRequest(BaseModel):
    """A run that somebody wants."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"kind": "upload-purging", "parameters": {"dry_run": True}}}
    )

    kind: Name
    subject: Subject = ""
    parameters: Parameters = {}


class JobSchedule(BaseModel):
    """When a kind of job runs by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 4,
                "kind": "upload-purging",
                "subject": "",
                "cron": "0 3 * * *",
                "time_zone": "Europe/Berlin",
                "parameters": {"dry_run": False},
                "origin": "person",
                "next_time": _TIME,
                "creation_time": _TIME,
                "update_time": _TIME,
            }
        }
    )

    id: int
    kind: str
    subject: str
    cron: str
    time_zone: str
    parameters: dict[str, Any]
    origin: str = Field(description="Who decided: the configuration or a person.")
    next_time: datetime | None = Field(description="When it runs next; none while it is out of force.")
    creation_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, schedule: Schedule) -> JobSchedule:
        """Show a schedule."""
        return cls(
            id=schedule.id,
            kind=schedule.kind,
            subject=schedule.subject,
            cron=schedule.cron,
            time_zone=schedule.time_zone,
            parameters=dict(schedule.parameters),
            origin=schedule.origin.value,
            next_time=moment_or_none(schedule.next_at),
            creation_time=moment(schedule.created_at),
            update_time=moment(schedule.updated_at),
        )


class JobScheduleRequest(BaseModel):
    """When a kind of job is to run by itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}}
    )

    cron: Annotated[
        str,
        Field(
            max_length=200,
            description="A cron line of 5 fields, or of 6 with seconds first; @daily; @every 12h; empty: never.",
        ),
    ]
    time_zone: Annotated[str, Field(max_length=100)] = "UTC"
    subject: Subject = ""
    parameters: Parameters = {}
