"""Artifacts and repositories as lists show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from entrepot.metadata.contents.artifact_parts import ArtifactRecord, TagRecord
from entrepot.metadata.contents.labels import LabelRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class With:
    """What is told of artifacts beside themselves."""

    tags: bool = True
    labels: bool = False
    accessories: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildReference:
    """What an index says of one of its manifests."""

    parent_id: int
    child_id: int | None
    digest: str
    platform: Mapping[str, object] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accessory:
    """A manifest that is about another one: a signature, an SBOM."""

    record: ArtifactRecord
    kind: str
    size: int
    subject: str  #: the other one's digest
    subject_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A manifest with all that is told of it."""

    record: ArtifactRecord
    kind: str
    media_type: str  #: of the configuration; of the manifest itself where that has none
    size: int  #: with everything it refers to
    annotations: Mapping[str, str]
    attributes: Mapping[str, object]
    references: Sequence[ChildReference]
    additions: Sequence[str]
    tags: Sequence[TagRecord] = ()
    immutable: Collection[int] = ()  #: ids of tags that a rule keeps where they are
    labels: Sequence[LabelRecord] = ()
    accessories: Sequence[Accessory] = ()
    truncated: bool = False  #: a page had no room for all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository and how much is in it."""

    id: int
    project_id: int
    name: str  #: with its project, also where it is stored without
    description: str
    created_at: int
    updated_at: int
    pull_count: int
    artifact_count: int  #: in lists, counted up to a bound
