"""How robots are written in requests and answers: Harbor's shapes, with patterns and trust of our own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.access.faults import Invalid
from entrepot.access.permissions import Permission
from entrepot.access.tokens.robot_trust import Trust, TrustInvalid, as_document, parse_trusts
from entrepot.access.tokens.trust_binding import trust_warnings
from entrepot.accounts.robot_model import FOR_EVER, Robot, RobotWithSecret
from entrepot.accounts.robot_permissions import Kind, RobotPermission
from entrepot.metadata.clock import MICROSECONDS
from entrepot.web.api.values import moment

SYSTEM: Final = "system"
PROJECT: Final = "project"
_ALLOW: Final = "allow"
_PERMISSIONS: Final[list[Any]] = [
    {
        "kind": "project",
        "namespace": "demo",
        "access": [{"resource": "repository", "action": "push"}, {"resource": "repository", "action": "pull"}],
    }
]
_TRUST: Final[list[Any]] = [
    {
        "issuer": "https://token.actions.githubusercontent.com",
        "audience": "https://registry.example.org",
        "claims": {"repository_id": "74812", "ref": {"pattern": "refs/heads/release/*"}},
    }
]
_Text = Annotated[str, Field(max_length=1024)]


class Access(BaseModel):
    """One thing that is allowed."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"resource": "repository", "action": "push", "effect": "allow"}}
    )

    resource: Annotated[str, Field(max_length=100)]
    action: Annotated[str, Field(max_length=100)]
    effect: Annotated[str, Field(max_length=20)] = ""

    def permission(self) -> Permission:
        """Return it as decisions know it.

        Raises:
            Invalid: It denies: rights are only ever given here.
        """
        if self.effect not in ("", _ALLOW):
            raise Invalid("the effect of an access can only be allow")
        return Permission.of(self.resource, self.action)


class PermissionEntry(BaseModel):
    """What is allowed on a namespace: `/`, a project's name, or `*` for all of them.

    `repositories` and `tags` narrow it: patterns over the full name and the tag.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _PERMISSIONS[0]})

    kind: Kind
    namespace: Annotated[str, Field(max_length=255)]
    access: Annotated[list[Access], Field(max_length=200)]
    repositories: _Text | None = None
    tags: _Text | None = None

    def permission(self) -> RobotPermission:
        """Return it as the use cases know it."""
        return RobotPermission(
            kind=self.kind,
            namespace=self.namespace,
            access=tuple(access.permission() for access in self.access),
            repositories=self.repositories,
            tags=self.tags,
        )

    @classmethod
    def of(cls, permission: RobotPermission) -> PermissionEntry:
        """Return what is shown of it."""
        access = [Access(resource=p.resource, action=p.action, effect=_ALLOW) for p in permission.access]
        return cls(
            kind=permission.kind,
            namespace=permission.namespace,
            access=access,
            repositories=permission.repositories,
            tags=permission.tags,
        )


class RobotOut(BaseModel):
    """A robot."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 21,
                "name": "robot$demo+ci",
                "description": "Builds",
                "level": "project",
                "duration": 30,
                "editable": True,
                "disable": False,
                "expires_at": 1798761600,
                "permissions": _PERMISSIONS,
                "creator_type": "user",
                "creator": "alice",
                "trust": _TRUST,
                "trust_warnings": [],
                "creation_time": "2026-01-02T03:04:05Z",
                "update_time": "2026-01-02T03:04:05Z",
            }
        }
    )

    id: int
    name: str
    description: str
    level: str
    duration: int
    editable: bool = True
    disable: bool
    expires_at: int
    permissions: list[PermissionEntry]
    creator_type: str
    creator: str
    trust: list[dict[str, Any]]
    trust_warnings: list[str]
    creation_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, robot: Robot) -> RobotOut:
        """Return what is shown of a robot."""
        kind, _, creator = robot.creator.partition(":")
        return cls(
            id=robot.id,
            name=robot.name,
            description=robot.description,
            level=SYSTEM if robot.project is None else PROJECT,
            duration=robot.duration,
            disable=robot.disabled,
            expires_at=_seconds(robot.expires_at),
            permissions=[PermissionEntry.of(permission) for permission in robot.permissions],
            creator_type=kind,
            creator=creator or robot.creator,
            trust=[as_document(trust) for trust in robot.trust],
            trust_warnings=trust_warnings(robot.trust),
            creation_time=moment(robot.created_at),
            update_time=moment(robot.updated_at),
        )


class RobotMade(BaseModel):
    """A robot that was just made: its secret is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 21,
                "name": "robot$demo+ci",
                "secret": "reg_...",
                "creation_time": "2026-01-02T03:04:05Z",
                "expires_at": 1798761600,
            }
        }
    )

    id: int
    name: str
    secret: str
    creation_time: datetime
    expires_at: int

    @classmethod
    def of(cls, made: RobotWithSecret) -> RobotMade:
        """Return a robot with its secret."""
        robot = made.robot
        return cls(
            id=robot.id,
            name=robot.name,
            secret=made.secret,
            creation_time=moment(robot.created_at),
            expires_at=_seconds(robot.expires_at),
        )


class RobotRequest(BaseModel):
    """A robot to be made or changed; of what Harbor's clients send back unasked, nothing is taken."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {"name": "ci", "level": "project", "duration": 30, "permissions": _PERMISSIONS, "trust": _TRUST}
        },
    )

    name: Annotated[str, Field(max_length=600)] = ""
    description: Annotated[str, Field(max_length=4096)] | None = None
    level: Annotated[str, Field(max_length=20)] = ""
    disable: StrictBool | None = None
    duration: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    secret: Annotated[str, Field(max_length=1024)] = ""
    permissions: Annotated[list[PermissionEntry], Field(max_length=200)] | None = None
    trust: Annotated[list[Any], Field(max_length=20)] | None = None

    def given_permissions(self) -> tuple[RobotPermission, ...] | None:
        """Return what it says of permissions; None when it says nothing.

        Raises:
            Invalid: One of them denies something.
        """
        return None if self.permissions is None else tuple(entry.permission() for entry in self.permissions)

    def given_trust(self) -> tuple[Trust, ...] | None:
        """Return what it says of outside tokens; None when it says nothing.

        Raises:
            Invalid: The rules cannot be used.
        """
        try:
            return None if self.trust is None else parse_trusts(self.trust)
        except TrustInvalid as error:
            raise Invalid(str(error)) from None


class Secret(BaseModel):
    """A robot's secret: given, or made where it is empty; `grace` is how long the old one goes on, in seconds."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"secret": ""}})

    secret: Annotated[str, Field(max_length=1024)] = ""
    grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0


class SecretMade(BaseModel):
    """A robot's new secret; empty where the caller gave it, who knows it."""

    model_config = ConfigDict(json_schema_extra={"example": {"secret": "reg_..."}})

    secret: str


def _seconds(expires_at: int | None) -> int:
    return FOR_EVER if expires_at is None else expires_at // MICROSECONDS
