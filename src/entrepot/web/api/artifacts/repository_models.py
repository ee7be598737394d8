"""How repositories are written in requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from entrepot.projects.contents import model
from entrepot.web.api.values import moment

_EXAMPLE: Final[dict[str, Any]] = {
    "id": 12,
    "project_id": 7,
    "name": "demo/app",
    "description": "The shop",
    "artifact_count": 3,
    "pull_count": 4711,
    "creation_time": "2026-01-02T03:04:05Z",
    "update_time": "2026-01-02T03:04:05Z",
}


class Repository(BaseModel):
    """A repository; its name begins with its project's."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: int
    project_id: int
    name: str
    description: str
    artifact_count: int
    pull_count: int
    creation_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, view: model.Repository) -> Repository:
        """Return what is shown of a repository."""
        return cls(
            id=view.id,
            project_id=view.project_id,
            name=view.name,
            description=view.description,
            artifact_count=view.artifact_count,
            pull_count=view.pull_count,
            creation_time=moment(view.created_at),
            update_time=moment(view.updated_at),
        )


class RepositoryRequest(BaseModel):
    """A repository to be changed; Harbor's clients send back all that they have read."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"description": "The shop"}})

    description: Annotated[str, Field(max_length=16_384)] = ""
