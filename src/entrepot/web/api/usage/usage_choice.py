"""What somebody thinks of deleting, found by the names that they give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from entrepot.access.faults import Invalid
from entrepot.access.permissions import Permission
from entrepot.insight.deletion_choice import Chosen, Part
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, NameInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.web.api.caller import Caller
from entrepot.web.api.lookups.project_lookup import ProjectIn, find_project
from entrepot.web.api.lookups.repository_lookup import find_repository
from entrepot.web.api.services import ApiServices
from entrepot.web.api.usage.freed_models import Choice, ProjectChoice

_READ = Permission("quota:read")


@dataclass(slots=True)
class _Named:
    """Tags and digests by the names of their repositories."""

    tags: defaultdict[RepositoryName, list[str]] = field(default_factory=lambda: defaultdict(list))
    digests: defaultdict[RepositoryName, list[str]] = field(default_factory=lambda: defaultdict(list))
    repositories: list[RepositoryName] = field(default_factory=list)


async def chosen_of_all(caller: Caller, services: ApiServices, body: Choice) -> Chosen:
    """Return what was chosen of all that there is.

    Raises:
        Invalid: A name is none.
        NotFound: There is no such repository or project.
    """
    projects = [await find_project(caller, services, _READ, name, is_name=True) for name in body.projects]
    return await _chosen(caller, services, _named(body.tags, body.manifests, body.repositories), projects)


async def chosen_in(project: ProjectIn, caller: Caller, services: ApiServices, body: ProjectChoice) -> Chosen:
    """Return what was chosen in a project.

    Raises:
        Invalid: A name is none, or is of another project.
        NotFound: There is no such repository.
    """
    named = _named(body.tags, body.manifests, body.repositories)
    for name in {*named.tags, *named.digests, *named.repositories}:
        if name.project != project.name:
            raise Invalid(f"{name} is not in project {project.name}; ask that project, or POST /usage/would-free")
    return await _chosen(caller, services, named, [project] if body.everything else [])


async def _chosen(caller: Caller, services: ApiServices, named: _Named, projects: Sequence[ProjectIn]) -> Chosen:
    every = {*named.tags, *named.digests, *named.repositories}
    found = {name: await _repository(caller, services, name) for name in sorted(every)}
    parts = [
        Part(repository=found[name], tags=_once(named.tags[name]), digests=_once(named.digests[name]))
        for name in sorted({*named.tags, *named.digests})
    ]
    whole = {found[name].id: found[name] for name in named.repositories}
    return Chosen(parts=parts, repositories=list(whole.values()), projects=projects)


async def _repository(caller: Caller, services: ApiServices, name: RepositoryName) -> RepositoryRecord:
    """Return the repository that clients pull by this name."""
    rest = name.removeprefix(f"{name.project}/") if "/" in name else name
    return (await find_repository(caller, services, _READ, name.project, rest)).record


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _named(tags: Sequence[str], manifests: Sequence[str], repositories: Sequence[str]) -> _Named:
    named = _Named()
    try:
        for text in tags:
            name, _, tag = text.rpartition(":")
            named.tags[RepositoryName.parse(name)].append(Tag.parse(tag))
        for text in manifests:
            name, _, digest = text.partition("@")
            named.digests[RepositoryName.parse(name)].append(str(Digest.parse(digest)))
        named.repositories += map(RepositoryName.parse, repositories)
    except (NameInvalid, TagInvalid, DigestInvalid) as error:
        raise Invalid(
            f"{error.message}; write tags as team/app:v1, manifests as team/app@sha256:..., repositories as team/app"
        ) from None
    return named
