"""What somebody thinks of deleting, and how it is shown what that would free."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from entrepot.insight.freed_bytes import OnDisk, WouldFree

_MOST: Final = 1_000
_GIB: Final = 1024**3

Name = Annotated[str, Field(max_length=512)]
Names = Annotated[list[Name], Field(max_length=_MOST)]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values})


class _Named(BaseModel):
    """Things by their names, not too many in all."""

    tags: Names = []
    manifests: Names = []
    repositories: Names = []

    @model_validator(mode="after")
    def _are_few(self) -> Self:
        count = sum(len(value) for _, value in self if isinstance(value, list))
        if count > _MOST:
            raise ValueError(f"{count:,} names, and one question takes {_MOST:,}; ask about less at a time")
        return self


class ProjectChoice(_Named):
    """What is to be deleted from a project, by its names as clients pull it; `everything` is the project itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"tags": ["team/app:v1", "team/app:v2"], "repositories": []}}
    )

    everything: StrictBool = False


class Choice(_Named):
    """What is to be deleted, by its names as clients pull it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"tags": ["team/app:v1"], "repositories": ["old/app"]}}
    )

    projects: Names = []


class KeptThing(BaseModel):
    """Something that would not be deleted, and why."""

    model_config = _example(what="team/app:v1", reason="its manifest has another tag")

    what: str
    reason: str


class FreedInProject(BaseModel):
    """What a project uses less, and what of all this it needs for something else."""

    model_config = _example(project_id=7, bytes=_GIB, shared_bytes=1024)

    project_id: int
    bytes: int
    shared_bytes: int


class FreedOnDisk(BaseModel):
    """What the storage has less, and what of all this stays because something else needs it."""

    model_config = _example(bytes=_GIB, blob_bytes=_GIB - 700, manifest_bytes=700, shared_bytes=1024, blobs=3)

    bytes: int
    blob_bytes: int
    manifest_bytes: int
    shared_bytes: int
    blobs: int

    @classmethod
    def of(cls, disk: OnDisk | None) -> FreedOnDisk | None:
        """Return what is shown, if anything is."""
        if disk is None:
            return None
        return cls(
            bytes=disk.bytes,
            blob_bytes=disk.blob_bytes,
            manifest_bytes=disk.manifest_bytes,
            shared_bytes=disk.shared_bytes,
            blobs=disk.blobs,
        )


class Freed(BaseModel):
    """What deleting something would free, once trash and grace are over; `disk` is for who may know of all projects."""

    disk: FreedOnDisk | None
    projects: list[FreedInProject]
    manifests: int = Field(examples=[2])
    followers: int = Field(examples=[1])
    kept: list[KeptThing]
    more_kept: bool = Field(examples=[False])

    @classmethod
    def of(cls, freed: WouldFree) -> Freed:
        """Return what is shown."""
        return cls(
            disk=FreedOnDisk.of(freed.on_disk),
            projects=[
                FreedInProject(project_id=project, bytes=one.bytes, shared_bytes=one.shared_bytes)
                for project, one in sorted(freed.projects.items())
            ],
            manifests=freed.manifests,
            followers=freed.followers,
            kept=[KeptThing(what=one.what, reason=one.reason) for one in freed.kept],
            more_kept=freed.more_kept,
        )
