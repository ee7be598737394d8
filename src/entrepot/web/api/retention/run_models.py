"""Runs of retention policies and what they did, in Harbor's shapes; a verdict on each tag is ours."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.metadata.jobs.job_runs import Run, State
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.metadata.lifecycle.retention_verdicts import StoredVerdict
from entrepot.web.api.values import moment, moment_or_none

_TIME: Final = "2026-01-02T03:04:05Z"
_CODES: Final = {State.PENDING: 0, State.RUNNING: 2}
_ENDED: Final = 3


class RetentionExecution(BaseModel):
    """One run of a policy."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 17,
                "policy_id": 4,
                "start_time": _TIME,
                "end_time": _TIME,
                "status": "Success",
                "trigger": "MANUAL",
                "dry_run": True,
            }
        }
    )

    id: int
    policy_id: int
    start_time: datetime
    end_time: datetime | None
    status: str = Field(description="Pending, Running, Success, Error or Stopped.")
    trigger: str = Field(description="MANUAL or SCHEDULE.")
    dry_run: bool

    @classmethod
    def of(cls, policy_id: int, run: Run) -> RetentionExecution:
        """Show a run."""
        return cls(
            id=run.id,
            policy_id=policy_id,
            start_time=moment(run.started_at or run.created_at),
            end_time=moment_or_none(run.ended_at),
            status=run.state.value,
            trigger=run.cause.value,
            dry_run=bool(run.parameters.get("dry_run")),
        )


class RetentionTask(BaseModel):
    """What a run did in one repository."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 31,
                "execution_id": 17,
                "repository": "app",
                "job_id": "17",
                "status": "Success",
                "status_code": 3,
                "status_revision": 0,
                "start_time": _TIME,
                "end_time": _TIME,
                "total": 12,
                "retained": 10,
            }
        }
    )

    id: int
    execution_id: int
    repository: str = Field(description="Without the project.")
    job_id: str
    status: str
    status_code: int
    status_revision: int = 0
    start_time: datetime
    end_time: datetime | None
    total: int = Field(description="Tags, and manifests without any, that were looked at.")
    retained: int

    @classmethod
    def of(cls, task: TaskRecord, run: Run) -> RetentionTask:
        """Show a task; one that has not ended is as its run."""
        state = task.state if task.ended_at is not None or run.ended_at is None else run.state
        return cls(
            id=task.id,
            execution_id=task.run_id,
            repository=task.repository,
            job_id=str(task.run_id),
            status=state.value,
            status_code=_CODES.get(state, _ENDED),
            start_time=moment(task.started_at),
            end_time=moment_or_none(task.ended_at),
            total=task.total,
            retained=task.retained,
        )


class RetentionVerdict(BaseModel):
    """What was decided about one tag, or about one manifest that has none."""

    tag: str | None = Field(examples=["v1"])
    digest: str = Field(examples=["sha256:" + "0" * 64])
    push_time: datetime = Field(examples=[_TIME])
    kept: bool = Field(examples=[False])
    rule: int | None = Field(description="Number of the rule that keeps it, from 1.", examples=[None])
    reason: str = Field(examples=["no rule keeps it"])

    @classmethod
    def of(cls, verdict: StoredVerdict) -> RetentionVerdict:
        """Show a verdict."""
        return cls(
            tag=verdict.tag,
            digest=verdict.digest,
            push_time=moment(verdict.pushed_at),
            kept=verdict.kept,
            rule=verdict.rule,
            reason=verdict.reason,
        )


class ExecutionRequest(BaseModel):
    """How to run a policy."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"dry_run": True}})

    dry_run: StrictBool = False


class ExecutionChange(BaseModel):
    """What to do with a run."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"action": "stop"}})

    action: Literal["stop"]
