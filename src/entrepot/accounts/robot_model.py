"""Robots as people see them, and the rules for what they may be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from entrepot.access.faults import Invalid
from entrepot.access.tokens.robot_trust import Trust, read_trusts
from entrepot.accounts.robot_permissions import RobotPermission, from_grants
from entrepot.metadata.people.grants import GrantRecord
from entrepot.metadata.people.robots import RobotRecord

#: Duration of a robot that never ends.
FOR_EVER = -1
_LONGEST_DURATION = 36_500
_LONGEST_NAME = 255
_LONGEST_DESCRIPTION = 1024
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SECRET = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9]).{8,128}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotSettings:
    """What an administrator decided about robots."""

    prefix: str = "robot$"  #: of the names of robots made from now on
    duration: int = 90  #: days, of robots made without one


#: Gives the settings as they are now.
SettingsOfRobots = Callable[[], Awaitable[RobotSettings]]


async def default_settings() -> RobotSettings:
    """Give the settings of who decided nothing."""
    return RobotSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRobot:
    """A robot to be made."""

    name: str  #: the short one: prefix and project are put before it
    project: str | None = None  #: None: of the registry as a whole
    description: str = ""
    duration: int | None = None  #: days; None: the usual one
    disabled: bool = False
    permissions: tuple[RobotPermission, ...] = ()
    secret: str | None = field(default=None, repr=False)  #: None: one is made
    trust: tuple[Trust, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotChange:
    """What shall be different about a robot; None leaves a field as it is."""

    description: str | None = None
    duration: int | None = None  #: days from when the robot was made
    disabled: bool | None = None
    permissions: tuple[RobotPermission, ...] | None = None
    trust: tuple[Trust, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """One robot, with what it may do."""

    id: int
    name: str  #: the whole one, with which it signs in
    project_id: int | None
    project: str | None
    description: str
    duration: int
    expires_at: int | None  #: microseconds since the epoch; None: never
    disabled: bool
    creator: str  #: label of who made it: `user:alice`
    created_at: int
    updated_at: int
    permissions: tuple[RobotPermission, ...]
    trust: tuple[Trust, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotWithSecret:
    """A robot and the secret that was just made for it, which nobody can read again."""

    robot: Robot
    secret: str = field(repr=False)


def robot_of(record: RobotRecord, grants: list[GrantRecord]) -> Robot:
    """Put a robot together from its rows."""
    return Robot(
        id=record.id,
        name=record.name,
        project_id=record.project_id,
        project=record.project,
        description=record.description,
        duration=record.duration,
        expires_at=record.expires_at,
        disabled=record.disabled,
        creator=record.creator,
        created_at=record.created_at,
        updated_at=record.updated_at,
        permissions=from_grants(grants),
        trust=read_trusts(record.trust),
    )


def whole_name(prefix: str, project: str | None, name: str) -> str:
    """Return the name with which a robot signs in: `robot$name`, `robot$project+name`."""
    return f"{prefix}{name}" if project is None else f"{prefix}{project}+{name}"


def check_name(name: str) -> None:
    """Go on only if a robot may have this short name.

    Raises:
        Invalid: It may not.
    """
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise Invalid("a robot's name has small letters and digits, with single . _ or - between them")


def check_text(description: str | None) -> None:
    """Go on only if a robot may have this description.

    Raises:
        Invalid: It is too long.
    """
    if description is not None and len(description) > _LONGEST_DESCRIPTION:
        raise Invalid(f"a description has up to {_LONGEST_DESCRIPTION} characters")


def check_duration(duration: int | None) -> None:
    """Go on only if a robot may live so long.

    Raises:
        Invalid: It may not.
    """
    if duration is not None and duration != FOR_EVER and not 0 < duration <= _LONGEST_DURATION:
        raise Invalid(f"a robot lives for 1 to {_LONGEST_DURATION} days, or {FOR_EVER} for ever")


def check_secret(secret: str | None) -> None:
    """Go on only if a given secret is good enough; the rule is Harbor's.

    Raises:
        Invalid: It is not.
    """
    if secret is not None and not _SECRET.fullmatch(secret):
        raise Invalid("a secret has 8 to 128 characters, with a small letter, a capital one and a digit among them")
