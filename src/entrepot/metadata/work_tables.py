"""The tables of work in progress: upload sessions, leases, browser sessions and sign-ins.

They may be lost without harm to what was acknowledged, so they are written with less syncing: on SQLite into a file of
their own, on PostgreSQL into a schema whose tables a crash or a failover empties, but for those in `LOGGED`.

Programs of several versions may use them at a time: whoever changes something below adds a table or an index, or a
column that is nullable or has a default, which `work_shape` adds where it is missing. Anything else is a new table,
under a new name.
"""

from typing import Final

from sqlalchemy import Index, MetaData, text

from entrepot.metadata.columns import NAMES, key, keyed, number, words

#: What a new file is marked with. It stays: released programs empty a file whose mark is not their own.
WORK_VERSION: Final = 7
#: A file with an older mark has tables of another meaning, and is built anew.
OLDEST_WORK_VERSION: Final = 6

#: Where the tables are on PostgreSQL.
SCHEMA: Final = "work"
#: Those that PostgreSQL keeps through a failover: without its row an object store's upload is a stray that costs money,
#: and without a lease two would do one thing at a time.
LOGGED: Final = frozenset({"upload_sessions", "leases"})

work_metadata: Final = MetaData(naming_convention=NAMES, schema=SCHEMA)

_OF_ADDRESS: Final = text("counted_for <> principal")

#: An upload's offset is the length of its file. `hashed_digest` is the digest of its first `hashed_offset` bytes.
#: `counted_for` is whose bound it counts against: an account, or the address of somebody without one.
#: `store_state` is what an object store has to know of it: key, multipart upload and parts, in the store's own words.
upload_sessions: Final = keyed(
    "upload_sessions",
    work_metadata,
    key("id"),
    words("repository"),
    words("principal"),
    words("state"),
    words("algorithm"),
    number("hashed_offset", default=0),
    words("hashed_digest", null=True),
    number("started_at"),
    number("updated_at"),
    words("counted_for", null=True),
    words("store_state", null=True),
    Index(None, "updated_at"),
    Index(None, "principal", "updated_at"),
    Index(None, "counted_for", "updated_at"),
    Index("ix_upload_sessions_of_addresses", "updated_at", sqlite_where=_OF_ADDRESS, postgresql_where=_OF_ADDRESS),
)

#: Who does a job that only one process may do at a time.
leases: Final = keyed("leases", work_metadata, key("name"), words("holder"), number("expires_at"))

#: Who is signed in with a browser; the cookie's hash is the key. `provider_session` and `csrf` are of the session.
web_sessions: Final = keyed(
    "web_sessions",
    work_metadata,
    key("hash"),
    number("principal_id"),
    number("epoch"),
    words("csrf"),
    words("provider"),
    words("provider_session", null=True),
    words("address"),
    words("agent"),
    number("created_at"),
    number("seen_at"),
    Index(None, "principal_id"),
    Index(None, "seen_at"),
    Index(None, "provider", "provider_session"),
)

#: Failed sign-ins by account and network (see `access.passwords.throttle`), for all workers together.
failed_sign_ins: Final = keyed(
    "failed_sign_ins",
    work_metadata,
    key("account"),
    key("network"),
    number("count"),
    number("last_at"),
    Index(None, "last_at"),
)

#: People whom a provider vouched for and who have not chosen a name here yet. `payload` is sealed.
strangers: Final = keyed(
    "strangers",
    work_metadata,
    key("ticket_hash"),
    words("payload"),
    number("expires_at"),
    Index(None, "expires_at"),
)

#: From which networks an account has signed in, so that others' failures do not lock its owner out there.
sign_in_places: Final = keyed(
    "sign_in_places",
    work_metadata,
    key("account"),
    key("network"),
    number("last_at"),
    Index(None, "last_at"),
)

#: Requests within a span of time that ends at `ends_at`, by what is limited (see `access.limits.rates`).
request_counts: Final = keyed(
    "request_counts",
    work_metadata,
    key("name"),
    number("count"),
    number("ends_at"),
    Index(None, "ends_at"),
)

#: What came of passwords tried a moment ago (`access.passwords.password_cache`): `mark` and `state` are keyed hashes.
password_verdicts: Final = keyed(
    "password_verdicts",
    work_metadata,
    key("mark"),
    number("right"),
    words("state"),
    number("expires_at"),
    Index(None, "expires_at"),
)

#: What security keys have been asked to sign, by its hash: good once, for one account as it was then (`epoch`), where
#: it was asked (`place`), and for one purpose.
challenges: Final = keyed(
    "challenges",
    work_metadata,
    key("hash"),
    words("purpose"),
    number("principal_id"),
    number("epoch"),
    words("place"),
    number("expires_at"),
    Index(None, "principal_id", "expires_at"),
    Index(None, "expires_at"),
)

#: Which nodes there are: each a `serve` (see `metadata.nodes`). `figures` is JSON. `drained` is what people said of it,
#: `trouble` what keeps it from serving.
nodes: Final = keyed(
    "nodes",
    work_metadata,
    key("name"),
    words("instance"),
    words("role"),
    words("version"),
    words("address"),
    words("figures"),
    number("started_at"),
    number("seen_at"),
    number("stopping", default=0),
    number("drained", default=0),
    words("trouble", null=True),
)
