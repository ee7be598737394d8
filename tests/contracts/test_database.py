"""What `Database` promises, on SQLite and on PostgreSQL."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest
from sqlalchemy import Column, MetaData, Table, UniqueConstraint, bindparam, delete, func, select, update

from entrepot.metadata.columns import BYTES, NAMES, key, keyed, number, numbered, refers, words
from entrepot.metadata.database import Database, Statistics, Transaction, Work
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.errors import AwaitInsideTransaction, ConstraintViolated, DatabaseError, DatabaseUnavailable
from entrepot.metadata.query import Query, in_list
from tests.support.databases import create_all

SCHEMA: Final = MetaData(naming_convention=NAMES)
SHIPS: Final = numbered("ships", SCHEMA, words("name"), number("tons", null=True), UniqueConstraint("name"))
CREWS: Final = keyed("crews", SCHEMA, key("sailor"), refers("ship_id", "ships.id"))
PAPERS: Final = Table("papers", SCHEMA, key("name"), Column("content", BYTES, nullable=False), sqlite_strict=True)

ADD: Final = Query(
    lambda d: d.insert(SHIPS).values(name=bindparam("name"), tons=bindparam("tons")).returning(SHIPS.c.id), "add ship"
)
PUT: Final = Query(
    lambda d: (
        d.insert(SHIPS)
        .values(name=bindparam("name"), tons=bindparam("tons"))
        .on_conflict_do_update(index_elements=[SHIPS.c.name], set_={"tons": bindparam("tons")})
    ),
    "put ship",
)
LOAD: Final = Query(
    update(SHIPS).where(SHIPS.c.name == bindparam("ship")).values(tons=SHIPS.c.tons + bindparam("more")), "load ship"
)
LOCK: Final = Query(select(SHIPS.c.tons).where(SHIPS.c.name == bindparam("name")).with_for_update(), "lock ship")
FIND: Final = Query(select(SHIPS.c.tons).where(SHIPS.c.name == bindparam("name")), "find ship")
NAMED: Final = Query(select(SHIPS.c.name).order_by(SHIPS.c.name), "list ships")
AMONG: Final = Query(
    select(SHIPS.c.name).where(in_list(SHIPS.c.name, "names")).order_by(SHIPS.c.name), "list ships among names"
)
BY_ID: Final = Query(
    select(SHIPS.c.name).where(in_list(SHIPS.c.id, "ids"), SHIPS.c.tons >= 0).order_by(SHIPS.c.id), "list ships by ids"
)
COUNT: Final = Query(select(func.count()).select_from(SHIPS), "count ships")
SINK: Final = Query(delete(SHIPS).where(SHIPS.c.name == bindparam("name")), "sink ship")
HIRE: Final = Query(
    lambda d: d.insert(CREWS).values(sailor=bindparam("sailor"), ship_id=bindparam("ship_id")), "hire sailor"
)
FILE: Final = Query(
    lambda d: d.insert(PAPERS).values(name=bindparam("name"), content=bindparam("content")), "file paper"
)
PAPER: Final = Query(select(PAPERS.c.content).where(PAPERS.c.name == bindparam("name")), "get paper")
PAGE: Final = Query(
    select(SHIPS.c.name).where(SHIPS.c.name > bindparam("last")).order_by(SHIPS.c.name).limit(bindparam("limit")),
    "page of ships",
)


@pytest.fixture
async def harbour(every_database: Database) -> Database:
    """A database with the tables of this file."""
    await create_all(every_database, SCHEMA)
    return every_database


def adding(name: str, tons: int | None = 0) -> Work[int]:
    """Make the work of a transaction that adds one ship and returns its id."""

    async def work(transaction: Transaction) -> int:
        row = await transaction.one(ADD, name=name, tons=tons)
        assert row is not None
        return row[0]

    return work


async def names(database: Database) -> list[str]:
    """Return the names of all ships."""
    return [row[0] for row in await database.all(NAMED)]


async def test_write_returns_the_result_of_its_work(harbour: Database) -> None:
    """What the work returns is what the caller gets, and a new row has an id."""
    first = await harbour.write(adding("argo"))
    second = await harbour.write(adding("beagle"))
    assert second > first


async def test_reads_see_a_write_that_was_answered(harbour: Database) -> None:
    """After write has returned, the next read sees it."""
    for number_ in range(50):
        await harbour.write(adding(f"ship-{number_}", number_))
        assert await harbour.one(FIND, name=f"ship-{number_}") == (number_,)


async def test_reads_do_not_see_an_open_transaction(harbour: Database) -> None:
    """Another reader sees nothing of a transaction before its commit."""
    seen: list[object] = []

    async def work(transaction: Transaction) -> None:
        await transaction.one(ADD, name="argo", tons=1)
        seen.append(await transaction.one(FIND, name="argo"))

    before = await harbour.one(FIND, name="argo")
    await harbour.write(work)
    assert before is None
    assert seen == [(1,)]
    assert await harbour.one(FIND, name="argo") == (1,)


async def test_an_exception_rolls_back_and_is_raised(harbour: Database) -> None:
    """A work's own exception reaches the caller as it is, and nothing it wrote stays."""

    class Sunk(Exception):
        pass

    async def work(transaction: Transaction) -> None:
        await transaction.one(ADD, name="argo", tons=1)
        raise Sunk

    with pytest.raises(Sunk):
        await harbour.write(work)
    assert await names(harbour) == []


async def test_missing_row_is_none(harbour: Database) -> None:
    """`one` of nothing is None, `all` of nothing is an empty list."""
    assert await harbour.one(FIND, name="argo") is None
    assert await harbour.all(NAMED) == []


async def test_a_text_that_no_row_can_have_finds_nothing(harbour: Database) -> None:
    """A NUL in a name, a list or a page is no error, and nothing is found, on any database."""
    assert await harbour.one(FIND, name="ar\0go") is None
    assert await harbour.all(AMONG, names=["ar\0go"]) == []
    assert await patient(harbour).all(FIND, name="ar\0go") == []


async def test_execute_counts_changed_rows(harbour: Database) -> None:
    """`execute` says how many rows it changed, also for no row and for an upsert."""

    async def work(transaction: Transaction) -> list[int]:
        await transaction.one(ADD, name="argo", tons=1)
        return [
            await transaction.execute(LOAD, ship="argo", more=1),
            await transaction.execute(LOAD, ship="nautilus", more=1),
            await transaction.execute(PUT, name="argo", tons=9),
            await transaction.execute(ADD, name="beagle", tons=2),
            await transaction.execute(SINK, name="argo"),
        ]

    assert await harbour.write(work) == [1, 0, 1, 1, 1]
    assert await names(harbour) == ["beagle"]


async def test_upsert_updates_the_row_that_is_there(harbour: Database) -> None:
    """The dialect's insert with on_conflict_do_update works on both."""
    for tons in (1, 2):
        await harbour.write(lambda transaction, tons=tons: transaction.execute(PUT, name="argo", tons=tons))
    assert await harbour.all(FIND, name="argo") == [(2,)]


async def test_many_runs_one_statement_per_row(harbour: Database) -> None:
    """`many` inserts all rows, in one transaction, and none for an empty list."""
    fleet = [{"name": f"ship-{number_:03}", "tons": number_} for number_ in range(100)]

    async def work(transaction: Transaction) -> None:
        await transaction.many(PUT, fleet)
        await transaction.many(PUT, [])

    await harbour.write(work)
    assert await harbour.one(COUNT) == (100,)


async def test_text_sorts_by_bytes(harbour: Database) -> None:
    """Names sort by their bytes on both databases: upper case before lower case, "-" before "." before "/"."""
    fleet = ["a", "A", "a-b", "a.b", "a/b", "a_b", "B", "b", "ä", "z", "0", "a0"]
    await harbour.write(lambda transaction: transaction.many(PUT, [{"name": name, "tons": 0} for name in fleet]))
    assert await names(harbour) == sorted(fleet, key=str.encode)


async def test_pages_by_key_cover_everything_once(harbour: Database) -> None:
    """Keyset paging walks all names in byte order."""
    fleet = [f"{letter}{end}" for letter in "aAbBzZ" for end in ("", "-1", "/1", "_1")]
    await harbour.write(lambda transaction: transaction.many(PUT, [{"name": name, "tons": 0} for name in fleet]))
    seen: list[str] = []
    while page := await harbour.all(PAGE, last=seen[-1] if seen else "", limit=5):
        seen += [row[0] for row in page]
    assert seen == sorted(fleet, key=str.encode)


async def test_in_list_takes_lists_of_any_length(harbour: Database) -> None:
    """One statement serves no, one and ten thousand values, of text and of numbers, also beside constants."""
    ids = [await harbour.write(adding(name)) for name in ("argo", "beagle", 'it\'s "q"\\', "ä")]
    assert await harbour.all(AMONG, names=[]) == []
    assert await harbour.all(AMONG, names=["argo", 'it\'s "q"\\', "ä", "none"]) == [("argo",), ('it\'s "q"\\',), ("ä",)]
    assert await harbour.all(AMONG, names={str(number_) for number_ in range(10_000)} | {"beagle"}) == [("beagle",)]
    assert await harbour.all(BY_ID, ids=ids[:2]) == [("argo",), ("beagle",)]


async def test_values_come_back_as_they_went_in(harbour: Database) -> None:
    """Numbers of 64 bits, empty text, JSON as text, every byte and missing values survive."""
    content = bytes(range(256)) * 4096
    text = json.dumps({"org.example": 'quote " and \\ and 中文'})

    async def work(transaction: Transaction) -> None:
        await transaction.one(ADD, name=text, tons=2**63 - 1)
        await transaction.one(ADD, name="", tons=None)
        await transaction.execute(FILE, name="map", content=content)

    await harbour.write(work)
    assert await harbour.one(FIND, name=text) == (2**63 - 1,)
    assert await harbour.one(FIND, name="") == (None,)
    assert await harbour.one(PAPER, name="map") == (content,)


async def test_booleans_and_text_subclasses_are_parameters(harbour: Database) -> None:
    """True is 1, and a subclass of str is text."""

    class Name(str):
        __slots__ = ()

    await harbour.write(adding(Name("argo"), tons=True))
    assert await harbour.one(FIND, name=Name("argo")) == (1,)


async def test_a_broken_rule_is_a_constraint_violation(harbour: Database) -> None:
    """Unique, foreign key, not null and type rules are kept, and none of the transaction stays."""
    await harbour.write(adding("argo"))

    async def twice(transaction: Transaction) -> None:
        await transaction.one(ADD, name="beagle", tons=0)
        await transaction.one(ADD, name="argo", tons=0)

    async def without_ship(transaction: Transaction) -> None:
        await transaction.execute(HIRE, sailor="jason", ship_id=999)

    async def without_name(transaction: Transaction) -> None:
        await transaction.one(ADD, name=None, tons=0)

    for work in (twice, without_ship, without_name):
        with pytest.raises(ConstraintViolated):
            await harbour.write(work)
    assert await names(harbour) == ["argo"]


async def test_a_row_that_is_referred_to_stays(harbour: Database) -> None:
    """A foreign key without cascade keeps its target."""
    ship = await harbour.write(adding("argo"))
    await harbour.write(lambda transaction: transaction.execute(HIRE, sailor="jason", ship_id=ship))
    with pytest.raises(ConstraintViolated):
        await harbour.write(lambda transaction: transaction.execute(SINK, name="argo"))


async def test_a_failed_statement_loses_the_transaction(harbour: Database) -> None:
    """A work that catches a statement's error still fails, on both databases, and writes nothing."""
    await harbour.write(adding("argo"))

    async def work(transaction: Transaction) -> None:
        await transaction.one(ADD, name="beagle", tons=0)
        with pytest.raises(ConstraintViolated):
            await transaction.one(ADD, name="argo", tons=0)
        with pytest.raises(ConstraintViolated):
            await transaction.one(FIND, name="argo")

    with pytest.raises(ConstraintViolated):
        await harbour.write(work)
    assert await names(harbour) == ["argo"]


async def test_a_transaction_is_of_no_use_after_its_end(harbour: Database) -> None:
    """A transaction that was kept refuses statements."""
    kept: list[Transaction] = []

    async def work(transaction: Transaction) -> None:
        kept.append(transaction)

    await harbour.write(work)
    with pytest.raises(DatabaseError, match="over"):
        await kept[0].one(FIND, name="argo")


async def test_an_await_inside_a_transaction_is_an_error(harbour: Database) -> None:
    """Waiting for a timer, a thread, another task or nothing at all fails the transaction and writes nothing."""
    waits = {
        "a moment": lambda: asyncio.sleep(0),
        "a timer": lambda: asyncio.sleep(0.01),
        "a thread": lambda: asyncio.to_thread(int),
        "an event": lambda: asyncio.Event().wait(),
    }
    for what, wait in waits.items():

        async def work(
            transaction: Transaction, wait: Callable[[], Awaitable[object]] = wait, what: str = what
        ) -> None:
            await transaction.one(ADD, name=what, tons=0)
            await wait()

        with pytest.raises(AwaitInsideTransaction):
            await harbour.write(work, name=what)
    assert await names(harbour) == []
    await harbour.write(adding("argo"))


async def test_a_swallowed_await_is_still_an_error(harbour: Database) -> None:
    """A work cannot hide that it waited."""

    async def work(transaction: Transaction) -> None:
        await transaction.one(ADD, name="argo", tons=0)
        with pytest.raises(AwaitInsideTransaction):
            await asyncio.sleep(0)

    with pytest.raises(AwaitInsideTransaction):
        await harbour.write(work)
    assert await names(harbour) == []


async def test_wrong_parameters_are_refused(harbour: Database) -> None:
    """A missing or a surplus parameter is a mistake in the program and says which."""
    with pytest.raises((TypeError, DatabaseError), match="name"):
        await harbour.one(FIND)
    with pytest.raises((TypeError, DatabaseError), match="name"):
        await harbour.one(FIND, nome="argo")
    with pytest.raises(TypeError, match="surplus"):
        await harbour.one(FIND, name="argo", tons=1)
    with pytest.raises(TypeError, match="list"):
        await harbour.all(AMONG, names="argo")


async def test_a_write_outside_a_transaction_is_refused(harbour: Database) -> None:
    """The database's own `one` only reads."""
    with pytest.raises(DatabaseError):
        await harbour.one(ADD, name="argo", tons=0)
    assert await names(harbour) == []


async def test_concurrent_increments_are_all_counted(harbour: Database) -> None:
    """200 transactions on one row that start together, reading before they write, lose nothing."""
    await harbour.write(adding("argo"))

    async def work(transaction: Transaction) -> None:
        row = await transaction.one(LOCK, name="argo")
        assert row is not None
        await transaction.execute(PUT, name="argo", tons=row[0] + 1)

    await asyncio.gather(*(harbour.write(work) for _ in range(200)))
    assert await harbour.one(FIND, name="argo") == (200,)


async def test_opposite_lock_orders_end_well(harbour: Database) -> None:
    """Transactions that take two rows in either order all succeed, where a deadlock is possible by a retry."""
    await harbour.write(adding("argo"))
    await harbour.write(adding("beagle"))

    async def work(transaction: Transaction, order: list[str]) -> None:
        for name in order:
            await transaction.execute(LOAD, ship=name, more=1)

    orders = [["argo", "beagle"], ["beagle", "argo"]] * 4
    await asyncio.gather(*(harbour.write(lambda t, order=order: work(t, order)) for order in orders))
    assert await harbour.one(FIND, name="argo") == (8,)
    assert await harbour.one(FIND, name="beagle") == (8,)


async def test_transactions_that_start_together_fail_alone(harbour: Database) -> None:
    """Of transactions that share a commit, the failing ones take nothing of the others with them."""

    async def work(transaction: Transaction, number_: int) -> int:
        await transaction.one(ADD, name=f"ship-{number_:03}", tons=number_)
        if number_ % 3 == 0:
            await transaction.one(ADD, name=f"ship-{number_:03}", tons=0)
        if number_ % 5 == 0:
            raise ValueError(number_)
        return number_

    calls = (harbour.write(lambda t, n=number_: work(t, n)) for number_ in range(60))
    results = await asyncio.gather(*calls, return_exceptions=True)
    good = [number_ for number_ in range(60) if number_ % 3 and number_ % 5]
    assert [result for result in results if isinstance(result, int)] == good
    assert sum(isinstance(result, ConstraintViolated) for result in results) == 20
    assert await names(harbour) == [f"ship-{number_:03}" for number_ in good]


async def test_a_cancelled_caller_leaves_all_or_nothing(harbour: Database) -> None:
    """Cancelled at any moment, a transaction of two rows leaves both or none, and the database goes on."""
    choice = random.Random(5)

    async def work(transaction: Transaction, number_: int) -> None:
        await transaction.one(ADD, name=f"a-{number_}", tons=0)
        await transaction.one(ADD, name=f"b-{number_}", tons=0)

    for number_ in range(60):
        task = asyncio.create_task(harbour.write(lambda t, n=number_: work(t, n)))
        await asyncio.sleep(choice.random() * 0.003)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await harbour.write(adding("last"))
    found = await names(harbour)
    assert {name[2:] for name in found if name.startswith("a-")} == {
        name[2:] for name in found if name.startswith("b-")
    }


async def test_statistics_count_what_was_asked(harbour: Database) -> None:
    """A read is one statement; a transaction of three is three, one transaction and one commit."""
    before = harbour.statistics
    await harbour.one(FIND, name="argo")
    assert harbour.statistics == replace(before, statements=before.statements + 1)

    async def work(transaction: Transaction) -> None:
        await transaction.one(ADD, name="argo", tons=0)
        await transaction.execute(LOAD, ship="argo", more=1)
        await transaction.all(NAMED)

    await harbour.write(work)
    after = harbour.statistics
    assert after == Statistics(before.statements + 4, before.transactions + 1, before.commits + 1)
    with pytest.raises(ConstraintViolated):
        await harbour.write(adding("argo"))
    assert harbour.statistics.transactions == after.transactions


async def test_a_closed_database_says_so(harbour: Database) -> None:
    """After close, reads and writes fail at once, and a second close is harmless."""
    await harbour.write(adding("argo"))
    await harbour.close()
    await harbour.close()
    with pytest.raises(DatabaseUnavailable):
        await harbour.one(FIND, name="argo")
    with pytest.raises(DatabaseUnavailable):
        await harbour.write(adding("beagle"))


async def test_close_finishes_queued_writes(harbour: Database) -> None:
    """What was asked before close is committed."""
    tasks = [asyncio.create_task(harbour.write(adding(f"ship-{number_}"))) for number_ in range(5)]
    await asyncio.sleep(0)
    await harbour.close()
    assert len(await asyncio.gather(*tasks)) == 5
