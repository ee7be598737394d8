"""`/usage/history` and `/usage/forecast`: what was used day by day, ready to be drawn, and when there is no room."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from entrepot.access.model import SYSTEM_TARGET
from entrepot.insight.forecast import Forecast, Outlook
from entrepot.insight.history import KEPT, USUAL, used_of
from entrepot.insight.trend import FEWEST
from entrepot.metadata.usage import usage
from entrepot.metadata.usage.usage import Standing
from entrepot.metadata.usage.usage_history import DiskOnDay, UsedOnDay
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.usage.usage import ALL, ONE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).date()
Days = Annotated[int, Query(ge=1, le=KEPT, description="How many days back, today among them.")]
Basis = Annotated[int, Query(ge=FEWEST, le=KEPT, description="From how many of the last days it is made.")]
_Project = Annotated[ProjectIn, Depends(project_where(ONE))]


class UsedDay(BaseModel):
    """What a project used on a day, as its quota counts now, and each blob once or for each manifest."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "day": "2026-01-02",
                "used_bytes": 4294967296,
                "logical_bytes": 9663676416,
                "stored_bytes": 4294967296,
                "manifests": 120,
            }
        }
    )

    day: date
    used_bytes: int
    logical_bytes: int
    stored_bytes: int
    manifests: int

    @classmethod
    def of(cls, one: UsedOnDay, standing: Standing) -> UsedDay:
        """Return what is shown."""
        return cls(
            day=date_of(one.day),
            used_bytes=used_of(one, standing),
            logical_bytes=one.full_bytes + one.manifest_bytes,
            stored_bytes=one.blob_bytes + one.manifest_bytes,
            manifests=one.manifests,
        )


class UsedHistory(BaseModel):
    """What a project used, one point for each day up to today, and its limit now."""

    limit_bytes: int | None
    points: list[UsedDay]


class DiskDay(BaseModel):
    """What there was on the disk on a day; `stored_bytes` is what the last analysis before had found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "day": "2026-01-02",
                "total_bytes": 536870912000,
                "free_bytes": 343597383680,
                "used_bytes": 193273528320,
                "stored_bytes": 171798691840,
            }
        }
    )

    day: date
    total_bytes: int | None
    free_bytes: int | None
    used_bytes: int | None
    stored_bytes: int | None

    @classmethod
    def of(cls, one: DiskOnDay) -> DiskDay:
        """Return what is shown."""
        known = one.total_bytes is not None and one.free_bytes is not None
        return cls(
            day=date_of(one.day),
            total_bytes=one.total_bytes,
            free_bytes=one.free_bytes,
            used_bytes=(one.total_bytes or 0) - (one.free_bytes or 0) if known else None,
            stored_bytes=one.stored_bytes,
        )


class DiskHistory(BaseModel):
    """What there was on the disk, one point for each day that was noted, up to today."""

    points: list[DiskDay]


class Growth(BaseModel):
    """Bytes a day, and the interval that they lie in, nineteen times of twenty."""

    model_config = ConfigDict(json_schema_extra={"example": {"bytes_a_day": 1.5e9, "lowest": 1.2e9, "highest": 1.9e9}})

    bytes_a_day: float
    lowest: float
    highest: float


class Outcome(BaseModel):
    """When something is full; `latest` is null where that may be never."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "outlook": "filling",
                "used_bytes": 193273528320,
                "limit_bytes": 536870912000,
                "days_known": 60,
                "days_needed": 7,
                "growth": {"bytes_a_day": 1.5e9, "lowest": 1.2e9, "highest": 1.9e9},
                "full_on": "2026-08-18",
                "earliest": "2026-06-30",
                "latest": "2026-10-14",
            }
        }
    )

    outlook: Outlook
    used_bytes: int
    limit_bytes: int | None
    days_known: int
    days_needed: int
    growth: Growth | None
    full_on: date | None
    earliest: date | None
    latest: date | None

    @classmethod
    def of(cls, told: Forecast) -> Outcome:
        """Return what is shown."""
        trend = told.trend
        growth = None if trend is None else Growth(bytes_a_day=trend.slope, lowest=trend.lowest, highest=trend.highest)
        full_on, earliest, latest = (
            None if day is None else date_of(day) for day in (told.day, told.earliest, told.latest)
        )
        return cls(
            outlook=told.outlook,
            used_bytes=told.used,
            limit_bytes=told.limit,
            days_known=told.points,
            days_needed=FEWEST,
            growth=growth,
            full_on=full_on,
            earliest=earliest,
            latest=latest,
        )


def date_of(day: int) -> date:
    """Return a day, counted in days since 1970, as a date."""
    return _EPOCH + timedelta(days=day)


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["usage"])
    add, base = routes.add_api_route, "/projects/{project_name_or_id}/usage"
    add("/usage/history", get_history, methods=["GET"], operation_id="getUsageHistory")
    add("/usage/forecast", get_forecast, methods=["GET"], operation_id="getUsageForecast")
    add(f"{base}/history", get_history_of_project, methods=["GET"], operation_id="getUsageHistoryOfProject")
    add(f"{base}/forecast", get_forecast_of_project, methods=["GET"], operation_id="getUsageForecastOfProject")
    return routes


async def get_history(caller: CallerOf, services: ServicesOf, days: Days = USUAL) -> DiskHistory:
    """Return what there was on the disk day by day."""
    await caller.require(ALL, SYSTEM_TARGET)
    return DiskHistory(points=[DiskDay.of(one) for one in await services.insight.past.of_disk(days=days)])


async def get_forecast(caller: CallerOf, services: ServicesOf, days: Basis = USUAL) -> Outcome:
    """Foretell the day on which the disk is full, if things go on as they did."""
    await caller.require(ALL, SYSTEM_TARGET)
    return Outcome.of(await services.insight.past.when_disk_is_full(days=days))


async def get_history_of_project(project: _Project, services: ServicesOf, days: Days = USUAL) -> UsedHistory:
    """Return what a project used day by day."""
    standing = await usage.find(services.metadata, project.id)
    past = await services.insight.past.of_project(project.id, days=days)
    return UsedHistory(limit_bytes=standing.limits.hard_bytes, points=[UsedDay.of(one, standing) for one in past])


async def get_forecast_of_project(project: _Project, services: ServicesOf, days: Basis = USUAL) -> Outcome:
    """Foretell the day on which a project reaches its quota, if things go on as they did."""
    return Outcome.of(await services.insight.past.when_project_is_full(project.id, days=days))
