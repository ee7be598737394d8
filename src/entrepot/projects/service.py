"""Projects: made, found, listed, changed and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from entrepot.access.faults import Conflict, Invalid, NotFound, PreconditionFailed, require_unchanged
from entrepot.access.model import Principal, Visibility
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.access.reachable_projects import Reach, reach_of
from entrepot.access.roles import DEVELOPER, GUEST, LIMITED_GUEST, MAINTAINER, PROJECT_ADMIN
from entrepot.metadata import events
from entrepot.metadata.contents import project_lists, project_metadata
from entrepot.metadata.contents import projects as rows
from entrepot.metadata.contents.project_lists import ProjectEntry
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.people import grants
from entrepot.metadata.trash_namespaces import is_shadow
from entrepot.oci.errors import NameInvalid, NameUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.projects.settings import checked, shown, visibility_asked
from entrepot.registry.model import Actor
from entrepot.registry.project_deletion import ProjectNotEmpty
from entrepot.registry.service import Registry

READ = Permission("project:read")
#: Origin of the grant that whoever makes a project gets.
OWNER = "owner"
_RANKS = (PROJECT_ADMIN, MAINTAINER, DEVELOPER, GUEST, LIMITED_GUEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """One project, with all that is shown of it."""

    project: ProjectRecord
    owner: str | None
    settings: dict[str, str]  #: `public` and `visibility` included
    repositories: int  #: how many, up to `project_lists.REPOSITORIES_LIMIT`


class Projects:
    """The use cases about projects; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, policy: Policy, registry: Registry) -> None:
        self._metadata = metadata
        self._policy = policy
        self._gate = registry.lookup.gate
        self._deletion = registry.project_deletion

    async def find(self, reference: str, *, is_name: bool = False) -> ProjectRecord | None:
        """Return a project by its id or its name; a number is an id unless `is_name` says that it is a name."""
        if not is_name and reference.isascii() and reference.isdigit():
            number = int(reference[:19])
            return await rows.find_by_id(self._metadata, number) if number < 2**63 else None
        return None if is_shadow(reference) else await rows.find(self._metadata, reference)

    async def view(self, project: ProjectRecord, *, detail: bool = True) -> ProjectView:
        """Return all that is shown of a project.

        Raises:
            NotFound: It has gone in the meantime.
        """
        entry = await project_lists.find(self._metadata, project.id)
        if entry is None:
            raise NotFound(f"there is no project {project.name}")
        return (await self._views([entry], detail=detail))[0]

    async def page(self, principal: Principal, selection: Selection, *, detail: bool = True) -> Listed[ProjectView]:
        """Return a page of the projects that a principal may see."""
        await self._gate.names_known()
        found = await self._visible(await reach_of(self._policy, principal, READ), selection)
        return Listed(await self._views(found.items, detail=detail), found.total)

    async def roles_of(self, principal: Principal) -> dict[int, list[int]]:
        """Return the roles that a principal has in each project where it was given one, as ids, the highest first."""
        records = await grants.list_for(self._metadata, principal.id)
        found: dict[int, list[int]] = {}
        for record in records:
            if record.project_id is not None and record.role_id is not None and record.audience is None:
                found.setdefault(record.project_id, []).append(record.role_id)
        return {project: sorted(set(roles), key=_rank) for project, roles in found.items()}

    async def create(self, name: str, settings: Mapping[str, str], *, by: Source, owner: Principal) -> ProjectRecord:
        """Make a project, and whoever makes it its administrator.

        Raises:
            Invalid: The name or a setting cannot be used.
            Conflict: There is a project of this name.
        """
        check_name(name)
        visibility = visibility_asked(settings)
        kept = checked(settings)

        async def work(tx: Transaction) -> ProjectRecord:
            if not await rows.create(tx, name):
                raise Conflict(f"there is a project {name} already; choose another name")
            made = await _required(tx, name)
            await _set_visibility(tx, name, visibility)
            await project_metadata.put(tx, made.id, kept)
            if owner.id is not None:
                await rows.set_owner(tx, made.id, owner.id)
                await grants.add(tx, principal_id=owner.id, role_id=PROJECT_ADMIN, project_id=made.id, origin=OWNER)
            detail = shown(visibility, kept)
            await events.add(tx, events.CREATE, by=by, project=name, subject=f"project:{name}", detail=detail)
            return await _required(tx, name)

        return await self._metadata.write(work, name="create project")

    async def change(
        self, project: ProjectRecord, settings: Mapping[str, str], *, by: Source, expected: int | None = None
    ) -> ProjectRecord:
        """Change what a project is set to; settings that are not named stay.

        Args:
            project: Which one.
            settings: The new values.
            by: Who changes it.
            expected: When it was changed last as far as the caller knows (`updated_at`); None if they do not say.

        Raises:
            Invalid: A setting cannot have this value.
            NotFound: It has gone in the meantime.
            PreconditionFailed: It was changed since `expected`.
        """
        kept = checked(settings)

        async def work(tx: Transaction) -> ProjectRecord:
            current = await rows.find_by_id(tx, project.id)
            if current is None:
                raise NotFound(f"there is no project {project.name}")
            require_unchanged(f"project {current.name}", current.updated_at, expected)
            before = visibility_of(current)
            visibility = visibility_asked(settings, before)
            if visibility is not before:
                await _set_visibility(tx, current.name, visibility)
            await project_metadata.put(tx, current.id, kept)
            await rows.touch(tx, current.id)
            detail = {**settings, "visibility": str(visibility)}
            await events.add(
                tx, events.UPDATE, by=by, project=current.name, subject=f"project:{current.name}", detail=detail
            )
            return await _required(tx, current.name)

        return await self._metadata.write(work, name="change project")

    async def unset(self, project: ProjectRecord, key: str, *, by: Source) -> None:
        """Take a setting of a project away.

        Raises:
            NotFound: The project has no such setting.
        """

        async def work(tx: Transaction) -> None:
            if not await project_metadata.remove(tx, project.id, key):
                raise NotFound(f"project {project.name} has no setting {key[:50]!a}")
            await rows.touch(tx, project.id)
            await events.add(
                tx,
                events.UPDATE,
                by=by,
                project=project.name,
                subject=f"project:{project.name}",
                detail={"removed": key},
            )

        await self._metadata.write(work, name="unset project setting")

    async def members_by_role(self, project: ProjectRecord) -> dict[int, int]:
        """Count the members of a project that have each role, by the role's id."""
        return await project_lists.members_by_role(self._metadata, project.id)

    async def why_not_deletable(self, project: ProjectRecord) -> str | None:
        """Say what keeps a project from being deleted; None when nothing does."""
        await self._gate.names_known()
        return await _why_not_deletable(self._metadata, project)

    async def delete(self, project: ProjectRecord, *, by: Actor, with_repositories: bool = False) -> None:
        """Delete a project with its settings, labels, members and robots, into its trash.

        Raises:
            NotFound: It has gone in the meantime.
            PreconditionFailed: It has repositories, and nothing was said of deleting these.
            TagImmutable: A rule keeps a tag of one of its repositories.
            Unavailable: Its repositories are to be deleted, and their folder is still being adopted.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        await self._gate.names_known()
        try:
            await self._deletion.delete(project, actor=by, with_repositories=with_repositories)
        except ProjectNotEmpty as error:
            raise PreconditionFailed(error.message) from None
        except NameUnknown:
            raise NotFound(f"there is no project {project.name}") from None

    async def _visible(self, reach: Reach, selection: Selection) -> Listed[ProjectEntry]:
        if reach.everywhere:
            return await project_lists.every(self._metadata, selection)
        return await project_lists.visible(
            self._metadata, selection, names=reach.names, public=reach.public, internal=reach.internal
        )

    async def _views(self, entries: Iterable[ProjectEntry], *, detail: bool) -> list[ProjectView]:
        found = list(entries)
        ids = [entry.project.id for entry in found]
        settings = await project_metadata.of_projects(self._metadata, ids)
        counts = await project_lists.repository_counts(self._metadata, ids) if detail else {}
        return [
            ProjectView(
                project=entry.project,
                owner=entry.owner,
                settings=shown(visibility_of(entry.project), settings[entry.project.id]),
                repositories=counts.get(entry.project.id, 0),
            )
            for entry in found
        ]


def _rank(role: int) -> int:
    """Order roles by how much they allow; those made by people come last."""
    return _RANKS.index(role) if role in _RANKS else len(_RANKS) + role


def check_name(name: str) -> None:
    """Go on only if a project may have this name: one part of a repository's name.

    Raises:
        Invalid: It may not.
    """
    try:
        RepositoryName.parse(name)
    except NameInvalid:
        name = name + "/"
    if "/" in name:
        raise Invalid(
            f"invalid project name {name.rstrip('/')[:100]!a}: use lower-case letters and digits, "
            "joined inside by '.', '_', '__' or '-', at most 255 characters"
        )


def visibility_of(project: ProjectRecord) -> Visibility:
    """Return who may read a project without a grant."""
    if project.public:
        return Visibility.PUBLIC
    return Visibility.INTERNAL if project.internal else Visibility.PRIVATE


async def _set_visibility(tx: Transaction, name: str, visibility: Visibility) -> None:
    await rows.set_visibility(
        tx, name, public=visibility is Visibility.PUBLIC, internal=visibility is Visibility.INTERNAL
    )


async def _required(reader: Reader, name: str) -> ProjectRecord:
    found = await rows.find(reader, name)
    assert found is not None  # written a moment ago, in this transaction
    return found


async def _why_not_deletable(reader: Reader, project: ProjectRecord) -> str | None:
    name = await project_lists.first_repository(reader, project.id)
    if name is None:
        return None
    return ProjectNotEmpty(project.name, name).message
