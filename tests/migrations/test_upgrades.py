"""Databases of every released version go on as this version's: nothing is lost, every image pulls, nothing is wrong."""

from __future__ import annotations

import asyncio

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.integrity.doctor import Doctor
from entrepot.integrity.examination import Examination
from entrepot.jobs.sums import SumCompletion
from entrepot.metadata import schema
from entrepot.metadata.contents import kept_sums
from entrepot.metadata.database import Database, Row
from entrepot.metadata.errors import SchemaTooNew, SchemaTooOld
from entrepot.metadata.migrations import script
from entrepot.metadata.query import RawQuery
from entrepot.metadata.work_tables import work_metadata
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.service import build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.pushing import Pusher
from tests.migrations.released import BLOBS, IMAGES, LAYERS, MANIFESTS, TAGS, VERSIONS
from tests.support.databases import create_all
from tests.support.manifests import digest_of

APP = RepositoryName.parse("team/app")
#: From this version on, triggers keep sums and lists.
WITH_KEPT_SUMS = 5
#: Tables that a later version built anew, beside what tells of the version itself.
REBUILT = {1: {"grants"}}
Tables = dict[str, tuple[list[str], list[Row]]]


async def contents(database: Database, of: Tables | None = None) -> Tables:
    """Read every table, or the tables and columns of an earlier reading."""
    tables = {name: columns for name, (columns, _) in of.items()} if of else await _columns(database)
    found: Tables = {}
    for name, columns in tables.items():
        listed = ", ".join(f'"{column}"' for column in columns)
        rows = await database.all(RawQuery(f"SELECT {listed} FROM {name}"))
        found[name] = (columns, sorted(rows, key=repr))
    return found


async def _columns(database: Database) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if database.dialect == "sqlite":
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        for (name,) in await database.all(RawQuery(names)):
            found[name] = [row[1] for row in await database.all(RawQuery(f"PRAGMA table_info({name})"))]
        return found
    rows = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    for name, column in await database.all(RawQuery(rows)):
        found.setdefault(name, []).append(column)
    return found


async def build(database: Database, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a database as a program of a version did, and fill it as it did."""
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "VERSION", version)
        assert (await schema.upgrade(database)).version == version
    await VERSIONS[version](database)


@pytest.fixture(params=sorted(VERSIONS))
def version(request: pytest.FixtureRequest) -> int:
    """A released version."""
    return int(request.param)


async def test_nothing_is_lost(database: Database, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is there, with the values it had; a second upgrade changes nothing."""
    await build(database, version, monkeypatch)
    before = await contents(database)
    assert all(rows for name, (_, rows) in before.items()), "each table of the version has something in it"
    assert (await schema.upgrade(database)).version == schema.VERSION
    built_anew = {"schema", *REBUILT.get(version, ())}
    after = await contents(database, {name: kept for name, kept in before.items() if name not in built_anew})
    for name, kept in after.items():
        missing = [row for row in before[name][1] if row not in kept[1]]
        assert missing == [], name
    everything = await contents(database)
    await schema.upgrade(database)
    assert await contents(database) == everything


async def test_every_image_pulls(database: Database, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By tag and by digest, with the same bytes; a check-up finds nothing; and pushes go on."""
    await build(database, version, monkeypatch)
    await schema.upgrade(database)
    await create_all(database, work_metadata)
    store = MemoryBlobStore()
    store._blobs.update({digest_of(content): content for content in (*BLOBS, b"loose")})
    registry = build_registry(metadata=database, work=database, store=store, settings=RegistrySettings())
    for name, row in TAGS.items():
        found = await registry.manifests.get(APP, Tag.parse(name), content=True)
        assert found.content == MANIFESTS[row - 1]
    for body in MANIFESTS:
        assert (await registry.manifests.get(APP, Digest.of(body), content=True)).content == body
    for layer in LAYERS:
        assert (await registry.blobs.get(APP, Digest.of(layer))).size == len(layer)
    referrers, _ = await registry.referrers.list(APP, Digest.of(IMAGES[0]), limit=10)
    assert [one.digest for one in referrers] == [Digest.of(MANIFESTS[3])]
    work = Examination(
        metadata=database,
        store=store,
        quarantine=Quarantine(database, store, lambda: True),
        progress=Unwatched(),
        grace_seconds=0.0,
    )
    assert (await Doctor(work).run()).problems == []
    await Pusher(registry, APP).image("after", b"pushed after the upgrade")


async def test_sums_that_are_kept_are_completed(
    database: Database, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stood there before the triggers is in lists and figures once the job has run, and what comes beside it."""
    if version >= WITH_KEPT_SUMS:
        return
    await build(database, version, monkeypatch)
    await schema.upgrade(database)
    assert not await kept_sums.complete(database, kept_sums.ARTIFACTS)
    await database.write(lambda tx: tx.execute(RawQuery("DELETE FROM tags WHERE name = 'v1'")))
    await SumCompletion(database).run(asyncio.Event())
    kept = await database.all(RawQuery("SELECT manifest_id FROM artifacts ORDER BY 1"))
    assert kept == await database.all(RawQuery("SELECT manifest_id FROM standing ORDER BY 1"))
    assert kept
    assert await database.one(RawQuery("SELECT sum(artifact_count) FROM repositories")) == (len(kept),)
    total = await database.one(RawQuery("SELECT sum(size) FROM blobs WHERE state <> 'missing'"))
    assert (await kept_sums.stored_bytes(database),) == total


async def test_older_programs_may_run_beside_it_until_it_is_finished(database: Database) -> None:
    """The pre half leaves them in peace; the post half is for when none of them runs any more."""
    with pytest.raises(SchemaTooOld, match="without --finish first"):
        await schema.finish(database)
    upgraded = await schema.upgrade(database)
    assert not upgraded.finished
    schema.check(upgraded, schema.VERSION - 1)
    finished = await schema.finish(database)
    assert (finished.version, finished.finished) == (schema.VERSION, True)
    with pytest.raises(SchemaTooNew, match="start a newer Entrepot"):
        schema.check(finished, schema.VERSION - 1)
    transactions = database.statistics.transactions
    assert await schema.finish(database) == finished
    assert database.statistics.transactions == transactions


async def test_only_a_program_of_the_schema_finishes_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one does not know what is to be taken away."""
    await schema.upgrade(database)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION - 1)
    with pytest.raises(SchemaTooNew, match="a program of that schema finishes it"):
        await schema.finish(database)


async def test_a_post_half_runs_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By --finish, or else with the next version's upgrade; never by both."""
    asked: list[tuple[int, bool]] = []
    real = script.statements

    def statements(dialect: object, after: int, to: int, *, finished: bool = False) -> list[str]:
        asked.append((after, finished))
        return real(dialect, 0, to) if after == 0 else [f"UPDATE schema SET version = {to}"]  # type: ignore[arg-type]

    monkeypatch.setattr(script, "statements", statements)
    monkeypatch.setattr(
        script, "finishing", lambda _dialect, version: [f"INSERT INTO settings VALUES ('post', '{version}')"]
    )
    await schema.upgrade(database)
    await schema.finish(database)
    await schema.finish(database)
    assert await database.all(RawQuery("SELECT value FROM settings WHERE key = 'post'")) == [(str(schema.VERSION),)]
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    await schema.upgrade(database)
    assert asked == [(0, False), (schema.VERSION - 1, True)]
