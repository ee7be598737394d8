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
#: is known from registry:2's folder by name alone. `pull_count` is added to now and then, as `manifest_pulls` is.
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
    Index(None, "repository_id", "id"),
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

#: What happened, for people, the audit log and webhooks. Names and not ids: an event outlives what it tells of.
#: `subject` is what it was done to where that is no repository (`user:alice`, `project:demo`); `credential` says what
#: signed in, `request` which request it was; `count` is above 1 where one row stands for several sign-ins. `sequence`
#: and `seal` chain the row to the one sealed before it; a row without them waits for the sealer.
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
    words("project", null=True),
    words("subject", null=True),
    words("address", null=True),
    words("credential", null=True),
    words("request", null=True),
    words("result", null=True),
    number("count", default=1),
    number("sequence", null=True),
    words("seal", null=True),
    Index(None, "sequence", unique=True),
    Index(None, "project", "id"),
    Index(None, "actor", "id"),
    Index(
        "ix_events_unsealed",
        "id",
        sqlite_where=text("seal IS NULL"),
        postgresql_where=text("seal IS NULL"),
    ),
)

#: Who may sign in, and groups of these; `kind` is user, robot or group. `secret` is a password hash; `epoch` grows with
#: every change that must end remembered verdicts.
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
    number("expires_at", null=True),
    UniqueConstraint("kind", "name"),
)

#: What is known of a person. `provider` is `local`, `ldap` or `oidc:NAME`; `subject` its name for them. `totp` and
#: `recovery` are sealed by the vault. `must_change` is 1 while the password is one that somebody else made.
users: Final = keyed(
    "users",
    metadata,
    owned("principal_id", "principals.id", primary_key=True),
    words("email", null=True),
    words("realname"),
    words("comment"),
    words("provider"),
    words("subject", null=True),
    words("totp", null=True),
    words("recovery", null=True),
    number("must_change", default=0),
    number("password_at", null=True),
    number("checked_at", null=True),
    words("refresh", null=True),
    Index(None, "provider", "subject", unique=True),
    Index(None, "provider", "checked_at"),
    Index(None, "email"),
)

#: `provider` is `local`, `ldap` or `oidc:NAME`, `subject` its name for the group (a DN, a claim's value).
groups: Final = keyed(
    "groups",
    metadata,
    owned("principal_id", "principals.id", primary_key=True),
    words("provider"),
    words("subject", null=True),
    Index(None, "provider", "subject", unique=True),
)

memberships: Final = keyed(
    "memberships",
    metadata,
    owned("principal_id", "principals.id", primary_key=True),
    owned("group_id", "principals.id", primary_key=True),
    Index(None, "group_id"),
)

#: `project_id` is empty for a robot of the registry as a whole. `trust` (JSON) says which outside tokens speak for it.
robots: Final = keyed(
    "robots",
    metadata,
    owned("principal_id", "principals.id", primary_key=True),
    Column("project_id", WHOLE, ForeignKey("projects.id", ondelete="CASCADE")),
    words("description"),
    number("duration"),
    words("creator"),
    words("trust", null=True),
    Index(None, "project_id"),
)

#: Random keys, each the principal's second password; `limits` (JSON) is all that one may be used for.
api_keys: Final = numbered(
    "api_keys",
    metadata,
    owned("principal_id", "principals.id"),
    words("name"),
    words("hash"),
    words("hint"),
    words("limits", null=True),
    number("created_at"),
    number("expires_at", null=True),
    number("last_used_at", null=True),
    UniqueConstraint("hash"),
    UniqueConstraint("principal_id", "name"),
)

#: Links that an administrator hands out, good once: `purpose` is what for.
one_time_links: Final = keyed(
    "one_time_links",
    metadata,
    key("hash"),
    owned("principal_id", "principals.id"),
    words("purpose"),
    number("expires_at"),
    Index(None, "principal_id"),
)

#: `permissions` is a list of `resource:action`, separated by commas.
roles: Final = numbered(
    "roles",
    metadata,
    words("name"),
    words("description"),
    words("permissions"),
    number("built_in", default=0),
    number("created_at"),
    number("updated_at"),
    UniqueConstraint("name"),
)

#: Who may do what: one principal, one group or an `audience` (anyone, authenticated) has a role, or `permissions` given
#: one by one, on everything or on what `project_id`, `repositories` and `tags` (patterns) leave of it. `origin` says
#: where it came from.
grants: Final = numbered(
    "grants",
    metadata,
    Column("principal_id", WHOLE, ForeignKey("principals.id", ondelete="CASCADE")),
    words("audience", null=True),
    Column("role_id", WHOLE, ForeignKey("roles.id")),
    words("permissions", null=True),
    Column("project_id", WHOLE, ForeignKey("projects.id", ondelete="CASCADE")),
    words("repositories", null=True),
    words("tags", null=True),
    number("expires_at", null=True),
    words("origin"),
    number("created_at"),
    Index(None, "principal_id", "project_id"),
    Index(None, "project_id"),
    Index(None, "role_id"),
    Index(
        "ix_grants_audience",
        "audience",
        sqlite_where=text("audience IS NOT NULL"),
        postgresql_where=text("audience IS NOT NULL"),
    ),
)

#: Keys that secrets at rest are sealed with, themselves sealed with the operator's key.
data_keys: Final = numbered("data_keys", metadata, words("wrapped"), words("wrapped_by"), number("created_at"))

#: What a synchronisation with a directory or provider did; `report` is JSON.
sync_runs: Final = numbered(
    "sync_runs",
    metadata,
    words("provider"),
    number("dry_run"),
    number("started_at"),
    number("finished_at", null=True),
    words("report", null=True),
    Index(None, "provider", "id"),
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
    number("key_id", null=True),
    Index(None, "principal_id"),
    Index(None, "expires_at"),
)
