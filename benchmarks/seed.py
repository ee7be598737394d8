"""Data in quantity, made without pushing: rows straight into the tables, files straight into registry:2's tree."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Insert, func, literal, select, union_all
from sqlalchemy.dialects import sqlite

from benchmarks.client import MANIFEST_TYPE, digest_of
from entrepot.adoption.state import prepare
from entrepot.adoption.tree import Tree
from entrepot.metadata import tables
from entrepot.metadata.opening import METADATA_NAME, open_embedded

_COPIED = (
    *(tables.projects, tables.project_usage, tables.repositories),
    *(tables.blobs, tables.repository_blobs, tables.project_blobs),
    *(tables.manifest_contents, tables.manifests, tables.manifest_blobs, tables.tags, tables.tag_history),
)
#: More rows than any table has before it is copied.
_APART = 10_000_000
_NUMBERS = frozenset({"id", "project_id", "repository_id", "blob_id", "manifest_id"})
_DIGESTS = frozenset({"digest", "storage_key"})
_ONE_MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": []}).encode()


def empty(folder: Path) -> Path:
    """Make an empty data folder of ours; return its metadata file."""

    async def create() -> None:
        stores = await open_embedded(folder / "entrepot")
        await prepare(stores.metadata, Tree(folder))
        await stores.close()

    asyncio.run(create())
    return folder / "entrepot" / METADATA_NAME


def insert_tags(folder: Path, count: int) -> None:
    """Fill `bench/tags` with tags of one manifest."""
    digest = digest_of(_ONE_MANIFEST)
    with _opened(empty(folder)) as database:
        database.execute("INSERT INTO projects(id, name, public, created_at) VALUES (1, 'bench', 0, 1)")
        _add_repository(database, 1, "bench/tags", digest)
        rows = ((1, f"tag-{number:07d}", 1, 1, 1) for number in range(count))
        database.executemany(
            "INSERT INTO tags(repository_id, name, manifest_id, created_at, updated_at) VALUES (?,?,?,?,?)", rows
        )


def insert_repositories(folder: Path, count: int) -> None:
    """Fill the catalog with repositories of one tagged image each."""
    digest = digest_of(_ONE_MANIFEST)
    with _opened(empty(folder)) as database:
        database.execute("INSERT INTO projects(id, name, public, created_at) VALUES (1, 'bench', 0, 1)")
        for number in range(1, count + 1):
            _add_repository(database, number, f"bench/r{number:07d}", digest)
            database.execute(
                "INSERT INTO tags(repository_id, name, manifest_id, created_at, updated_at) VALUES (?,'latest',?,1,1)",
                (number, number),
            )


def insert_events(folder: Path, count: int) -> None:
    """Fill the audit log with pushes, sealed as it were: nobody verifies them."""
    with _opened(empty(folder)) as database:
        database.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            "INSERT INTO events(id, kind, project, repository, tag, actor, address, credential, result, count, at, "
            "sequence, seal) SELECT n, 'push', 'p' || n % 100, 'p' || n % 100 || '/app', 'v' || n, 'user' || n % 1000, "
            "'192.0.2.7', 'password', 'success', 1, n * 1000000, n, 'x' FROM numbers",
            (count,),
        )
        head = json.dumps({"seal": "x", "sequence": count})
        database.execute("INSERT INTO settings(key, value) VALUES ('audit.head', ?)", (head,))


def multiply(folder: Path, times: int) -> None:
    """Let an adopted folder hold so many times as much as far as the database knows; the copies have no files."""
    numbers = [select(literal(number).label("number")) for number in range(1, times)]
    if not numbers:
        return
    number = union_all(*numbers).subquery("copies").c.number
    with _opened(folder / "entrepot" / METADATA_NAME) as database:
        for table in _COPIED:
            # How many artifacts a repository has is counted as they come.
            columns = [column for column in table.columns if column is not tables.repositories.c.artifact_count]
            rows = (
                select(*(_copied(column, number) for column in columns))
                .select_from(table)
                .join(number.table, literal(value=True))
            )
            database.execute(_text(table.insert().from_select([column.name for column in columns], rows)))


def _copied(column: Column[Any], number: ColumnElement[int]) -> ColumnElement[Any]:
    """Say what a column has in a copy: rows and digests are others, and so are the names of projects."""
    if column.name in _NUMBERS:
        return column + number * _APART
    if column.name in _DIGESTS:
        return func.printf("%s%08x%s", func.substr(column, 1, 7), number, func.substr(column, 16))
    if column is tables.projects.c.name:
        return func.printf("%sx%d", column, number)
    if column is tables.repositories.c.name:
        return func.replace(column, "/", func.printf("x%d/", number))
    if column is tables.repositories.c.sort_key:
        return func.replace(column, "\x01", func.printf("x%d\x01", number))
    return column


def _text(statement: Insert) -> str:
    return str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        yield database


def _add_repository(database: sqlite3.Connection, number: int, name: str, digest: str) -> None:
    """Add a repository with one manifest; both get `number` as their row id."""
    database.execute("INSERT OR IGNORE INTO manifest_contents(digest, content) VALUES (?,?)", (digest, _ONE_MANIFEST))
    database.execute(
        "INSERT INTO repositories(id, project_id, name, sort_key, adopted, created_at) VALUES (?,1,?,?,1,1)",
        (number, name, name.replace("/", "\x01")),
    )
    database.execute(
        "INSERT INTO manifests(id, repository_id, digest, media_type, size, created_at) VALUES (?,?,?,?,?,1)",
        (number, number, digest, MANIFEST_TYPE, len(_ONE_MANIFEST)),
    )


def write_registry2_tree(folder: Path, *, repositories: int, tags: int) -> int:
    """Write a tree as registry:2 would have: each tag its own image of a config and a layer. Return the files."""
    root = folder / "docker/registry/v2"
    return sum(
        _write_image(root, f"team{repository % 20}/app{repository}", f"v{tag}")
        for repository in range(repositories)
        for tag in range(tags)
    )


def _write_image(root: Path, name: str, tag: str) -> int:
    config = json.dumps({"architecture": "amd64", "os": "linux", "name": name, "tag": tag}).encode()
    layer = f"layer of {name}:{tag}".encode() * 20
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _describe("application/vnd.oci.image.config.v1+json", config),
            "layers": [_describe("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    ).encode()
    files = list(_image_files(root, name, tag, config, layer, manifest))
    for path, content in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(files)


def _image_files(
    root: Path, name: str, tag: str, config: bytes, layer: bytes, manifest: bytes
) -> Iterator[tuple[Path, bytes]]:
    repository = root / "repositories" / name
    for content in (config, layer, manifest):
        encoded = hashlib.sha256(content).hexdigest()
        yield root / "blobs/sha256" / encoded[:2] / encoded / "data", content
    for content in (config, layer):
        yield _link(repository / "_layers", content), digest_of(content).encode()
    target = digest_of(manifest).encode()
    yield _link(repository / "_manifests/revisions", manifest), target
    yield _link(repository / "_manifests/tags" / tag / "index", manifest), target
    yield repository / "_manifests/tags" / tag / "current/link", target


def _link(folder: Path, content: bytes) -> Path:
    return folder / "sha256" / hashlib.sha256(content).hexdigest() / "link"


def _describe(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


#: Of all images of `insert_images`, those in the first repository.
_IN_FIRST = 0.3
_IMAGE = """
CREATE TEMP TABLE images AS
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
SELECT n, CASE WHEN n <= :first THEN 1 ELSE 2 + n % (:repositories - 1) END AS repository,
  printf('sha256:%064x', n) AS manifest, printf('sha256:%064x', n + 1000000000) AS layer FROM numbers;
"""
#: Each image has a layer of its own and a tag; all share one configuration.
_IMAGE_ROWS = (
    "INSERT INTO blobs(id, digest, size, storage_key, created_at) SELECT n + 1, layer, 1000 + n, layer, 1 FROM images",
    (
        "INSERT INTO repository_blobs(repository_id, blob_id, created_at) "
        "SELECT repository, n + 1, 1 FROM images UNION ALL SELECT id, 1, 1 FROM repositories"
    ),
    (
        'INSERT INTO project_blobs(project_id, blob_id, "references") SELECT r.project_id, n + 1, 1 FROM images '
        "JOIN repositories AS r ON r.id = repository UNION ALL SELECT id, 1, :count FROM projects"
    ),
    "INSERT INTO manifest_contents(digest, content) SELECT manifest, CAST(:content AS BLOB) FROM images",
    (
        "INSERT INTO manifests(id, repository_id, digest, media_type, artifact_type, size, created_at) SELECT n, "
        "repository, manifest, :type, 'application/vnd.oci.image.config.v1+json', length(:content), n FROM images"
    ),
    (
        "INSERT INTO manifest_blobs(manifest_id, position, blob_id, role, repository_id) "
        "SELECT n, 0, 1, 'config', repository FROM images UNION ALL SELECT n, 1, n + 1, 'layer', repository FROM images"
    ),
    (
        "INSERT INTO tags(repository_id, name, manifest_id, created_at, updated_at) "
        "SELECT repository, printf('v%07d', n), n, n, n FROM images"
    ),
)


def insert_images(path: Path, count: int, *, repositories: int = 1_000) -> None:
    """Fill an empty metadata file with tagged images in repositories of a hundred projects, three in ten in the first.

    Manifests and layers have no bytes of their own, since lists and figures do not ask for them; but for one more in
    the first repository, which can be pulled by the tag `whole`.
    """
    given = {
        "count": count,
        "first": int(count * _IN_FIRST),
        "repositories": repositories,
        "content": _ONE_MANIFEST.decode(),
        "type": MANIFEST_TYPE,
    }
    names = [f"p{number % 100:03d}/app{number:04d}" for number in range(repositories)]
    with _opened(path) as database:
        database.executemany(
            "INSERT INTO projects(id, name, public, created_at) VALUES (?,?,1,1)",
            [(number + 1, f"p{number:03d}") for number in range(100)],
        )
        database.executemany(
            "INSERT INTO repositories(id, project_id, name, sort_key, adopted, created_at) VALUES (?,?,?,?,1,1)",
            [(n + 1, n % 100 + 1, name, name.replace("/", "\x01")) for n, name in enumerate(names)],
        )
        database.execute(
            "INSERT INTO blobs(id, digest, size, storage_key, created_at) VALUES (1, ?, 2, ?, 1)",
            (digest_of(b"{}"), digest_of(b"{}")),
        )
        database.execute(_IMAGE.strip().removesuffix(";"), given)
        for statement in _IMAGE_ROWS:
            database.execute(statement, given)
        _add_whole(database, count + 1)


def _add_whole(database: sqlite3.Connection, number: int) -> None:
    digest = digest_of(_ONE_MANIFEST)
    database.execute("INSERT INTO manifest_contents(digest, content) VALUES (?,?)", (digest, _ONE_MANIFEST))
    database.execute(
        "INSERT INTO manifests(id, repository_id, digest, media_type, size, created_at) VALUES (?,1,?,?,?,0)",
        (number, digest, MANIFEST_TYPE, len(_ONE_MANIFEST)),
    )
    database.execute(
        "INSERT INTO tags(repository_id, name, manifest_id, created_at, updated_at) VALUES (1, 'whole', ?, 0, 0)",
        (number,),
    )
