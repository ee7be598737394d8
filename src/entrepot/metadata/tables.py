"""The tables of the truth: projects, repositories, manifests, blobs, tags, rights and what is to be done.

The first migration builds the same tables; a test compares both on each database. A later change is a migration
and a change here. There are no CHECK constraints and no enumerations: SQLite could change them only by copying
the table.

Deleting a repository takes its manifests, tags and links with it; a manifest takes its contents' links. Nothing
takes a blob with it: a blob's row goes only when no row refers to it any more.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, UniqueConstraint, text

from entrepot.metadata.columns import BYTES, NAMES, TEXT, WHOLE, key, keyed, number, numbered, owned, refers, words

metadata: Final = MetaData(naming_convention=NAMES)

#: One row. A program may read when its own version is at least `min_reader`, and write from `min_writer` on.
schema: Final = Table(
    "schema", metadata, key("version", WHOLE), number("min_reader"), number("min_writer"), sqlite_strict=True
)

settings: Final = keyed("settings", metadata, key("key"), words("value"))

projects: Final = numbered(
    "projects",
    metadata,
    words("name"),
    number("public", default=0),
    number("created_at"),
    UniqueConstraint("name"),
    Index(None, "public", "name"),
)

#: `name` is as written, `sort_key` the same with "/" lowest, for the catalog. `adopted` is 0 while the repository
#: is known from registry:2's folder by name alone.
repositories: Final = numbered(
    "repositories",
    metadata,
    refers("project_id", "projects.id"),
    words("name"),
    words("sort_key"),
    number("adopted", default=1),
    number("created_at"),
    UniqueConstraint("name"),
    UniqueConstraint("sort_key"),
    Index(None, "project_id", "sort_key"),
    Index(None, "adopted", "name"),
)

#: `state` is live, marked, deleting or missing (see `blobs`); each step is a compare-and-set.
#: `inode` and `mtime_ns` say which file was verified, at `verified_at`.
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
    number("verified_at", null=True),
    UniqueConstraint("digest"),
)

#: Which repository has which blob: pushed there, mounted there or named by a manifest there.
repository_blobs: Final = keyed(
    "repository_blobs",
    metadata,
    owned("repository_id", "repositories.id", primary_key=True),
    refers("blob_id", "blobs.id", primary_key=True),
    number("created_at"),
    Index(None, "blob_id"),
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

#: A manifest in a repository. The media type belongs to the pair, as pushed.
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
)

#: The blobs that a manifest names, in its order; `role` is config or layer.
manifest_blobs: Final = keyed(
    "manifest_blobs",
    metadata,
    owned("manifest_id", "manifests.id", primary_key=True),
    key("position", WHOLE),
    refers("blob_id", "blobs.id"),
    words("role"),
    Index(None, "blob_id"),
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

#: What a collection has to look at, not before `review_after`; `kind` says which table `subject_id` is of.
review_queue: Final = numbered(
    "review_queue",
    metadata,
    words("kind"),
    number("subject_id"),
    number("review_after"),
    words("reason"),
    Index(None, "review_after"),
)

#: Work that the job worker starts because a transaction committed; `payload` is JSON.
outbox: Final = numbered("outbox", metadata, words("topic"), words("payload"), number("created_at"))

#: What happened, for people and webhooks. Names and not ids: an event outlives what it tells of.
events: Final = numbered(
    "events",
    metadata,
    words("kind"),
    words("repository", null=True),
    words("digest", null=True),
    words("tag", null=True),
    words("actor"),
    number("at"),
    words("detail", null=True),
)

#: Who may sign in. `secret` is a password hash; `epoch` grows with every change that must end remembered verdicts.
principals: Final = numbered(
    "principals",
    metadata,
    words("kind"),
    words("name"),
    words("secret", null=True),
    number("epoch", default=0),
    number("disabled", default=0),
    number("created_at"),
    number("updated_at"),
    UniqueConstraint("kind", "name"),
)

#: Who may do what: either one principal, or an `audience` (anyone, authenticated). `origin` says where it came from.
grants: Final = numbered(
    "grants",
    metadata,
    Column("principal_id", WHOLE, ForeignKey("principals.id", ondelete="CASCADE")),
    words("audience", null=True),
    words("resource"),
    words("actions"),
    words("origin"),
    number("created_at"),
    Index(None, "principal_id"),
)

refresh_tokens: Final = keyed(
    "refresh_tokens",
    metadata,
    key("token_hash"),
    Column("principal_id", WHOLE, ForeignKey("principals.id", ondelete="CASCADE")),
    words("subject"),
    words("service"),
    words("scopes"),
    number("created_at"),
    number("expires_at"),
    Index(None, "principal_id"),
    Index(None, "expires_at"),
)
