"""What registries of each released version hold: their tables as the migrations made them, filled with rows of then.

A new version gets a function here when it is released; none is ever changed after that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.query import RawQuery
from tests.migrations import released_3
from tests.support.manifests import digest_of, entry, image, index

CONFIG = b"{}"
LAYERS = (b"first layer", b"second layer")
IMAGES = tuple(image(CONFIG, layer) for layer in LAYERS)
INDEX = index(*(entry(body) for body in IMAGES))
SIGNATURE = image(CONFIG, subject=entry(IMAGES[0]))
#: Manifests by the order of their rows; blobs likewise.
MANIFESTS = (*IMAGES, INDEX, SIGNATURE)
BLOBS = (CONFIG, *LAYERS)
#: Tags of team/app, and the rows of what they name.
TAGS = {"v1": 1, "v2": 2, "latest": 2, "all": 3}
#: Fills a database of its version.
Fill = Callable[[Database], Awaitable[None]]


async def version_1(database: Database) -> None:
    """A registry with an admin, a project, four manifests, tags with history, and something left to be done."""
    await _run(database, _contents(database.dialect))
    await _run(database, _VERSION_1)


async def version_2(database: Database) -> None:
    """The same with people, groups, robots, keys, roles, labels, pulls and a sealed audit log."""
    await _run(database, _contents(database.dialect))
    await _run(database, [statement for statement in _VERSION_1 if "INTO grants" not in statement])
    await _run(database, _VERSION_2)


async def version_3(database: Database) -> None:
    """The same with jobs, trash, retention, quotas, usage and what was found about it."""
    await version_2(database)
    await _run(database, released_3.statements(database.dialect))


async def version_4(database: Database) -> None:
    """The same with a security key."""
    await version_3(database)
    await _run(database, _VERSION_4)


VERSIONS: Mapping[int, Fill] = {1: version_1, 2: version_2, 3: version_3, 4: version_4}


async def _run(database: Database, statements: list[str]) -> None:
    async def work(tx: Transaction) -> None:
        for statement in statements:
            await tx.execute(RawQuery(statement))

    await database.write(work)


def _contents(dialect: str) -> list[str]:
    """Write what is in repositories: `team/app` has everything, `library/copy` the first image."""
    found = [
        "INSERT INTO projects (name, public, created_at) VALUES ('team', 1, 12), ('library', 0, 13)",
        (
            "INSERT INTO repositories (project_id, name, sort_key, adopted, created_at) VALUES "
            "(1, 'team/app', 'team\x01app', 1, 14), (2, 'copy', 'copy', 1, 15), (2, 'waiting', 'waiting', 0, 16)"
        ),
    ]
    for number, content in enumerate(BLOBS):
        digest = digest_of(content)
        found.append(
            "INSERT INTO blobs (digest, size, storage_key, state, generation, created_at, inode, mtime_ns, "
            f"verified_at) VALUES ('{digest}', {len(content)}, '{digest}', 'live', 1, 20, {100 + number}, 7, 8)"
        )
    loose = digest_of(b"loose")
    found.append(
        "INSERT INTO blobs (digest, size, storage_key, state, generation, created_at, review_after, verified_at) "
        f"VALUES ('{loose}', 5, '{loose}', 'live', 2, 30, 31, 32)"
    )
    links = ", ".join(
        f"({repository}, {blob}, 33)" for repository, blob in ((1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2))
    )
    found.append(f"INSERT INTO repository_blobs (repository_id, blob_id, created_at) VALUES {links}")
    for content in MANIFESTS:
        binary = f"X'{content.hex()}'" if dialect == "sqlite" else f"'\\x{content.hex()}'"
        found.append(f"INSERT INTO manifest_contents (digest, content) VALUES ('{digest_of(content)}', {binary})")
    for number, content in enumerate((*MANIFESTS, IMAGES[0])):
        kind = f"application/vnd.oci.image.{'index' if content is INDEX else 'manifest'}.v1+json"
        subject = f"'{digest_of(IMAGES[0])}'" if content is SIGNATURE else "NULL"
        repository = 1 if number < len(MANIFESTS) else 2
        found.append(
            "INSERT INTO manifests (repository_id, digest, media_type, size, subject, created_at) VALUES "
            f"({repository}, '{digest_of(content)}', '{kind}', {len(content)}, {subject}, 40)"
        )
    return found + _REFERENCES


_REFERENCES = [
    (
        "INSERT INTO manifest_blobs (manifest_id, position, blob_id, role) VALUES (1, 0, 1, 'config'), "
        "(1, 1, 2, 'layer'), (2, 0, 1, 'config'), (2, 1, 3, 'layer'), (4, 0, 1, 'config'), (5, 0, 1, 'config'), "
        "(5, 1, 2, 'layer')"
    ),
    (
        "INSERT INTO manifest_children (parent_id, position, digest, child_id) VALUES "
        f"(3, 0, '{digest_of(IMAGES[0])}', 1), (3, 1, '{digest_of(IMAGES[1])}', 2)"
    ),
    (
        'INSERT INTO project_blobs (project_id, blob_id, "references") VALUES (1, 1, 3), (1, 2, 1), (1, 3, 1), '
        "(2, 1, 1), (2, 2, 1)"
    ),
    *(
        "INSERT INTO tags (repository_id, name, manifest_id, created_at, updated_at) "
        f"VALUES (1, '{name}', {row}, 50, 51)"
        for name, row in TAGS.items()
    ),
    "INSERT INTO tags (repository_id, name, manifest_id, created_at, updated_at) VALUES (2, 'v1', 5, 52, 53)",
    (
        "INSERT INTO tag_history (repository_id, name, digest, action, actor, at) VALUES "
        f"(1, 'latest', '{digest_of(IMAGES[0])}', 'set', 'admin', 54), "
        f"(1, 'latest', '{digest_of(IMAGES[1])}', 'set', 'admin', 55)"
    ),
    "INSERT INTO review_queue (kind, subject_id, review_after, reason) VALUES ('blob', 4, 31, 'blob committed')",
    (
        "INSERT INTO outbox (topic, payload, created_at) VALUES ('manifest.put', "
        f'\'{{"repository": "team/app", "digest": "{digest_of(IMAGES[0])}", "tags": ["v1"]}}\', 60)'
    ),
]
_VERSION_1 = [
    (
        "INSERT INTO principals (kind, name, secret, epoch, disabled, created_at, updated_at) "
        "VALUES ('user', 'admin', 'hash', 3, 0, 10, 20)"
    ),
    (
        "INSERT INTO grants (principal_id, resource, actions, origin, created_at) "
        "VALUES (1, '*', '*', 'first-start', 10)"
    ),
    "INSERT INTO settings (key, value) VALUES ('adoption', 'complete'), ('registry2-compat', 'authenticated')",
    "INSERT INTO events (kind, repository, tag, actor, at) VALUES ('push', 'team/app', 'v1', 'admin', 13)",
    (
        "INSERT INTO refresh_tokens (token_hash, principal_id, subject, service, scopes, created_at, expires_at) "
        "VALUES ('h', 1, 'admin', 'entrepot', '', 10, 99)"
    ),
]
_VERSION_2 = [
    (
        "INSERT INTO principals (kind, name, secret, epoch, disabled, created_at, updated_at, expires_at) VALUES "
        "('user', 'alice', 'hash2', 0, 0, 70, 71, NULL), ('group', 'developers', NULL, 1, 0, 72, 73, NULL), "
        "('robot', 'team+ci', 'hash3', 2, 0, 74, 75, 76)"
    ),
    (
        "INSERT INTO users (principal_id, email, realname, comment, provider, subject, totp, must_change, password_at) "
        "VALUES (1, NULL, '', '', 'local', NULL, NULL, 0, 77), "
        "(2, 'alice@example.test', 'Alice', 'of the team', 'oidc', 'sub-1', 'sealed:1:1:x', 1, 78)"
    ),
    "INSERT INTO groups (principal_id, provider, subject) VALUES (3, 'ldap', 'cn=developers')",
    "INSERT INTO memberships (principal_id, group_id) VALUES (2, 3)",
    (
        "INSERT INTO robots (principal_id, project_id, description, duration, creator, trust) "
        "VALUES (4, 1, 'builds', 30, 'alice', NULL)"
    ),
    (
        "INSERT INTO api_keys (principal_id, name, hash, hint, limits, created_at, expires_at, last_used_at) "
        "VALUES (2, 'laptop', 'hash4', 'ent_...', NULL, 79, 80, 81)"
    ),
    "INSERT INTO one_time_links (hash, principal_id, purpose, expires_at) VALUES ('hash5', 2, 'password', 82)",
    "INSERT INTO data_keys (wrapped, wrapped_by, created_at) VALUES ('w', 'm', 83)",
    "INSERT INTO sync_runs (provider, dry_run, started_at, finished_at, report) VALUES ('ldap', 0, 84, 85, '{}')",
    (
        "INSERT INTO roles (id, name, description, permissions, built_in, created_at, updated_at) "
        "VALUES (1000, 'reader', 'reads', 'repository:pull', 0, 86, 87)"
    ),
    (
        "INSERT INTO grants (principal_id, audience, role_id, permissions, project_id, repositories, tags, origin, "
        "created_at) VALUES (1, NULL, 100, NULL, NULL, NULL, NULL, 'first-start', 10), "
        "(3, NULL, 1000, NULL, 1, 'app*', NULL, 'api', 88), (NULL, 'anyone', NULL, 'repository:pull', 1, NULL, NULL, "
        "'visibility', 89)"
    ),
    "INSERT INTO project_metadata (project_id, key, value) VALUES (1, 'public', 'true')",
    "INSERT INTO manifest_pulls (manifest_id, count, last_at) VALUES (1, 17, 90)",
    (
        "INSERT INTO labels (project_id, name, description, color, created_at, updated_at) "
        "VALUES (1, 'stable', 'may be used', '#00ff00', 91, 92)"
    ),
    "INSERT INTO manifest_labels (manifest_id, label_id) VALUES (1, 1)",
    (
        "INSERT INTO events (kind, repository, digest, tag, actor, at, project, subject, address, credential, request, "
        f"result, count, sequence, seal) VALUES ('push', 'team/app', '{digest_of(IMAGES[0])}', 'v1', 'alice', 93, "
        "'team', NULL, '192.0.2.7', 'key:1', 'r1', 'success', 1, 1, 'seal')"
    ),
]
_VERSION_4 = [
    (
        "INSERT INTO security_keys (principal_id, name, credential, public_key, host, sign_count, aaguid, transports, "
        "backed_up, created_at, last_used_at) VALUES (2, 'yubikey', 'c', 'p', 'registry.example.test', 3, 'a', 'usb', "
        "0, 130, 131)"
    ),
]
