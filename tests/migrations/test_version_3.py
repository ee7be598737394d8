"""Programs of version 2 go on beside those of version 3; what they left out is made up for when their time ends."""

import pytest

from entrepot.metadata import schema
from entrepot.metadata.database import Database
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.errors import SchemaTooNew
from entrepot.metadata.migrations import script
from entrepot.metadata.query import RawQuery
from entrepot.metadata.usage import usage, usage_recount
from tests.migrations.released import VERSIONS

#: As a program of version 2 writes: a project with an image of two manifests, one of which lost its references again.
_VERSION_2 = (
    "INSERT INTO projects (name, public, created_at) VALUES ('beside', 0, 40)",
    (
        "INSERT INTO repositories (project_id, name, sort_key, adopted, created_at) "
        "SELECT id, 'beside/app', 'beside\x01app', 1, 41 FROM projects WHERE name = 'beside'"
    ),
    (
        "INSERT INTO manifests (repository_id, digest, media_type, size, created_at) "
        "SELECT r.id, c.digest, 'm', 70, 42 FROM repositories AS r, manifest_contents AS c WHERE r.name = 'beside/app'"
    ),
    (
        "INSERT INTO manifest_blobs (manifest_id, position, blob_id, role) SELECT m.id, b.id, b.id, 'layer' "
        "FROM manifests AS m, blobs AS b WHERE m.size = 70 AND b.id < 3"
    ),
    (
        'INSERT INTO project_blobs (project_id, blob_id, "references") SELECT p.id, b.id, 4 '
        "FROM projects AS p, blobs AS b WHERE p.name = 'beside' AND b.id < 3"
    ),
    "DELETE FROM tags WHERE manifest_id = 4",
    "DELETE FROM manifest_blobs WHERE manifest_id = 4",
    "DELETE FROM manifests WHERE id = 4",
)
_MISPLACED = RawQuery(
    "SELECT count(*) FROM manifest_blobs AS b JOIN manifests AS m ON m.id = b.manifest_id "
    "WHERE b.repository_id <> m.repository_id"
)


@pytest.fixture
async def beside(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Give a database of version 3 in which a program of version 2 went on."""
    for version in (2, 3):
        monkeypatch.setattr(schema, "VERSION", version)
        await schema.upgrade(database)
        if version == 2:
            await VERSIONS[2](database)
    for statement in _VERSION_2:
        await database.write(lambda tx, statement=statement: tx.execute(RawQuery(statement)))
    return database


async def assert_made_up_for(database: Database) -> None:
    """Every reference says whose it is, and every sum is what it adds up to."""
    assert await database.one(_MISPLACED) == (0,)
    projects = await database.all(RawQuery("SELECT id FROM projects"))
    assert len(projects) == 3
    for (project,) in projects:
        counts = (await usage.find(database, project)).counts
        assert await usage_recount.wrong_sum(database, project) is None
        assert counts.manifests > 0


def _next_version(dialect: Dialect, after: int, to: int, *, finished: bool) -> list[str]:
    """Give what the version after 3 must begin with."""
    assert (after, to, finished) == (3, 4, False)
    return [*script.finishing(dialect, 3), "UPDATE schema SET version = 4"]


async def test_finishing_makes_up_for_what_they_left_out(beside: Database) -> None:
    """References that named no repository do, and every project's sums are right."""
    assert await beside.one(_MISPLACED) != (0,)
    schema.check(await schema.finish(beside))
    await assert_made_up_for(beside)


async def test_so_does_the_next_upgrade_which_ends_their_time(
    beside: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version after 3 begins where no program of version 2 may go on."""
    monkeypatch.setattr(schema, "VERSION", 4)
    monkeypatch.setattr(script, "statements", _next_version)
    found = await schema.upgrade(beside)
    await assert_made_up_for(beside)
    schema.check(found, 3)
    with pytest.raises(SchemaTooNew):
        schema.check(found, 2)


async def test_so_does_finishing_version_4_where_version_3_was_finished_without_it(
    beside: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first program of version 3 had nothing to do at its end."""
    with monkeypatch.context() as first:
        first.setattr(script, "finishing", lambda _dialect, _version: [])
        await schema.finish(beside)
    monkeypatch.setattr(schema, "VERSION", 4)
    await schema.upgrade(beside)
    assert await beside.one(_MISPLACED) != (0,)
    schema.check(await schema.finish(beside))
    await assert_made_up_for(beside)
