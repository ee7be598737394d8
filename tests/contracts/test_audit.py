"""The audit log on SQLite and PostgreSQL: paging, the chain, retention, sign-ins and export."""

import asyncio
import csv
import io
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import bindparam, update

from entrepot.audit import chain
from entrepot.audit.chain_check import verify
from entrepot.audit.export import Format, export
from entrepot.audit.retention import Cut, Retention
from entrepot.audit.seals import ANCHOR, CHECKPOINT, HEAD, Sealer
from entrepot.audit.sign_ins import WINDOW, SignInLog
from entrepot.audit.syslog import Forwarder, Receiver
from entrepot.metadata import audit_log, events, settings
from entrepot.metadata.audit_log import EventRecord, Filter
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.tables import events as table
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all

ALICE = Source(name="alice", address="192.0.2.7", credential="password", request="r1")
BOB = Source(name="bob", address="192.0.2.8")
_SET = {
    name: Query(
        update(table).where(table.c.id == bindparam("event")).values({name: bindparam("value")}), f"test.{name}"
    )
    for name in ("actor", "detail", "sequence", "at", "result")
}
Write = Callable[..., Awaitable[None]]


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, metadata)
    return database


@pytest.fixture
def write(rows: Database) -> Write:
    """Give a function that writes one event."""

    async def add(kind: str = events.PUSH, *, by: Source = ALICE, **more: object) -> None:
        await rows.write(lambda tx: events.add(tx, kind, by=by, **more))

    return add


def sealer(rows: Database) -> Sealer:
    """Give a sealer whose signature can be told."""
    return Sealer(rows, lambda text: f"signed {len(text)}")


async def change(rows: Database, event: int, name: str, value: object) -> None:
    """Change a column behind the log's back."""
    await rows.write(lambda tx: tx.execute(_SET[name], event=event, value=value))


async def everything(rows: Database, **wanted: object) -> list[EventRecord]:
    """Return all events that fit, following the pages."""
    found: list[EventRecord] = []
    before: int | None = audit_log.NEWEST
    while before is not None:
        page = await audit_log.page(rows, Filter(**wanted), limit=3, before=before)
        found += page.events
        before = page.before
    return found


async def test_an_event_says_who_what_where_and_how(rows: Database, write: Write) -> None:
    """All that was told of an event is read back, and the project of a repository is known."""
    await write(repository="team/app", digest="sha256:aa", tag="v1", detail={"b": 1, "a": "ü"})
    (event,) = await everything(rows)
    assert (event.kind, event.project, event.repository, event.tag) == ("push", "team", "team/app", "v1")
    assert (event.actor, event.address, event.credential, event.request) == ("alice", "192.0.2.7", "password", "r1")
    assert (event.result, event.count, event.detail, event.seal) == ("success", 1, '{"a": "ü", "b": 1}', None)


async def test_pages_follow_each_other_from_the_newest(rows: Database, write: Write) -> None:
    """Every event is on exactly one page, newest first, also while others are written."""
    for number in range(10):
        await write(tag=f"t{number}", repository="team/app")
    page = await audit_log.page(rows, Filter(), limit=4)
    await write(tag="later", repository="team/app")
    assert page.before is not None
    rest = await audit_log.page(rows, Filter(), limit=50, before=page.before)
    assert [e.tag for e in page.events + rest.events] == [f"t{n}" for n in reversed(range(10))]
    assert rest.before is None


@pytest.mark.parametrize(
    ("wanted", "tags"),
    [
        ({"project": "team"}, "db"),
        ({"actor": "bob"}, "cb"),
        ({"actor": "bob", "project": "team"}, "b"),
        ({"kind": "delete"}, "d"),
        ({"repository": "other/app"}, "c"),
        ({"subject": "user:"}, "a"),
        ({"result": "failure"}, "a"),
        ({"address": "192.0.2.8"}, "cb"),
        ({"actor": "nobody"}, ""),
        ({"actor": "' OR 1=1 --"}, ""),
    ],
)
async def test_filters(rows: Database, write: Write, wanted: dict[str, str], tags: str) -> None:
    """A filter shows what fits and nothing else."""
    await write(events.SIGN_IN, subject="user:alice", tag="a", result=events.FAILURE)
    await write(by=BOB, repository="team/app", tag="b")
    await write(by=BOB, repository="other/app", tag="c")
    await write(events.DELETE, repository="team/app", tag="d")
    assert "".join(str(e.tag) for e in await everything(rows, **wanted)) == tags


async def test_a_time_is_found_without_reading_what_lies_before(rows: Database, write: Write) -> None:
    """Events since and until a time are found, in a number of steps that grows with the logarithm of the log."""
    for _ in range(64):
        await write()
    all_of_them = await everything(rows)
    middle = all_of_them[40].at
    before = rows.statistics.statements
    assert await audit_log.number_at(rows, middle) == min(e.id for e in all_of_them if e.at >= middle)
    assert rows.statistics.statements - before <= 9
    assert {e.id for e in await everything(rows, since=middle)} == {e.id for e in all_of_them if e.at >= middle}
    assert {e.id for e in await everything(rows, until=middle)} == {e.id for e in all_of_them if e.at < middle}


async def test_the_sealed_log_holds(rows: Database, write: Write) -> None:
    """After sealing every event is in the chain, the head is signed in an event, and verification finds nothing."""
    for _ in range(5):
        await write()
    assert await sealer(rows).run_once() == 5
    assert await sealer(rows).run_once() == 1
    result = await verify(rows)
    assert result.holds
    assert (result.checked, result.head.sequence) == (6, 6)
    (signed,) = await everything(rows, kind=CHECKPOINT)
    assert json.loads(signed.detail or "")["signature"].startswith("signed")
    assert await audit_log.unsealed(rows, limit=1) == []


@pytest.mark.parametrize(
    ("column", "value"), [("actor", "mallory"), ("detail", '{"x": 1}'), ("at", 1), ("result", "failure")]
)
async def test_an_edit_is_found(rows: Database, write: Write, column: str, value: object) -> None:
    """Whatever column of a sealed event is changed, verification names the event, and that one alone."""
    for _ in range(5):
        await write(detail={"x": 0})
    await sealer(rows).run_once()
    await change(rows, 3, column, value)
    assert [found.event for found in (await verify(rows)).breaks] == [3]


async def test_a_deletion_in_the_middle_and_one_at_the_end_are_found(rows: Database, write: Write) -> None:
    """Removing events breaks the chain where they were."""
    for _ in range(6):
        await write()
    await sealer(rows).run_once()
    await rows.write(lambda tx: tx.execute(RawQuery("DELETE FROM events WHERE id = 3")))
    (found,) = (await verify(rows)).breaks
    assert (found.event, "1 events are missing" in found.reason) == (4, True)
    await rows.write(lambda tx: tx.execute(RawQuery("DELETE FROM events WHERE id >= 6")))
    assert "at the end" in (await verify(rows)).breaks[-1].reason


async def test_a_change_of_order_is_found(rows: Database, write: Write) -> None:
    """Two events that change places break the chain."""
    for number in range(4):
        await write(tag=str(number), repository="team/app")
    await sealer(rows).run_once()

    async def swap(tx: Transaction) -> None:
        await tx.execute(_SET["sequence"], event=2, value=None)
        await tx.execute(_SET["sequence"], event=3, value=2)
        await tx.execute(_SET["sequence"], event=2, value=3)

    await rows.write(swap)
    assert not (await verify(rows)).holds


async def test_retention_keeps_the_chain_checkable(rows: Database, write: Write) -> None:
    """What is too old goes, the rest still verifies from the anchor, and the removal is an event."""
    for _ in range(8):
        await write()
    await sealer(rows).run_once()
    for event in range(1, 6):
        await change(rows, event, "at", 1)
    cut = Cut(seconds=3600)
    assert await Retention(rows).shorten(replace(cut, dry_run=True)) == 5
    assert await Retention(rows).shorten(cut) == 5
    result = await verify(rows)
    assert (result.holds, result.first) == (True, 5)
    assert json.loads((await everything(rows, subject="audit-log", kind=events.DELETE))[0].detail or "")["removed"] == 5
    assert await Retention(rows).shorten(cut) == 0


async def test_removing_the_beginning_without_retention_is_found(rows: Database, write: Write) -> None:
    """The first event must stand on the anchor."""
    for _ in range(4):
        await write()
    await sealer(rows).run_once()
    await rows.write(lambda tx: tx.execute(RawQuery("DELETE FROM events WHERE id <= 2")))
    assert not (await verify(rows)).holds
    assert await settings.find(rows, ANCHOR) is None
    assert await settings.find(rows, HEAD) is not None


async def test_events_sealed_in_many_rounds_make_one_chain(rows: Database, write: Write) -> None:
    """However writes and rounds of sealing alternate, the chain holds and counts every event once."""
    order = random.Random(7)
    written = 0
    for _ in range(12):
        for _ in range(order.randrange(4)):
            await write()
            written += 1
        await sealer(rows).run_once()
    await sealer(rows).run_once()
    result = await verify(rows)
    assert result.holds
    assert result.checked == written + len(await everything(rows, kind=CHECKPOINT))


async def test_sign_ins_are_counted_and_failures_listed(rows: Database) -> None:
    """A thousand sign-ins of one credential leave two rows; each failure leaves its own."""
    now = [0.0]
    log = SignInLog(rows, clock=lambda: now[0])
    for _ in range(1000):
        log.succeeded(ALICE)
    log.succeeded(BOB)
    log.failed(BOB, "wrong password")
    log.failed(BOB, "wrong password")
    await log.flush()
    now[0] = WINDOW
    await log.flush()
    found = [(e.actor, e.result, e.count) for e in await everything(rows, kind=events.SIGN_IN)]
    assert sorted(found) == [
        ("alice", "success", 1),
        ("alice", "success", 999),
        ("bob", "failure", 1),
        ("bob", "failure", 1),
        ("bob", "success", 1),
    ]


async def test_what_was_noted_is_written_when_the_process_ends(rows: Database) -> None:
    """Ending the log writes what waits, the counts of open windows included."""
    log = SignInLog(rows)
    task = asyncio.ensure_future(log.run())
    await asyncio.sleep(0)
    for _ in range(3):
        log.succeeded(ALICE)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [e.count for e in await everything(rows)] == [2, 1]


async def test_export_is_whole_and_readable(rows: Database, write: Write) -> None:
    """JSON lines and CSV have every event; names that a spreadsheet would run are made text."""
    evil = Source(name='=cmd|" /c calc"!A1\nx')
    await write(by=evil, repository="team/app", detail={"a": "b"})
    await write(tag="v1", repository="team/app")
    lines = "".join([piece async for piece in export(rows, Filter(), Format.JSONL)]).splitlines()
    assert [json.loads(line)["actor"] for line in lines] == ["alice", evil.name]
    assert json.loads(lines[1])["detail"] == {"a": "b"}
    table_ = list(csv.DictReader(io.StringIO("".join([p async for p in export(rows, Filter(), Format.CSV)]))))
    assert [row["actor"] for row in table_] == ["alice", f"'{evil.name}"]


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
async def test_forwarding_goes_on_where_it_stopped(rows: Database, write: Write, scheme: str) -> None:
    """A receiver gets each sealed event once, as RFC 5424 with JSON, and what it missed when it is back."""
    received: list[bytes] = []
    await write(tag="one", repository="team/app")
    await sealer(rows).run_once()
    away = Forwarder(rows, Receiver("tcp://127.0.0.1:9"))
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await away.run_once()
    port, close = await listen(scheme, received)
    forwarder = Forwarder(rows, Receiver(f"{scheme}://127.0.0.1:{port}"))
    assert await forwarder.run_once() == 1
    await write(tag="two", repository="team/app", result=events.FAILURE)
    await sealer(rows).run_once()
    await forwarder.run_once()
    for _ in range(100):
        if b"two" in b"".join(received):
            break
        await asyncio.sleep(0.02)
    close()
    text = b"".join(received).decode()
    assert text.count('"tag": "one"') == 1
    assert text.count('"tag": "two"') == 1
    assert "<109>1 " in text
    assert "<108>1 " in text


async def listen(scheme: str, received: list[bytes]) -> tuple[int, Callable[[], None]]:
    """Listen as a syslog receiver would; return the port and how to stop."""
    if scheme == "tcp":

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read())
            writer.close()

        server = await asyncio.start_server(read, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1], server.close

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            received.append(data)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    return transport.get_extra_info("sockname")[1], transport.close


def test_a_seal_depends_on_every_column_and_on_its_place() -> None:
    """No column but those of the chain can change without changing the seal."""
    event = EventRecord(1, "push", *("x",) * 9, "success", 1, None, 5, None, None)
    seal = chain.seal_of(chain.GENESIS, 1, event)
    assert chain.seal_of(chain.GENESIS, 2, event) != seal
    assert chain.seal_of("1" * 64, 1, event) != seal
    other = EventRecord(1, "push", *("x",) * 9, "success", 1, None, 5, 9, "z")
    assert chain.seal_of(chain.GENESIS, 1, other) == seal
