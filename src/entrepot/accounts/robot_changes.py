"""What making and changing robots writes, each in one transaction with its event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from entrepot.access.api_keys import hash_key, hint_of
from entrepot.access.faults import Conflict, Invalid, NotFound, require_unchanged
from entrepot.access.tokens.robot_trust import Trust, as_document, write_trusts
from entrepot.accounts.robot_model import RobotChange
from entrepot.accounts.robot_permissions import ORIGIN, RobotPermission
from entrepot.metadata import clock, events
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import api_keys, grants, principals, robots
from entrepot.metadata.people.robots import RobotRecord

#: The name of the key that is a robot's secret.
SECRET_NAME = "secret"  # noqa: S105 - a name
#: Robots that one project may have.
MOST_IN_PROJECT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a robot will be."""

    name: str
    project: str | None
    description: str
    duration: int
    disabled: bool
    permissions: tuple[RobotPermission, ...]
    creator: str
    trust: tuple[Trust, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A robot's secret: a key unless there is a hash of a given one."""

    text: str = field(repr=False)
    encoded: str | None = field(repr=False)


async def add_robot(tx: Transaction, draft: Draft, secret: Secret, by: Source) -> int:
    """Make a robot and return its id.

    Raises:
        NotFound: There is no such project.
        Conflict: There is a robot, or a user, of this name, or the project has too many robots.
    """
    project_id = None if draft.project is None else await _project_id(tx, draft.project)
    if project_id is not None and await robots.count(tx, project_id) >= MOST_IN_PROJECT:
        raise Conflict(
            f"project {draft.project} has {MOST_IN_PROJECT} robots; remove some that are not needed any more"
        )
    robot_id = await _add_account(tx, draft, secret)
    await robots.add(
        tx,
        robot_id,
        project_id=project_id,
        description=draft.description,
        duration=draft.duration,
        creator=draft.creator,
        trust=write_trusts(draft.trust),
    )
    await _add_grants(tx, robot_id, draft.permissions)
    await _note(tx, events.CREATE, draft.name, draft.project, by, _detail_of(draft))
    return robot_id


async def change_robot(
    tx: Transaction, robot_id: int, change: RobotChange, by: Source, expected: int | None = None
) -> None:
    """Change a robot. What its tokens opened ends where it is closed or outside tokens lose their say.

    Raises:
        PreconditionFailed: It was changed since `expected`.
        NotFound: There is no such robot.
        Invalid: It would have ended already.
    """
    record = await _found(tx, robot_id)
    require_unchanged(record.name, record.updated_at, expected)
    duration = record.duration if change.duration is None else change.duration
    trust = record.trust if change.trust is None else write_trusts(change.trust)
    description = record.description if change.description is None else change.description
    await robots.change(tx, robot_id, description=description, duration=duration, trust=trust)
    await principals.touch(tx, robot_id)
    if duration != record.duration:
        await _set_end(tx, record, duration)
    if change.disabled is not None and change.disabled != record.disabled:
        await principals.set_disabled(tx, robot_id, disabled=change.disabled)
    elif trust != record.trust and record.trust is not None:
        await principals.end_sign_ins(tx, robot_id)
    if change.permissions is not None:
        await _remove_grants(tx, robot_id)
        await _add_grants(tx, robot_id, change.permissions)
    await _note(tx, events.UPDATE, record.name, record.project, by, _detail_of_change(change))


async def replace_secret(tx: Transaction, robot_id: int, secret: Secret, grace: float, by: Source) -> None:
    """Give a robot another secret.

    Raises:
        NotFound: There is no such robot.
    """
    record = await _found(tx, robot_id)
    await api_keys.remove_ended(tx, robot_id, clock.now())
    goes_on = grace > 0 and record.secret is None and secret.encoded is None
    await _retire_keys(tx, robot_id, clock.after(grace) if goes_on else None)
    if not goes_on:
        await principals.set_secret(tx, robot_id, secret.encoded)
    await _add_key(tx, robot_id, secret)
    await _note(tx, events.UPDATE, record.name, record.project, by, {"secret": "replaced", "grace": grace})


async def remove_robot(tx: Transaction, robot_id: int, by: Source) -> None:
    """Remove a robot with all that hangs on it.

    Raises:
        NotFound: There is no such robot.
    """
    record = await _found(tx, robot_id)
    await principals.remove(tx, robot_id)
    await _note(tx, events.DELETE, record.name, record.project, by, None)


async def _found(tx: Transaction, robot_id: int) -> RobotRecord:
    record = await robots.find(tx, robot_id)
    if record is None:
        raise NotFound("there is no such robot")
    return record


async def _project_id(tx: Transaction, name: str) -> int:
    found = await projects.find(tx, name)
    if found is None:
        raise NotFound(f"there is no project {name}")
    return found.id


async def _add_account(tx: Transaction, draft: Draft, secret: Secret) -> int:
    if await principals.find(tx, principals.USER, draft.name) is not None:
        raise Conflict(f"there is a user named {draft.name}; choose another name")
    account = await principals.create(tx, principals.ROBOT, draft.name, secret=secret.encoded)
    if account is None:
        raise Conflict(f"there is a robot named {draft.name}; choose another name")
    await principals.set_expiry(tx, account.id, robots.end_of(account.created_at, draft.duration))
    if draft.disabled:
        await principals.set_disabled(tx, account.id, disabled=True)
    await _add_key(tx, account.id, secret)
    return account.id


async def _set_end(tx: Transaction, record: RobotRecord, duration: int) -> None:
    end = robots.end_of(record.created_at, duration)
    if end is not None and end <= clock.now():
        raise Invalid("the robot would have ended already: its days count from when it was made")
    await principals.set_expiry(tx, record.id, end)


async def _add_key(tx: Transaction, robot_id: int, secret: Secret) -> None:
    if secret.encoded is None:
        await api_keys.add(tx, robot_id, name=SECRET_NAME, hashed=hash_key(secret.text), hint=hint_of(secret.text))


async def _retire_keys(tx: Transaction, robot_id: int, end: int | None) -> None:
    """Let the keys that are, or were, the robot's secret end; those that it made itself stay."""
    for key in await api_keys.of_principal(tx, robot_id):
        if key.name != SECRET_NAME and not key.name.startswith(f"{SECRET_NAME} (replaced, "):
            continue
        if end is None:
            await api_keys.remove(tx, robot_id, key.id)
        else:
            sooner = min(end, key.expires_at or end)
            await api_keys.retire(tx, key.id, name=f"{SECRET_NAME} (replaced, {key.id})", expires_at=sooner)


async def _add_grants(tx: Transaction, robot_id: int, permissions: Iterable[RobotPermission]) -> None:
    for permission in permissions:
        await grants.add(
            tx,
            origin=ORIGIN,
            principal_id=robot_id,
            permissions=permission.stored_access,
            project_id=None if permission.project is None else await _project_id(tx, permission.project),
            repositories=permission.stored_repositories,
            tags=permission.tags,
        )


async def _remove_grants(tx: Transaction, robot_id: int) -> None:
    for grant in await grants.of_principal(tx, robot_id):
        if grant.origin == ORIGIN:
            await grants.remove(tx, grant.id)


async def _note(
    tx: Transaction, kind: str, name: str, project: str | None, by: Source, detail: Mapping[str, object] | None
) -> None:
    await events.add(tx, kind, by=by, project=project, subject=f"robot:{name}", detail=detail)


def _detail_of(draft: Draft) -> dict[str, object]:
    return {
        "duration": draft.duration,
        "disabled": draft.disabled,
        "permissions": _permissions(draft.permissions),
        "trust": [as_document(trust) for trust in draft.trust],
    }


def _detail_of_change(change: RobotChange) -> dict[str, object]:
    given = {
        "description": change.description,
        "duration": change.duration,
        "disabled": change.disabled,
        "permissions": None if change.permissions is None else _permissions(change.permissions),
        "trust": None if change.trust is None else [as_document(trust) for trust in change.trust],
    }
    return {name: value for name, value in given.items() if value is not None}


def _permissions(permissions: Iterable[RobotPermission]) -> list[dict[str, object]]:
    return [
        {
            "kind": p.kind.value,
            "namespace": p.namespace,
            "access": sorted(p.access),
            "repositories": p.repositories,
            "tags": p.tags,
        }
        for p in permissions
    ]
