"""Projects, repositories and what is in them: manifests, blobs, tags, labels, and what waits for a collector."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint, text

from entrepot.metadata.columns import BYTES, TEXT, WHOLE, key, keyed, number, numbered, owned, refers, words
from entrepot.metadata.tables.base import metadata

projects: Final = numbered(
    "projects",
    metadata,
    words("name"),
    number("public", default=0),
    number("created_at"),
    number("internal", default=0),
    number("owner_id", null=True),
    number("updated_at", default=0),
    UniqueConstraint("name"),
    Index(None, "public", "name"),
    Index(None, "internal", "name"),
)

#: What a project is set to, by Harbor's names for it; who may read it stands in `projects`.
project_metadata: Final = keyed(
    "project_metadata", metadata, owned("project_id", "projects.id", primary_key=True), key("key"), words("value")
)

#: `name` is as written, `sort_key` the same with "/" lowest, for the catalog. `adopted` is 0 while the repository
#: is known from registry:2's folder by name alone. `pull_count` is added to now and then, as `manifest_pulls` is;
#: `artifact_count` counts the rows of `artifacts`, by triggers. A
#: repository whose name begins with "~" is in the trash, or holds what is (see `metadata.trash_namespaces`).
repositories: Final = numbered(
    "repositories",
    metadata,
    refers("project_id", "projects.id"),
    words("name"),
    words("sort_key"),
    number("adopted", default=1),
    number("created_at"),
    words("description", null=True),
    number("updated_at", default=0),
    number("pull_count", default=0),
    number("artifact_count", default=0),
    UniqueConstraint("name"),
    UniqueConstraint("sort_key"),
    Index(None, "project_id", "sort_key"),
    Index(None, "adopted", "name"),
)

#: `state` is live, marked, deleting or missing (see `blobs`); each step is a compare-and-set.
#: `inode` and `mtime_ns` say which file was verified, at `verified_at`; in an object store `etag` says which object.
blobs: Final = numbered(
    "blobs",
    metadata,
    words("digest"),
    number("size"),
    words("storage_key"),
    Column("state", TEXT, nullable=False, server_default=text("'live'")),
    number("generation", default=0),
    number("created_at"),
    number("review_after", null=True),
    number("inode", null=True),
    number("mtime_ns", null=True),
    words("etag", null=True),
    number("verified_at", null=True),
    UniqueConstraint("digest"),
    Index(
        "ix_blobs_aliases",
        "storage_key",
        sqlite_where=text("storage_key <> digest"),
        postgresql_where=text("storage_key <> digest"),
    ),
)

#: Which repository has which blob: pushed there, mounted there or named by a manifest there. `lapses_at` is set when no
#: manifest of the repository refers to the blob any more: it is read there until then, and a push that was told of it
#: may still use it.
repository_blobs: Final = keyed(
    "repository_blobs",
    metadata,
    owned("repository_id", "repositories.id", primary_key=True),
    refers("blob_id", "blobs.id", primary_key=True),
    number("created_at"),
    number("lapses_at", null=True),
    Index(None, "blob_id"),
    Index(
        "ix_repository_blobs_lapsing",
        "lapses_at",
        sqlite_where=text("lapses_at IS NOT NULL"),
        postgresql_where=text("lapses_at IS NOT NULL"),
    ),
)

#: How many manifests of a project use a blob; a quota counts each blob of the project once.
project_blobs: Final = keyed(
    "project_blobs",
    metadata,
    owned("project_id", "projects.id", primary_key=True),
    refers("blob_id", "blobs.id", primary_key=True),
    number("references"),
    Index(None, "blob_id"),
)

#: The exact bytes, shared by all repositories; a manifest row may follow only after its contents.
manifest_contents: Final = Table(
    "manifest_contents", metadata, key("digest"), Column("content", BYTES, nullable=False), sqlite_strict=True
)

#: A manifest in a repository. The media type belongs to the pair, as pushed. `created_at` is when it was last pushed:
#: pushed again, it is as young as on its first day. `review_after` is set when an index that
#: listed it, or its subject, has gone: a collection may take it after that time.
manifests: Final = numbered(
    "manifests",
    metadata,
    owned("repository_id", "repositories.id"),
    refers("digest", "manifest_contents.digest", kind=TEXT),
    words("media_type"),
    words("artifact_type", null=True),
    number("size"),
    words("subject", null=True),
    words("annotations", null=True),
    number("created_at"),
    number("review_after", null=True),
    UniqueConstraint("repository_id", "digest"),
    Index(
        "ix_manifests_referrers",
        "repository_id",
        "subject",
        "digest",
        sqlite_where=text("subject IS NOT NULL"),
        postgresql_where=text("subject IS NOT NULL"),
    ),
    Index(None, "digest"),
    Index(None, "repository_id", "id"),
)

#: The manifests that stand for themselves in lists, kept by triggers (see `migrations.kept_sums`).
artifacts: Final = keyed(
    "artifacts",
    metadata,
    owned("manifest_id", "manifests.id", primary_key=True),
    number("repository_id"),
    Index(None, "repository_id", "manifest_id"),
)

#: How often a manifest was pulled, and when last: counted in memory and written now and then.
manifest_pulls: Final = keyed(
    "manifest_pulls",
    metadata,
    owned("manifest_id", "manifests.id", primary_key=True),
    number("count"),
    number("last_at"),
)

#: Names and colours that people put on artifacts; of one project, or of all where `project_id` is empty.
labels: Final = numbered(
    "labels",
    metadata,
    Column("project_id", WHOLE, ForeignKey("projects.id", ondelete="CASCADE")),
    words("name"),
    words("description"),
    words("color"),
    number("created_at"),
    number("updated_at"),
    Index(None, "project_id", "name"),
)

manifest_labels: Final = keyed(
    "manifest_labels",
    metadata,
    owned("manifest_id", "manifests.id", primary_key=True),
    owned("label_id", "labels.id", primary_key=True),
    Index(None, "label_id"),
)

#: The blobs that a manifest names, in its order; `role` is config or layer. `repository_id` is the manifest's, so that
#: whether a repository still needs a blob is one look, however many others need it.
manifest_blobs: Final = keyed(
    "manifest_blobs",
    metadata,
    owned("manifest_id", "manifests.id", primary_key=True),
    key("position", WHOLE),
    refers("blob_id", "blobs.id"),
    words("role"),
    number("repository_id", default=0),
    Index(None, "blob_id", "repository_id"),
)

#: The entries of an index; `child_id` is empty while the entry is not in the repository.
manifest_children: Final = keyed(
    "manifest_children",
    metadata,
    owned("parent_id", "manifests.id", primary_key=True),
    key("position", WHOLE),
    words("digest"),
    Column("child_id", WHOLE, ForeignKey("manifests.id", ondelete="SET NULL")),
    Index(None, "child_id"),
    Index(None, "digest"),
)

tags: Final = numbered(
    "tags",
    metadata,
    owned("repository_id", "repositories.id"),
    words("name"),
    refers("manifest_id", "manifests.id"),
    number("created_at"),
    number("updated_at"),
    UniqueConstraint("repository_id", "name"),
    Index(None, "manifest_id"),
)

#: Every move of a tag; `action` is set or deleted, and `digest` what the tag named afterwards or before it went.
tag_history: Final = numbered(
    "tag_history",
    metadata,
    owned("repository_id", "repositories.id"),
    words("name"),
    words("digest"),
    words("action"),
    words("actor"),
    number("at"),
    Index(None, "repository_id", "name", "id"),
)

#: What a collection has to look at, not before `review_after`. `kind` says of which table `subject_id` is; a file of
#: the store, which has no row, is named by its digest.
review_queue: Final = numbered(
    "review_queue",
    metadata,
    words("kind"),
    number("subject_id"),
    number("review_after"),
    words("reason"),
    words("digest", null=True),
    Index(None, "review_after"),
    Index(
        "ix_review_queue_files",
        "digest",
        sqlite_where=text("digest IS NOT NULL"),
        postgresql_where=text("digest IS NOT NULL"),
    ),
)
