"""How it is shown where the space went."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from entrepot.insight.usage_report import Sizes, UsedImage, UsedTag
from entrepot.metadata.usage.analyses import Analysis
from entrepot.metadata.usage.usage import Standing
from entrepot.metadata.usage.usage_lists import Found, UsedLayer, UsedProject, UsedRepository
from entrepot.web.api.values import moment

_GIB: Final = 1024**3
_DIGEST: Final = "sha256:" + 64 * "a"
_SUMS: Final = {"logical_bytes": 9 * _GIB, "stored_bytes": 4 * _GIB, "own_bytes": 4 * _GIB, "unique_bytes": 3 * _GIB}
_ANALYSED: Final = "2026-01-02T03:04:05Z"


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values})


class Sums(BaseModel):
    """What the last analysis found; what the caller may not know is null."""

    model_config = _example(**_SUMS, trash_bytes=1024, manifests=120)

    logical_bytes: int
    stored_bytes: int
    own_bytes: int
    unique_bytes: int | None
    trash_bytes: int
    manifests: int

    @classmethod
    def of(cls, found: Found, *, whole: bool) -> Sums:
        """Return what is shown; `whole` to who may know of all projects."""
        return cls(
            logical_bytes=found.logical_bytes,
            stored_bytes=found.stored_bytes,
            own_bytes=found.own_bytes,
            unique_bytes=found.unique_bytes if whole else None,
            trash_bytes=found.trash_bytes,
            manifests=found.manifests,
        )


def sums(found: Found | None, *, whole: bool) -> Sums | None:
    """Return what is shown of what an analysis may have found."""
    return None if found is None else Sums.of(found, whole=whole)


class AnalysedAt(BaseModel):
    """When the last analysis began and ended."""

    model_config = _example(id=7, started_at=_ANALYSED, finished_at=_ANALYSED)

    id: int
    started_at: datetime
    finished_at: datetime

    @classmethod
    def of(cls, analysis: Analysis | None) -> AnalysedAt | None:
        """Return what is shown of an analysis; None where there is none."""
        if analysis is None or analysis.finished_at is None:
            return None
        return cls(id=analysis.id, started_at=moment(analysis.started_at), finished_at=moment(analysis.finished_at))


class Now(BaseModel):
    """What a project uses at this moment, its trash included, as its quota counts it."""

    model_config = _example(used_bytes=4 * _GIB, logical_bytes=9 * _GIB, stored_bytes=4 * _GIB, manifests=120)

    used_bytes: int
    logical_bytes: int
    stored_bytes: int
    manifests: int

    @classmethod
    def of(cls, standing: Standing) -> Now:
        """Return what is shown of a project's standing."""
        counts = standing.counts
        return cls(
            used_bytes=standing.bytes,
            logical_bytes=counts.full_bytes + counts.manifest_bytes,
            stored_bytes=counts.blob_bytes + counts.manifest_bytes,
            manifests=counts.manifests,
        )


class ProjectUsage(BaseModel):
    """What a project uses."""

    id: int = Field(examples=[7])
    name: str = Field(examples=["team"])
    now: Now
    analysed: Sums | None
    analysis: AnalysedAt | None = None

    @classmethod
    def of(cls, used: UsedProject) -> ProjectUsage:
        """Return what is shown in a list."""
        return cls(id=used.id, name=used.name, now=Now.of(used.standing), analysed=sums(used.found, whole=True))


class RepositoryUsage(BaseModel):
    """What a repository uses."""

    id: int = Field(examples=[12])
    name: str = Field(examples=["team/app"])
    analysed: Sums | None

    @classmethod
    def of(cls, used: UsedRepository, *, whole: bool) -> RepositoryUsage:
        """Return what is shown."""
        return cls(id=used.id, name=used.name, analysed=sums(used.found, whole=whole))


class LayerUsage(BaseModel):
    """A blob, and how many need it, as far as the caller may know."""

    model_config = _example(digest=_DIGEST, bytes=_GIB, repositories=3, manifests=40)

    digest: str
    bytes: int
    repositories: int
    manifests: int

    @classmethod
    def of(cls, used: UsedLayer) -> LayerUsage:
        """Return what is shown."""
        return cls(digest=used.digest, bytes=used.size, repositories=used.repositories, manifests=used.manifests)


class ImageSizes(BaseModel):
    """What an image uses; what the caller may not know is null."""

    model_config = _example(**_SUMS)

    logical_bytes: int
    stored_bytes: int
    own_bytes: int
    unique_bytes: int | None

    @classmethod
    def of(cls, sizes: Sizes | None) -> ImageSizes | None:
        """Return what is shown."""
        if sizes is None:
            return None
        return cls(
            logical_bytes=sizes.logical_bytes,
            stored_bytes=sizes.stored_bytes,
            own_bytes=sizes.own_bytes,
            unique_bytes=sizes.unique_bytes,
        )


class ImageUsage(BaseModel):
    """An image and what it uses, with what it lists and what refers to it; null where that is too much to look at."""

    repository: str = Field(examples=["team/app"])
    digest: str = Field(examples=[_DIGEST])
    tags: list[str] = Field(examples=[["v1", "latest"]])
    pushed_at: datetime = Field(examples=[_ANALYSED])
    sizes: ImageSizes | None

    @classmethod
    def of(cls, used: UsedImage) -> ImageUsage:
        """Return what is shown."""
        record = used.record
        return cls(
            repository=record.repository,
            digest=record.digest,
            tags=list(used.tags),
            pushed_at=moment(record.created_at),
            sizes=ImageSizes.of(used.sizes),
        )


class TagUsage(BaseModel):
    """A tag and what its image uses; null where that is too much to look at."""

    name: str = Field(examples=["v1"])
    digest: str = Field(examples=[_DIGEST])
    sizes: ImageSizes | None

    @classmethod
    def of(cls, used: UsedTag) -> TagUsage:
        """Return what is shown."""
        return cls(name=used.name, digest=used.digest, sizes=ImageSizes.of(used.sizes))


class Disk(BaseModel):
    """The disk below the blobs."""

    model_config = _example(total_bytes=500 * _GIB, free_bytes=320 * _GIB)

    total_bytes: int
    free_bytes: int


class WholeUsage(BaseModel):
    """What all of it uses: the disk now, and what the last analysis found."""

    model_config = _example(
        disk={"total_bytes": 500 * _GIB, "free_bytes": 320 * _GIB},
        analysis={"id": 7, "started_at": _ANALYSED, "finished_at": _ANALYSED},
        logical_bytes=9 * _GIB,
        stored_bytes=4 * _GIB,
        trash_bytes=1024,
        waiting_bytes=512,
        lost_bytes=0,
        blobs=360,
        manifests=120,
    )

    disk: Disk
    analysis: AnalysedAt | None
    logical_bytes: int
    stored_bytes: int
    trash_bytes: int
    waiting_bytes: int
    lost_bytes: int
    blobs: int
    manifests: int

    @classmethod
    def of(cls, disk: Disk, analysis: Analysis | None) -> WholeUsage:
        """Return what is shown; all is 0 where there was no analysis."""
        totals = {} if analysis is None else analysis.totals
        names = (
            "logical_bytes",
            "stored_bytes",
            "trash_bytes",
            "waiting_bytes",
            "lost_bytes",
            "blobs",
            "manifests",
        )
        return cls(disk=disk, analysis=AnalysedAt.of(analysis), **{name: totals.get(name, 0) for name in names})
