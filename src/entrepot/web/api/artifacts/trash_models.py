"""How the trash, and the past of tags, are written in requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from entrepot.lifecycle.tag_history import ShownMove
from entrepot.lifecycle.trash import model
from entrepot.lifecycle.trash import purge as purged
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.oci.reference import RepositoryName
from entrepot.web.api.values import moment

_DIGEST = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

#: Tags of one entry that are shown.
MOST_TAGS = 1_000


class TrashItem(BaseModel):
    """Something that was deleted and can be restored; names are those of the moment."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 12,
                "kind": "manifest",
                "project": "team",
                "project_id": 7,
                "repository": "team/app",
                "digest": _DIGEST,
                "tags": ["v1", "latest"],
                "truncated": False,
                "deletion": "5f2b7c1d9e0a4b36",
                "deleted_by": "alice",
                "deletion_time": "2026-01-02T03:04:05Z",
                "expiry_time": "2026-01-09T03:04:05Z",
            }
        }
    )

    id: int
    kind: Literal["tag", "manifest", "repository", "project"]
    project: str
    project_id: int
    repository: str | None
    digest: str | None
    tags: list[str]
    truncated: Annotated[bool, Field(description="There are more tags than are shown; all of them are restored.")]
    deletion: Annotated[str, Field(description="The same for what went together, or because of it.")]
    deleted_by: str
    deletion_time: datetime
    expiry_time: datetime

    @classmethod
    def of(cls, entry: TrashEntry) -> TrashItem:
        """Return what is shown of an entry."""
        return cls.model_validate(
            {
                "id": entry.id,
                "kind": entry.kind,
                "project": entry.project,
                "project_id": entry.project_id,
                "repository": entry.repository,
                "digest": entry.digest,
                "tags": list(entry.tags[:MOST_TAGS]),
                "truncated": entry.truncated or len(entry.tags) > MOST_TAGS,
                "deletion": entry.deletion,
                "deleted_by": entry.actor,
                "deletion_time": moment(entry.deleted_at),
                "expiry_time": moment(entry.expires_at),
            }
        )


class RestoreRequest(BaseModel):
    """How to restore."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"replace": False}})

    replace: Annotated[bool, Field(description="Move tags that name something else now, unless a rule keeps them.")] = (
        False
    )


class Restored(BaseModel):
    """What came back."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "project": "team",
                "repository": "team/app",
                "digest": _DIGEST,
                "manifests": 3,
                "tags": ["v1"],
                "aside": ["latest"],
                "repositories": 0,
            }
        }
    )

    project: str
    repository: str | None
    digest: str | None
    manifests: int
    tags: Annotated[list[str], Field(description="Tags that are set again; of very many, not all are named.")]
    aside: Annotated[
        list[str], Field(description="Tags that name something else by now: put them back from their history.")
    ]
    repositories: int

    @classmethod
    def of(cls, done: model.Restored) -> Restored:
        """Return what is told of a restoration."""
        return cls(
            project=done.project,
            repository=done.repository,
            digest=done.digest,
            manifests=done.manifests,
            tags=done.tags,
            aside=done.aside,
            repositories=done.repositories,
        )


class PurgeRequest(BaseModel):
    """Why something is removed for good."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "a token leaked: ticket 4711"}})

    reason: Annotated[str, Field(max_length=1000, description="For the audit log; never the secret itself.")] = ""


class Purged(BaseModel):
    """What was removed for good."""

    model_config = ConfigDict(json_schema_extra={"example": {"manifests": 3, "copies": 1}})

    manifests: int
    copies: Annotated[
        int, Field(description="Of the same manifest in other repositories and their trashes, up to 1,000.")
    ]

    @classmethod
    def of(cls, done: purged.Purged) -> Purged:
        """Return what is told of a purge."""
        return cls(manifests=done.manifests, copies=done.copies)


class EmptiedTrash(BaseModel):
    """What one request removed for good."""

    model_config = ConfigDict(json_schema_extra={"example": {"manifests": 120, "is_left": False}})

    manifests: int
    is_left: Annotated[bool, Field(description="There is more: ask again.")]


class HistoryEntry(BaseModel):
    """One move of a tag."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 7,
                "digest": _DIGEST,
                "action": "set",
                "actor": "alice",
                "time": "2026-01-02T03:04:05Z",
                "whereabouts": "here",
            }
        }
    )

    id: int
    digest: Annotated[str, Field(description="What the tag named from then on, or until it was deleted.")]
    action: Annotated[
        str, Field(description="set, deleted, restored, or aside: could have been restored, but the name was taken.")
    ]
    actor: str
    time: datetime
    whereabouts: Annotated[str, Field(description="Where the manifest is now: here, trash or gone.")]

    @classmethod
    def of(cls, shown: ShownMove) -> HistoryEntry:
        """Return what is shown of a move."""
        move = shown.move
        return cls(
            id=move.id,
            digest=move.digest,
            action=move.action,
            actor=move.actor,
            time=moment(move.at),
            whereabouts=shown.whereabouts,
        )


class PutBackRequest(BaseModel):
    """What a tag is to name again: a digest, what it named at a time, or else what it named before."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"digest": _DIGEST}})

    digest: Annotated[str | None, Field(max_length=255)] = None
    at: datetime | None = None


def name_of(entry: TrashEntry) -> RepositoryName | None:
    """Return the name of an entry's repository."""
    return None if entry.repository is None else RepositoryName(entry.repository)
