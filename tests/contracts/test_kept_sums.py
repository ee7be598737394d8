"""What triggers keep is what adding up from nothing finds, whatever came and went; what was there before is added."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import asyncpg
import pytest

from entrepot.jobs.sums import SumCompletion
from entrepot.metadata import schema
from entrepot.metadata.contents import artifacts, blobs, kept_sums, manifests, repositories, tags
from entrepot.metadata.contents.artifacts import Selection
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import manifest_moves
from entrepot.metadata.query import RawQuery
from entrepot.oci.reference import RepositoryName
from tests.support.databases import postgres_database
from tests.support.postgres import PostgresServer

OCI = "application/vnd.oci.image.manifest.v1+json"
_KEPT = RawQuery("SELECT manifest_id, repository_id FROM artifacts ORDER BY 1")
_STANDING = RawQuery("SELECT manifest_id, repository_id FROM standing ORDER BY 1")
_COUNTS = RawQuery("SELECT id, artifact_count FROM repositories ORDER BY 1")
_COUNTED = RawQuery(
    "SELECT r.id, count(a.manifest_id) FROM repositories AS r LEFT JOIN artifacts AS a ON a.repository_id = r.id "
    "GROUP BY r.id ORDER BY 1"
)
_BYTES = RawQuery("SELECT coalesce(sum(size), 0) FROM blobs WHERE state <> 'missing'")
_FORGET = (
    "DELETE FROM artifacts",
    "UPDATE repositories SET artifact_count = 0",
    "UPDATE sums SET value = 0, through = 0",
)


def digest(number: int) -> str:
    """Make up a digest."""
    return f"sha256:{number:064x}"


class Life:
    """Two repositories in which things come and go at random, each step a transaction."""

    def __init__(self, database: Database, places: list[RepositoryRecord], seed: int) -> None:
        self.database = database
        self.places = places
        self.random = random.Random(seed)
        self.there: dict[tuple[int, int], int] = {}  #: row ids by repository and number

    async def step(self) -> None:
        """Do one of the things that registries do."""
        ways = (self.push, self.push, self.push, self.tag, self.tag, self.untag, self.remove, self.move, self.blob)
        await self.database.write(self.random.choice(ways))

    def number(self) -> int:
        """Choose a manifest, of few, so that many are about one another."""
        return self.random.randrange(1, 12)

    async def push(self, tx: Transaction) -> None:
        """Push a manifest that is about another one, or lists some, which may be missing."""
        place, number = self.random.choice(self.places), self.number()
        subject = self.number() if self.random.random() < 0.4 else None
        row_id = await manifests.add(
            tx,
            place.id,
            digest=digest(number),
            media_type=OCI,
            artifact_type=None,
            raw=b"x",
            subject=None if subject is None else digest(subject),
            annotations={},
        )
        if row_id is None:
            return
        listed = [digest(self.number()) for _ in range(self.random.choice((0, 0, 2)))]
        known = await manifests.present(tx, place.id, listed)
        await manifests.refer(tx, row_id, blobs=[], children=[(one, known.get(one)) for one in listed])
        await manifests.connect_parents(tx, place.id, digest(number), row_id)
        self.there[place.id, number] = row_id

    async def tag(self, tx: Transaction) -> None:
        """Point a tag at a manifest, perhaps one by which signers name another."""
        if self.there:
            (place, _), row_id = self.random.choice(sorted(self.there.items()))
            signed = f"sha256-{self.number():064x}{self.random.choice(('.sig', '.att', '.sbom', '.other'))}"
            await tags.put(tx, place, [self.random.choice(("v1", "v2", signed))], row_id)

    async def untag(self, tx: Transaction) -> None:
        """Remove some tags."""
        if self.there:
            (place, _), row_id = self.random.choice(sorted(self.there.items()))
            await tags.remove(tx, place, (await tags.of_manifest(tx, row_id))[:1])

    async def remove(self, tx: Transaction) -> None:
        """Remove a manifest with its tags."""
        if self.there:
            (place, number), row_id = self.random.choice(sorted(self.there.items()))
            await tags.remove(tx, place, await tags.of_manifest(tx, row_id))
            await manifests.remove(tx, row(row_id, place, number))
            del self.there[place, number]

    async def move(self, tx: Transaction) -> None:
        """Move a manifest to the other repository, as into the trash and out of it."""
        if self.there:
            (place, number), row_id = self.random.choice(sorted(self.there.items()))
            source, target = self.places if self.places[0].id == place else self.places[::-1]
            if (target.id, number) not in self.there:
                await tags.remove(tx, place, await tags.of_manifest(tx, row_id))
                await manifest_moves.move(tx, row(row_id, place, number), source, target)
                self.there[target.id, number] = self.there.pop((place, number))

    async def blob(self, tx: Transaction) -> None:
        """Let a blob come, go, be missing or be of another size."""
        number = self.number()
        await blobs.put(tx, digest(number), size=number, storage_key=digest(number), review_after=None)
        change = self.random.choice(
            (
                "DELETE FROM blobs",
                "UPDATE blobs SET state = 'missing'",
                "UPDATE blobs SET size = size + 1, state = 'live'",
            )
        )
        await tx.execute(RawQuery(f"{change} WHERE digest = '{digest(self.number())}'"))


def row(row_id: int, place: int, number: int) -> ManifestRow:
    """Return a manifest of `Life`."""
    return ManifestRow(row_id, place, digest(number), OCI, 1)


async def assert_kept(database: Database) -> None:
    """What is kept is what there is, and what the walk over all manifests finds."""
    assert await database.all(_KEPT) == await database.all(_STANDING)
    assert await database.all(_COUNTS) == await database.all(_COUNTED)
    found = await database.one(_BYTES)
    assert found is not None
    assert await kept_sums.stored_bytes(database) == int(found[0])


async def walked(database: Database, repository: int, **wanted: object) -> list[int]:
    """Return what a list of artifacts shows."""
    walk = artifacts.walk(database, repository, Selection(**wanted))  # type: ignore[arg-type] - real fields
    return [row_id async for step in walk for row_id in step]


async def opened(database: Database) -> list[RepositoryRecord]:
    """Make two repositories of one project."""
    await schema.upgrade(database)
    names = [RepositoryName.parse(f"team/{name}") for name in ("app", "other")]
    return [await database.write(lambda tx, name=name: repositories.ensure(tx, name)) for name in names]


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_kept_is_what_there_is(database: Database, seed: int) -> None:
    """After any history of pushes, tags, signatures, indexes, deletions, moves and lost blobs."""
    life = Life(database, await opened(database), seed)
    for number in range(200):
        await life.step()
        if number % 10 == 0:
            await assert_kept(database)
    await assert_kept(database)
    for place in life.places:
        kept = await walked(database, place.id)
        assert kept == await artifacts.page(database, place.id, limit=100)
        assert kept[::-1] == await artifacts.page(database, place.id, newest_first=False, limit=100)
        await database.write(lambda tx: tx.execute(RawQuery("UPDATE sums SET through = 0 WHERE name = 'artifacts'")))
        assert await artifacts.page(database, place.id, limit=100) is None
        assert kept == await walked(database, place.id)
        await SumCompletion(database).run(asyncio.Event())


async def test_what_was_there_before_is_added(database: Database) -> None:
    """A database that knows of nothing kept is completed in steps, while others go on writing."""
    life = Life(database, await opened(database), 7)
    for _ in range(100):
        await life.step()
    for statement in _FORGET:
        await database.write(lambda tx, statement=statement: tx.execute(RawQuery(statement)))
    done = [False, False]
    while not all(done):
        done = [
            await database.write(lambda tx, add=add: add(tx, step=2))
            for add in (kept_sums.add_artifacts, kept_sums.add_blobs)
        ]
        await life.step()
    await assert_kept(database)
    assert await kept_sums.complete(database, kept_sums.ARTIFACTS)
    assert await kept_sums.complete(database, kept_sums.BYTES)


async def test_two_who_take_away_one_of_two_reasons_each_are_both_seen(postgres: PostgresServer) -> None:
    """Neither sees what the other has not committed: on PostgreSQL the second waits, and looks again."""
    async with postgres_database(postgres) as database:
        await schema.upgrade(database)
        place = await database.write(lambda tx: repositories.ensure(tx, RepositoryName.parse("team/app")))
        ids: dict[int, int] = {}
        for number, children in ((1, []), (2, [1]), (3, [1])):
            listed = [(digest(child), ids[child]) for child in children]
            ids[number] = await database.write(partial(_add, place.id, number, listed))
        assert [row[0] for row in await database.all(_KEPT)] == [ids[2], ids[3]]
        url = postgres.url(str((await database.all(RawQuery("SELECT current_database()")))[0][0]))
        first, second = [await asyncpg.connect(url) for _ in range(2)]
        try:
            begun = [first.transaction(), second.transaction()]
            for one in begun:
                await one.start()
            remove = "DELETE FROM manifest_children WHERE parent_id = $1"
            await first.execute(remove, ids[2])
            waiting = asyncio.ensure_future(second.execute(remove, ids[3]))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await begun[0].commit()
            await waiting
            await begun[1].commit()
        finally:
            await first.close()
            await second.close()
        assert await database.all(_KEPT) == await database.all(_STANDING)
        assert ids[1] in [row[0] for row in await database.all(_KEPT)]


async def _add(place: int, number: int, children: list[tuple[str, int]], tx: Transaction) -> int:
    row_id = await manifests.add(
        tx, place, digest=digest(number), media_type=OCI, artifact_type=None, raw=b"x", subject=None, annotations={}
    )
    assert row_id is not None
    await manifests.refer(tx, row_id, blobs=[], children=children)
    return row_id
