"""Robots: accounts of machines, made, changed and removed by people and by other robots.

Who makes a robot, gives it rights, or learns its secret, must have its rights: for as long, and as far. Who takes
something from it, closes or removes it must have them now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from entrepot.access.api_keys import new_key
from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Invalid, NotFound
from entrepot.access.model import Principal
from entrepot.access.tokens.robot_trust import Trust
from entrepot.access.tokens.trust_binding import binding_of
from entrepot.accounts.grant_checks import require_to_have
from entrepot.accounts.privilege_checks import require_to_outrank, require_to_take_from
from entrepot.accounts.robot_changes import Draft, Secret, add_robot, change_robot, remove_robot, replace_secret
from entrepot.accounts.robot_model import (
    NewRobot,
    Robot,
    RobotChange,
    RobotWithSecret,
    SettingsOfRobots,
    check_duration,
    check_name,
    check_secret,
    check_text,
    default_settings,
    robot_of,
    whole_name,
)
from entrepot.accounts.robot_permissions import RobotPermission, check_permissions
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Condition, Listed, Match, Selection
from entrepot.metadata.people import grants, robots
from entrepot.metadata.people.robots import RobotRecord

#: Seconds for which a secret that was replaced may go on at most.
LONGEST_GRACE = 30 * 24 * 3600

Hash = Callable[[str], str]


class Robots:
    """The robots of the registry and of its projects."""

    def __init__(
        self,
        database: Database,
        authorizer: Authorizer,
        hash_password: Hash,
        *,
        settings: SettingsOfRobots = default_settings,
    ) -> None:
        self._database = database
        self._authorizer = authorizer
        self._hash = hash_password
        self._settings = settings

    async def page(self, project_id: int | None, selection: Selection) -> Listed[Robot]:
        """Return a page of the robots of one project, or (None) of the registry as a whole.

        A name may be given without the prefix, under which Harbor keeps it.

        Raises:
            FieldUnknown: The selection names none of `metadata.people.robots.FIELDS`.
        """
        prefix = (await self._settings()).prefix
        conditions = tuple(_with_prefix(condition, prefix) for condition in selection.conditions)
        found = await robots.page(self._database, project_id, replace(selection, conditions=conditions))
        return Listed([await self._whole(record) for record in found.items], found.total)

    async def find(self, robot_id: int) -> Robot:
        """Return one robot.

        Raises:
            NotFound: There is none of this id.
        """
        return await self._whole(await self._record(robot_id))

    async def find_named(self, name: str) -> Robot:
        """Return one robot by its whole name.

        Raises:
            NotFound: There is none of this name.
        """
        record = await robots.find_named(self._database, name)
        if record is None:
            raise NotFound(f"there is no robot {name[:300]}")
        return await self._whole(record)

    async def create(self, new: NewRobot, *, acting: Principal | None, by: Source) -> RobotWithSecret:
        """Make a robot.

        Raises:
            Invalid: Something about it cannot be.
            Forbidden: Who asks would give what it does not have.
            NotFound: There is no such project.
            Conflict: There is a robot, or a user, of this name.
        """
        settings = await self._settings()
        check_name(new.name)
        check_text(new.description)
        check_duration(new.duration)
        check_permissions(new.permissions, new.project)
        _check_binding(new.trust)
        duration = settings.duration if new.duration is None else new.duration
        draft = Draft(
            name=whole_name(settings.prefix, new.project, new.name),
            project=new.project,
            description=new.description,
            duration=duration,
            disabled=new.disabled,
            permissions=new.permissions,
            creator=by.name if acting is None else acting.label,
            trust=new.trust,
        )
        await self._require_to_have(acting, new.permissions, robots.end_of(clock.now(), duration))
        secret = await self._secret(new.secret)
        robot_id = await self._database.write(lambda tx: add_robot(tx, draft, secret, by), name="make robot")
        return RobotWithSecret(robot=await self.find(robot_id), secret=secret.text)

    async def update(
        self,
        robot_id: int,
        change: RobotChange,
        *,
        acting: Principal | None,
        by: Source,
        expected: int | None = None,
    ) -> Robot:
        """Change what is known of a robot and what it may do.

        Raises:
            PreconditionFailed: It was changed since `expected`.
            NotFound: There is no such robot.
            Invalid: Something about it cannot be.
            Forbidden: Who asks would give or take what it does not have.
        """
        robot = await self.find(robot_id)
        check_text(change.description)
        check_duration(change.duration)
        if change.permissions is not None:
            check_permissions(change.permissions, robot.project)
        _check_binding([trust for trust in change.trust or () if trust not in robot.trust])
        await self._require_for_change(robot, change, acting)
        await self._database.write(lambda tx: change_robot(tx, robot_id, change, by, expected), name="change robot")
        return await self.find(robot_id)

    async def refresh_secret(
        self, robot_id: int, secret: str | None = None, *, acting: Principal | None, by: Source, grace: float = 0
    ) -> RobotWithSecret:
        """Give a robot another secret, made here unless it is given.

        Args:
            robot_id: The robot.
            secret: The new secret; None: one is made, which is an API key.
            acting: Who asks for it, and learns it; None for the operator at the machine.
            by: What the audit log says of who asks.
            grace: Seconds for which a secret that was made here still signs in; 0 also ends whatever it opened.

        Raises:
            NotFound: There is no such robot.
            Invalid: The secret is too weak, or the grace too long.
            Forbidden: The robot may do more than who asks.
        """
        if not 0 <= grace <= LONGEST_GRACE:
            raise Invalid(f"the old secret can go on for {LONGEST_GRACE // 86400} days at most")
        robot = await self.find(robot_id)
        await self._require_to_have(acting, robot.permissions, robot.expires_at)
        await require_to_outrank(self._database, self._authorizer, acting, robot_id)
        made = await self._secret(secret)
        await self._database.write(lambda tx: replace_secret(tx, robot_id, made, grace, by), name="robot's secret")
        return RobotWithSecret(robot=robot, secret=made.text)

    async def remove(self, robot_id: int, *, acting: Principal | None, by: Source) -> None:
        """Remove a robot with its secrets, keys and rights.

        Raises:
            NotFound: There is no such robot.
            Forbidden: The robot may more than who acts.
        """
        await require_to_take_from(self._database, self._authorizer, acting, robot_id)
        await self._database.write(lambda tx: remove_robot(tx, robot_id, by), name="remove robot")

    async def _record(self, robot_id: int) -> RobotRecord:
        found = await robots.find(self._database, robot_id)
        if found is None:
            raise NotFound("there is no such robot")
        return found

    async def _whole(self, record: RobotRecord) -> Robot:
        return robot_of(record, await grants.of_principal(self._database, record.id))

    async def _secret(self, given: str | None) -> Secret:
        check_secret(given)
        if given is None:
            return Secret(text=new_key(), encoded=None)
        return Secret(text=given, encoded=await asyncio.to_thread(self._hash, given))

    async def _require_for_change(self, robot: Robot, change: RobotChange, acting: Principal | None) -> None:
        """Go on if a change gives and takes nothing that who asks does not have."""
        permissions = robot.permissions if change.permissions is None else change.permissions
        duration = robot.duration if change.duration is None else change.duration
        end = robots.end_of(robot.created_at, duration)
        closed = robot.disabled if change.disabled is None else change.disabled
        trust = robot.trust if change.trust is None else change.trust
        if (permissions, end, closed, trust) != (robot.permissions, robot.expires_at, robot.disabled, robot.trust):
            await require_to_take_from(self._database, self._authorizer, acting, robot.id)
        opens = _is_new(change.trust, robot.trust) or (robot.disabled and change.disabled is False)
        if opens or (permissions, end) != (robot.permissions, robot.expires_at):
            await self._require_to_have(acting, permissions, end)
        if opens or end != robot.expires_at:
            # What somebody else gave it counts, too: it goes on with that, or again.
            await require_to_outrank(self._database, self._authorizer, acting, robot.id)

    async def _require_to_have(
        self, acting: Principal | None, permissions: Sequence[RobotPermission], end: int | None
    ) -> None:
        await require_to_have(self._authorizer, acting, [permission.as_grant(end) for permission in permissions])


def _with_prefix(condition: Condition, prefix: str) -> Condition:
    """Let a name that is asked for be one with or without the prefix."""
    if condition.field != "name" or condition.match is not Match.EQUAL:
        return condition
    return replace(condition, match=Match.ANY, values=(*condition.values, f"{prefix}{condition.values[0]}"))


def _check_binding(trusts: Sequence[Trust]) -> None:
    """Go on only if each trust says whose jobs it means.

    Raises:
        Invalid: One does not; the message says what to add.
    """
    for trust in trusts:
        binding = binding_of(trust)
        if binding.refusal or binding.weakness:
            raise Invalid(f"the trust in {trust.issuer} cannot be used: {binding.refusal or binding.weakness}")


def _is_new(trust: tuple[Trust, ...] | None, before: tuple[Trust, ...]) -> bool:
    return trust is not None and any(entry not in before for entry in trust)
