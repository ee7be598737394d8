"""The rows of nodes, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from entrepot.metadata import clock, nodes
from entrepot.metadata.database import Database
from entrepot.metadata.nodes import Node, NodeState
from entrepot.metadata.work_tables import work_metadata
from entrepot.system.nodes import Presence
from entrepot.telemetry.instruments import Metrics
from tests.support.databases import create_all

ONE = Node(
    name="one",
    instance="first",
    role="all",
    version="1",
    address="http://10.0.0.1:5000",
    started_at=1,
    figures={"load": 0.5},
)


@pytest.fixture
async def work(database: Database) -> Database:
    """Give an empty database with its tables."""
    await create_all(database, work_metadata)
    return database


async def beat(work: Database, node: Node) -> None:
    """Give a sign of life."""
    await work.write(partial(nodes.beat, node=node))


async def drain(work: Database, name: str, *, drained: bool = True) -> bool:
    """Take a node out of service, or put it back."""
    return await work.write(partial(nodes.drain, name=name, drained=drained))


async def test_a_node_is_as_it_said_last(work: Database) -> None:
    """A sign of life replaces the one before, and says when it was given."""
    before = clock.now()
    await beat(work, ONE)
    await beat(work, replace(ONE, version="2", stopping=True))
    (found,) = await nodes.every(work)
    assert before <= found.seen_at <= clock.now()
    assert replace(found, seen_at=0) == replace(ONE, version="2", stopping=True)
    assert await nodes.find(work, "none") is None


async def test_people_drain_a_node_and_its_signs_of_life_do_not_undo_it(work: Database) -> None:
    """It stays drained over signs of life, an orderly end and a start under the same name."""
    await beat(work, ONE)
    assert await drain(work, "one")
    assert not await drain(work, "one")
    assert not await drain(work, "none")
    await beat(work, ONE)
    await work.write(partial(nodes.leave, node=ONE))
    await beat(work, replace(ONE, instance="second"))
    assert (await nodes.out_of_service(work, "one"))[0]
    assert await drain(work, "one", drained=False)
    assert await nodes.out_of_service(work, "one") == (False, "")


async def test_who_ends_in_order_goes_and_takes_no_other_along(work: Database) -> None:
    """The row of a start goes with it, and not with an earlier start that took long to end."""
    await beat(work, replace(ONE, instance="second"))
    await work.write(partial(nodes.leave, node=ONE))
    assert await nodes.find(work, "one") is not None
    await work.write(partial(nodes.leave, node=replace(ONE, instance="second")))
    assert await nodes.find(work, "one") is None


async def test_silent_nodes_are_lost_and_after_a_day_forgotten(work: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 20 seconds without a sign of life a node counts as lost; after a day its row goes, drained or not."""
    now = clock.now()
    await beat(work, ONE)
    await drain(work, "one")
    found = await nodes.find(work, "one")
    assert found is not None
    assert found.state(found.seen_at + 20 * clock.MICROSECONDS) is NodeState.DRAINED
    assert replace(found, drained=False).state(now) is NodeState.UP
    assert replace(found, stopping=True).state(now) is NodeState.STOPPING
    assert found.state(found.seen_at + 21 * clock.MICROSECONDS) is NodeState.LOST
    monkeypatch.setattr(clock, "now", lambda: now + 25 * 3600 * clock.MICROSECONDS)
    await beat(work, replace(ONE, name="two"))
    assert [node.name for node in await nodes.every(work)] == ["two"]


def presence(work: Database, folder: Path, *, name: str = "one") -> Presence:
    """Give one of the processes of a node, whose folder this is."""
    for part in (folder, folder / "metrics"):
        part.mkdir(exist_ok=True)
    (folder / "lock").touch()
    return Presence(
        work, Metrics(), name=name, role="web", address="", folder=folder, is_stopping=(folder / "stop").exists
    )


async def test_one_process_speaks_for_a_node(work: Database, tmp_path: Path) -> None:
    """Of several, one writes; when it ends another takes over; all hear that the node is drained."""
    one, other = (presence(work, tmp_path / "node") for _ in range(2))
    await one.look()
    first = await nodes.find(work, "one")
    await other.look()
    assert await nodes.find(work, "one") == first
    await drain(work, "one")
    await other.look()
    await one.look()
    assert one.drained
    assert other.drained
    await one.close()
    await other.look()
    found = await nodes.find(work, "one")
    assert found is not None
    assert first is not None
    assert found.seen_at > first.seen_at


async def test_two_nodes_with_one_name_are_told(
    work: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each finds the other's start in its row, and the log says what to do; a restart under its name is no news."""
    monkeypatch.setattr(nodes, "BEAT_SECONDS", 0.0)
    one, other = presence(work, tmp_path / "one"), presence(work, tmp_path / "other")
    await one.look()
    await other.look()
    assert "same name" not in caplog.text
    await one.look()
    assert "another node has the same name: give each its own (node.name)" in caplog.text
