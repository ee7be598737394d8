"""Who signs in, with what, and what they may do."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint, text

from entrepot.metadata.columns import WHOLE, key, keyed, number, numbered, owned, words
from entrepot.metadata.tables.base import metadata

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
    Index(
        "ix_robots_trusting",
        "principal_id",
        sqlite_where=text("trust IS NOT NULL"),
        postgresql_where=text("trust IS NOT NULL"),
    ),
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

#: Security keys and passkeys (WebAuthn), each the owner's second factor. `credential` is the key's own name for itself,
#: `public_key` what it signs with (COSE), both in base64url; `host` is the one that it signs for.
security_keys: Final = numbered(
    "security_keys",
    metadata,
    owned("principal_id", "principals.id"),
    words("name"),
    words("credential"),
    words("public_key"),
    words("host"),
    number("sign_count"),
    words("aaguid"),
    words("transports"),
    number("backed_up", default=0),
    number("created_at"),
    number("last_used_at", null=True),
    UniqueConstraint("credential"),
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
