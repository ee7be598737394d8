"""How artifacts, their tags and their parts are written in answers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from entrepot.metadata.contents.artifact_parts import TagRecord
from entrepot.projects.contents import model
from entrepot.web.api.artifacts.icons import icon_of
from entrepot.web.api.artifacts.labels import Label
from entrepot.web.api.locations import BASE
from entrepot.web.api.values import moment

#: Harbor's word for a time that never was.
NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_DIGEST: Final = "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270"
_TAG_EXAMPLE: Final[dict[str, Any]] = {
    "id": 31,
    "repository_id": 12,
    "artifact_id": 55,
    "name": "v1.2",
    "push_time": "2026-01-02T03:04:05Z",
    "pull_time": "0001-01-01T00:00:00Z",
    "immutable": False,
}
_EXAMPLE: Final[dict[str, Any]] = {
    "id": 55,
    "type": "IMAGE",
    "media_type": "application/vnd.oci.image.config.v1+json",
    "manifest_media_type": "application/vnd.oci.image.manifest.v1+json",
    "artifact_type": "application/vnd.oci.image.config.v1+json",
    "project_id": 7,
    "repository_id": 12,
    "repository_name": "demo/app",
    "digest": _DIGEST,
    "size": 73109,
    "icon": "",
    "push_time": "2026-01-02T03:04:05Z",
    "pull_time": "0001-01-01T00:00:00Z",
    "extra_attrs": {"architecture": "amd64", "os": "linux", "author": "", "config": {"Cmd": ["/bin/sh"]}},
    "annotations": {},
    "references": [],
    "tags": [_TAG_EXAMPLE],
    "labels": [],
    "accessories": [],
    "addition_links": {
        "build_history": {
            "href": f"/api/v2.0/projects/demo/repositories/app/artifacts/{_DIGEST}/additions/build_history",
            "absolute": False,
        }
    },
}


_ACCESSORY: Final[dict[str, Any]] = {
    "id": 56,
    "artifact_id": 56,
    "subject_artifact_id": 55,
    "subject_artifact_digest": _DIGEST,
    "subject_artifact_repo": "demo/app",
    "size": 1204,
    "digest": "sha256:9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a",
    "type": "signature.cosign",
    "icon": "",
    "creation_time": "2026-01-02T03:05:06Z",
}


class Tag(BaseModel):
    """A tag of an artifact; it was pulled when the artifact was."""

    model_config = ConfigDict(json_schema_extra={"example": _TAG_EXAMPLE})

    id: int
    repository_id: int
    artifact_id: int
    name: str
    push_time: datetime
    pull_time: datetime
    immutable: bool = False

    @classmethod
    def of(cls, record: TagRecord, pulled_at: int | None, immutable: Collection[int]) -> Tag:
        """Return what is shown of a tag; `immutable` has the numbers of those that a rule keeps where they are."""
        return cls(
            id=record.id,
            repository_id=record.repository_id,
            artifact_id=record.manifest_id,
            name=record.name,
            push_time=moment(record.updated_at),
            pull_time=_moment(pulled_at),
            immutable=record.id in immutable,
        )


class Platform(BaseModel):
    """What an image runs on; the quotes in two of the names are Harbor's."""

    architecture: str = ""
    os: str = ""
    os_version: Annotated[str | None, Field(serialization_alias="'os.version'")] = None
    os_features: Annotated[list[str] | None, Field(serialization_alias="'os.features'")] = None
    variant: str | None = None

    @classmethod
    def of(cls, written: dict[str, object]) -> Platform:
        """Return a platform as an index writes it, without what is not of the form that it should have."""
        features = written.get("os.features")
        return cls(
            architecture=_text(written.get("architecture")) or "",
            os=_text(written.get("os")) or "",
            os_version=_text(written.get("os.version")),
            os_features=[str(each) for each in features] if isinstance(features, list) else None,
            variant=_text(written.get("variant")),
        )


class Reference(BaseModel):
    """What an index lists."""

    parent_id: int
    child_id: int
    child_digest: str
    platform: Platform | None
    annotations: dict[str, str]
    urls: list[str]

    @classmethod
    def of(cls, reference: model.ChildReference) -> Reference:
        """Return what is shown of it; what the repository does not have is number 0."""
        return cls(
            parent_id=reference.parent_id,
            child_id=reference.child_id or 0,
            child_digest=reference.digest,
            platform=None if reference.platform is None else Platform.of(dict(reference.platform)),
            annotations=dict(reference.annotations),
            urls=list(reference.urls),
        )


class Accessory(BaseModel):
    """What refers to an artifact: a signature, an SBOM."""

    model_config = ConfigDict(json_schema_extra={"example": _ACCESSORY})

    id: int
    artifact_id: int
    subject_artifact_id: int
    subject_artifact_digest: str
    subject_artifact_repo: str
    size: int
    digest: str
    type: str
    icon: str = ""
    creation_time: datetime

    @classmethod
    def of(cls, accessory: model.Accessory) -> Accessory:
        """Return what is shown of an accessory."""
        record = accessory.record
        return cls(
            id=record.id,
            artifact_id=record.id,
            subject_artifact_id=accessory.subject_id,
            subject_artifact_digest=accessory.subject,
            subject_artifact_repo=record.repository,
            size=accessory.size,
            digest=record.digest,
            type=accessory.kind,
            icon=icon_of(accessory.kind),
            creation_time=moment(record.created_at),
        )


class AdditionLink(BaseModel):
    """Where an addition is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "href": "/api/v2.0/projects/demo/repositories/app/artifacts/latest/additions/build_history",
                "absolute": False,
            }
        }
    )

    href: str
    absolute: bool = False


def _null_if_empty(accessories: list[Accessory]) -> list[Accessory] | None:
    """Write null where there are none, as Harbor does."""
    return accessories or None


class Artifact(BaseModel):
    """A manifest, and what it stands for."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: int
    type: str
    media_type: str
    manifest_media_type: str
    artifact_type: str
    project_id: int
    repository_id: int
    repository_name: str
    digest: str
    size: int
    icon: str = ""
    push_time: datetime
    pull_time: datetime
    extra_attrs: dict[str, Any]
    annotations: dict[str, str]
    references: list[Reference]
    tags: list[Tag]
    labels: list[Label]
    accessories: Annotated[list[Accessory], PlainSerializer(_null_if_empty)]
    addition_links: dict[str, AdditionLink]
    truncated: Annotated[
        bool | None, Field(description="True where the page had no room for all of it: ask for the artifact alone.")
    ] = None

    @classmethod
    def of(cls, artifact: model.Artifact, repository: str) -> Artifact:
        """Return what is shown of an artifact; `repository` is what the API calls its repository."""
        record = artifact.record
        return cls(
            id=record.id,
            type=artifact.kind,
            media_type=artifact.media_type,
            manifest_media_type=record.media_type,
            artifact_type=record.artifact_type or "",
            project_id=record.project_id,
            repository_id=record.repository_id,
            repository_name=repository,
            digest=record.digest,
            size=artifact.size,
            icon=icon_of(artifact.kind),
            push_time=moment(record.created_at),
            pull_time=_moment(record.pulled_at),
            extra_attrs=dict(artifact.attributes),
            annotations=dict(artifact.annotations),
            references=[Reference.of(each) for each in artifact.references],
            tags=[Tag.of(tag, record.pulled_at, artifact.immutable) for tag in artifact.tags],
            labels=[Label.of(label) for label in artifact.labels],
            accessories=[Accessory.of(each) for each in artifact.accessories],
            addition_links=_links(artifact, repository),
            truncated=True if artifact.truncated else None,
        )


def _links(artifact: model.Artifact, repository: str) -> dict[str, AdditionLink]:
    project, _, rest = repository.partition("/")
    encoded = quote(quote(rest, safe=""), safe="")
    base = f"{BASE}/projects/{project}/repositories/{encoded}/artifacts/{artifact.record.digest}/additions"
    return {name: AdditionLink(href=f"{base}/{name}") for name in artifact.additions}


def _moment(microseconds: int | None) -> datetime:
    return NEVER if microseconds is None else moment(microseconds)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
