"""`/usage`: where the space went, of all and of each project, and what deleting something would free.

Members of a project see what matters to it: its own bytes, and by name what they may list. Whether another project has
the same bytes is for those to know who may list all quotas.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from entrepot.access.model import SYSTEM_TARGET, Target
from entrepot.access.permissions import Permission
from entrepot.insight.deletion_choice import Chosen
from entrepot.insight.duplicates.similarity import last_estimate
from entrepot.insight.freed_bytes import WouldFree
from entrepot.metadata.filtering import Selection
from entrepot.metadata.usage import usage_lists
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.lookups.repository_lookup import RepositoryIn, repository_where
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices
from entrepot.web.api.usage.duplicates_models import Duplicates
from entrepot.web.api.usage.freed_models import Choice, Freed, ProjectChoice
from entrepot.web.api.usage.question_turns import Question, QuestionOf
from entrepot.web.api.usage.usage_choice import chosen_in, chosen_of_all
from entrepot.web.api.usage.usage_models import (
    AnalysedAt,
    Disk,
    ImageUsage,
    LayerUsage,
    Now,
    ProjectUsage,
    RepositoryUsage,
    TagUsage,
    WholeUsage,
    sums,
)

ALL: Final = Permission("quota:list")
ONE: Final = Permission("quota:read")
_REPOSITORIES: Final = Permission("repository:list")
_IMAGES: Final = Permission("artifact:list")

Few = Annotated[int, Query(ge=1, le=50, description="How many are shown.")]
Last = Annotated[str, Query(max_length=128, description="The tag after which to go on.", examples=["v1"])]
_Project = Annotated[ProjectIn, Depends(project_where(ONE))]
_Wanted = Annotated[Selection, Depends(selection(usage_lists.REPOSITORY_FIELDS))]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["usage"])
    add = routes.add_api_route
    add("/usage", get_usage, methods=["GET"], operation_id="getUsage")
    add("/usage/projects", list_projects, methods=["GET"], responses=PAGED, operation_id="listUsageOfProjects")
    add(
        "/usage/repositories",
        list_repositories,
        methods=["GET"],
        responses=PAGED,
        operation_id="listUsageOfRepositories",
    )
    add("/usage/images", list_images, methods=["GET"], operation_id="listLargestImages")
    add("/usage/layers", list_layers, methods=["GET"], operation_id="listLargestLayers")
    add("/usage/duplicates", get_duplicates, methods=["GET"], operation_id="getDuplicates")
    add("/usage/would-free", would_free, methods=["POST"], responses=refusals(404), operation_id="wouldFree")
    _add_of_projects(routes)
    return routes


def _add_of_projects(routes: APIRouter) -> None:
    add, base = routes.add_api_route, "/projects/{project_name_or_id}/usage"
    add(base, get_of_project, methods=["GET"], operation_id="getUsageOfProject")
    add(
        f"{base}/repositories",
        list_repositories_of_project,
        methods=["GET"],
        responses=PAGED,
        operation_id="listUsageOfRepositoriesOfProject",
    )
    add(f"{base}/images", list_images_of_project, methods=["GET"], operation_id="listLargestImagesOfProject")
    add(f"{base}/layers", list_layers_of_project, methods=["GET"], operation_id="listLargestLayersOfProject")
    add(f"{base}/would-free", would_free_of_project, methods=["POST"], operation_id="wouldFreeOfProject")
    one = "/projects/{project_name}/repositories/{repository_name}/usage"
    add(one, list_tags, methods=["GET"], operation_id="listUsageOfTags")


async def _sees_all(caller: Caller) -> bool:
    return await caller.may(ALL, SYSTEM_TARGET)


async def get_usage(caller: CallerOf, services: ServicesOf) -> WholeUsage:
    """Tell how full the disk is, and what the last analysis found in all."""
    await caller.require(ALL, SYSTEM_TARGET)
    volume = await services.volume()
    disk = Disk(total_bytes=volume.total, free_bytes=volume.free)
    return WholeUsage.of(disk, await services.insight.looking.analysis())


async def list_projects(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(usage_lists.PROJECT_FIELDS))],
) -> list[ProjectUsage]:
    """List all projects with what they use, those that use most first."""
    await caller.require(ALL, SYSTEM_TARGET)
    found = await services.insight.looking.projects(wanted)
    describe(request, response, wanted, found.total)
    return [ProjectUsage.of(used) for used in found.items]


async def list_repositories(
    request: Request, response: Response, caller: CallerOf, services: ServicesOf, wanted: _Wanted
) -> list[RepositoryUsage]:
    """List all repositories with what the last analysis found of them, the largest first."""
    await caller.require(ALL, SYSTEM_TARGET)
    found = await services.insight.looking.repositories(wanted, None)
    describe(request, response, wanted, found.total)
    return [RepositoryUsage.of(used, whole=True) for used in found.items]


async def list_images(
    question: QuestionOf, caller: CallerOf, services: ServicesOf, limit: Few = 10
) -> list[ImageUsage]:
    """List the largest images that the last analysis found, with what they use now."""
    await caller.require(ALL, SYSTEM_TARGET)
    found = await question.answer(lambda: services.insight.looking.images(None, limit=limit, unique=True))
    return [ImageUsage.of(used) for used in found]


async def list_layers(
    question: QuestionOf, caller: CallerOf, services: ServicesOf, limit: Few = 10
) -> list[LayerUsage]:
    """List the largest blobs that the last analysis found, and how many need each."""
    await caller.require(ALL, SYSTEM_TARGET)
    found = await question.answer(lambda: services.insight.looking.layers(None, limit=limit))
    return [LayerUsage.of(used) for used in found]


async def get_duplicates(caller: CallerOf, services: ServicesOf) -> Duplicates:
    """Estimate how many bytes of layers are in others that are nearly the same, as the job `duplicates` found last."""
    await caller.require(ALL, SYSTEM_TARGET)
    return Duplicates.of(await last_estimate(services.metadata))


async def would_free(body: Choice, question: QuestionOf, caller: CallerOf, services: ServicesOf) -> Freed:
    """Tell what deleting something would free once trash and grace are over; nothing is deleted."""
    await caller.require(ALL, SYSTEM_TARGET)
    return await _freed(question, services, lambda: chosen_of_all(caller, services, body), disk=True)


async def get_of_project(project: _Project, caller: CallerOf, services: ServicesOf) -> ProjectUsage:
    """Return what a project uses now, and what the last analysis found."""
    standing, found = await services.insight.looking.project(project)
    whole = await _sees_all(caller)
    analysis = AnalysedAt.of(await services.insight.looking.analysis())
    now, analysed = Now.of(standing), sums(found, whole=whole)
    return ProjectUsage(id=project.id, name=project.name, now=now, analysed=analysed, analysis=analysis)


async def list_repositories_of_project(
    request: Request,
    response: Response,
    project: _Project,
    caller: CallerOf,
    services: ServicesOf,
    wanted: _Wanted,
) -> list[RepositoryUsage]:
    """List the repositories of a project with what the last analysis found of them, the largest first."""
    await caller.require(_REPOSITORIES, Target(project.name))
    whole = await _sees_all(caller)
    by_others = {"unique_bytes"} & {*(one.field for one in wanted.conditions), *(one.field for one in wanted.order)}
    if by_others:
        await caller.require(ALL, SYSTEM_TARGET)
    found = await services.insight.looking.repositories(wanted, project.id)
    describe(request, response, wanted, found.total)
    return [RepositoryUsage.of(used, whole=whole) for used in found.items]


async def list_images_of_project(
    project: _Project, question: QuestionOf, caller: CallerOf, services: ServicesOf, limit: Few = 10
) -> list[ImageUsage]:
    """List the largest images of a project that the last analysis found, with what they use now."""
    await caller.require(_IMAGES, Target(project.name))
    whole = await _sees_all(caller)
    found = await question.answer(lambda: services.insight.looking.images(project.id, limit=limit, unique=whole))
    return [ImageUsage.of(used) for used in found]


async def list_layers_of_project(
    project: _Project, question: QuestionOf, caller: CallerOf, services: ServicesOf, limit: Few = 10
) -> list[LayerUsage]:
    """List the largest blobs of a project that the last analysis found, and how many in the project need each."""
    await caller.require(_IMAGES, Target(project.name))
    found = await question.answer(lambda: services.insight.looking.layers(project.id, limit=limit))
    return [LayerUsage.of(used) for used in found]


async def would_free_of_project(
    body: ProjectChoice, project: _Project, question: QuestionOf, caller: CallerOf, services: ServicesOf
) -> Freed:
    """Tell what a project would use less once something is deleted; nothing is deleted."""
    whole = await _sees_all(caller)
    return await _freed(question, services, lambda: chosen_in(project, caller, services, body), disk=whole)


async def _freed(
    question: Question, services: ApiServices, choose: Callable[[], Awaitable[Chosen]], *, disk: bool
) -> Freed:
    async def answer() -> WouldFree:
        return await services.insight.freeing.would_free(await choose(), disk=disk)

    return Freed.of(await question.answer(answer))


async def list_tags(
    repository: Annotated[RepositoryIn, Depends(repository_where(ONE))],
    question: QuestionOf,
    caller: CallerOf,
    services: ServicesOf,
    last: Last = "",
    limit: Few = 10,
) -> list[TagUsage]:
    """List tags of a repository in the order of their names, with what their images use now."""
    await caller.require(_IMAGES, repository.target)
    whole = await _sees_all(caller)
    found = await question.answer(
        lambda: services.insight.looking.tags(repository.record, last=last, limit=limit, unique=whole)
    )
    return [TagUsage.of(used) for used in found]
