"""How projects are written in requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.access.faults import Invalid
from entrepot.access.roles import DEVELOPER, GUEST, LIMITED_GUEST, MAINTAINER, PROJECT_ADMIN
from entrepot.projects.service import ProjectView
from entrepot.projects.settings import FALSE, PUBLIC, TRUE
from entrepot.web.api.values import moment

#: Longest name of a setting, and longest value.
_Setting = Annotated[str, Field(max_length=1024)]


class Allowlist(BaseModel):
    """Vulnerabilities that do not count."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": 0, "project_id": 7, "expires_at": None, "items": []}}
    )

    id: int = 0
    project_id: int = 0
    expires_at: int | None = None
    items: list[dict[str, str]] = []


class Project(BaseModel):
    """A project, as Harbor shows it; `metadata` also has `visibility`: private, internal or public."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "project_id": 7,
                "name": "demo",
                "owner_id": 3,
                "owner_name": "alice",
                "creation_time": "2026-01-02T03:04:05Z",
                "update_time": "2026-01-02T03:04:05Z",
                "deleted": False,
                "togglable": True,
                "current_user_role_ids": [1],
                "current_user_role_id": 1,
                "metadata": {"public": "false", "visibility": "internal"},
                "repo_count": 12,
                "cve_allowlist": {"id": 0, "project_id": 7, "items": []},
            }
        }
    )

    project_id: int
    name: str
    owner_id: int | None
    owner_name: str | None
    registry_id: int | None = None
    creation_time: datetime
    update_time: datetime
    deleted: bool = False
    togglable: bool = True
    current_user_role_id: int | None = None
    current_user_role_ids: list[int] = []
    repo_count: int
    metadata: dict[str, str]
    cve_allowlist: Allowlist

    @classmethod
    def of(cls, view: ProjectView, roles: list[int]) -> Project:
        """Return what is shown of a project to somebody who has these roles in it."""
        project = view.project
        made, changed = moment(project.created_at), moment(project.updated_at or project.created_at)
        return cls(
            project_id=project.id,
            name=project.name,
            owner_id=project.owner_id,
            owner_name=view.owner,
            creation_time=made,
            update_time=changed,
            current_user_role_id=roles[0] if roles else None,
            current_user_role_ids=roles,
            repo_count=view.repositories,
            metadata=view.settings,
            cve_allowlist=Allowlist(project_id=project.id),
        )


class ProjectRequest(BaseModel):
    """A project to be made or changed; Harbor's clients send more than is used, which is then left alone."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"example": {"project_name": "demo", "metadata": {"public": "false", "auto_scan": "true"}}},
    )

    project_name: Annotated[str | None, Field(max_length=255)] = None
    public: StrictBool | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], _Setting | None] = {}
    cve_allowlist: dict[str, Any] | None = None
    storage_limit: Annotated[int, Field(ge=-1, le=2**62)] | None = None
    registry_id: int | None = None

    def settings(self) -> dict[str, str]:
        """Return what the project shall be set to.

        Raises:
            Invalid: It asks for what this registry cannot do; ignored, it would look as if it were done.
        """
        if self.registry_id:
            raise Invalid("projects that are a cache of another registry cannot be made with registry_id here")
        if self.cve_allowlist and self.cve_allowlist.get("items"):
            raise Invalid("this registry does not scan yet; leave cve_allowlist empty")
        given = {key: value for key, value in self.metadata.items() if value is not None}
        if self.public is not None:
            given.setdefault(PUBLIC, TRUE if self.public else FALSE)
        return given


class Deletable(BaseModel):
    """Whether a project can be deleted."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"deletable": False, "message": "it still has 3 repositories"}}
    )

    deletable: bool
    message: str = ""


class SummaryQuota(BaseModel):
    """How much a project may use, -1 for no limit, and how much it uses."""

    hard: dict[str, int]
    used: dict[str, int]


class Summary(BaseModel):
    """How much there is in a project; who may not list its members sees none counted."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "repo_count": 12,
                "quota": {"hard": {"storage": -1}, "used": {"storage": 1048576}},
                "project_admin_count": 1,
                "developer_count": 4,
            }
        }
    )

    repo_count: int
    quota: SummaryQuota
    project_admin_count: int = 0
    maintainer_count: int = 0
    developer_count: int = 0
    guest_count: int = 0
    limited_guest_count: int = 0

    @classmethod
    def of(cls, view: ProjectView, quota: SummaryQuota, members: Mapping[int, int]) -> Summary:
        """Return what is shown, given how many members have each role."""
        return cls(
            repo_count=view.repositories,
            quota=quota,
            project_admin_count=members.get(PROJECT_ADMIN, 0),
            maintainer_count=members.get(MAINTAINER, 0),
            developer_count=members.get(DEVELOPER, 0),
            guest_count=members.get(GUEST, 0),
            limited_guest_count=members.get(LIMITED_GUEST, 0),
        )
