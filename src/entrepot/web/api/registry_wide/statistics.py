"""`/statistics`: how many projects and repositories there are."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from entrepot.system.statistics import Overview
from entrepot.web.api.caller import CallerOf, ServicesOf


class Statistic(BaseModel):
    """How many there are; the totals are for those who may read everything. They may be a minute old."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "private_project_count": 2,
                "private_repo_count": 20,
                "public_project_count": 1,
                "public_repo_count": 12,
                "total_project_count": 3,
                "total_repo_count": 32,
                "total_storage_consumption": 123456789,
            }
        }
    )

    private_project_count: int
    private_repo_count: int
    public_project_count: int
    public_repo_count: int
    total_project_count: int = 0
    total_repo_count: int = 0
    total_storage_consumption: int = 0

    @classmethod
    def of(cls, overview: Overview) -> Statistic:
        """Return what is shown of an overview."""
        own = cls(
            private_project_count=overview.private.projects,
            private_repo_count=overview.private.repositories,
            public_project_count=overview.public.projects,
            public_repo_count=overview.public.repositories,
        )
        if overview.everything is None:
            return own
        total = overview.everything.total
        return own.model_copy(
            update={
                "total_project_count": total.projects,
                "total_repo_count": total.repositories,
                "total_storage_consumption": overview.everything.stored,
            }
        )


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["statistic"])
    routes.add_api_route("/statistics", get_statistics, methods=["GET"], operation_id="getStatistic")
    return routes


async def get_statistics(caller: CallerOf, services: ServicesOf) -> Statistic:
    """Count the projects and repositories that the caller may see."""
    caller.require_sign_in()
    return Statistic.of(await services.statistics.overview(caller.principal))
