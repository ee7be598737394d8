"""What a run holds in memory, does in one transaction and leaves behind, over each database: bounded by numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from entrepot.access.faults import NotFound
from entrepot.lifecycle.retention import removal, removal_batches, repository_evaluation, verdict_expiry
from entrepot.metadata.lifecycle import retention_verdicts, trash
from entrepot.metadata.lifecycle.retention_verdicts import PIECE, StoredVerdict
from entrepot.oci.reference import RepositoryName
from tests.contracts.retention.conftest import Keeper, rule

OTHER = RepositoryName.parse("team/other")


async def kept(keeper: Keeper, policy: int, run: int) -> list[int]:
    """How many verdicts are there of each task of a run."""
    tasks = await keeper.tasks(policy, run)
    return [sum([len(piece) async for piece in keeper.executions.verdicts(task)]) for task in tasks]


async def test_verdicts_are_kept_of_the_latest_runs_and_what_those_came_to_of_all(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of dry runs, whatever another policy does; who asks for what was forgotten is told what is kept."""
    monkeypatch.setattr(verdict_expiry, "RUNS", 2)
    monkeypatch.setattr(verdict_expiry, "_RUNS_AT_ONCE", 1)
    for tag in ("v1", "v2"):
        await keeper.bin.pusher().image(tag, tag.encode())
    policy = await keeper.policy(rule("latestPushedK", 1))
    runs = [await keeper.run(policy, dry_run=True) for _ in range(4)]
    assert [await kept(keeper, policy, run) for run in runs] == [[0], [0], [2], [2]]
    tasks = [(await keeper.tasks(policy, run))[0] for run in runs]
    assert [(task.total, task.retained) for task in tasks] == [(2, 1)] * 4
    with pytest.raises(NotFound, match="not kept any more"):
        await keeper.executions.some_verdicts(tasks[0], offset=0, limit=10)
    assert len(await keeper.executions.some_verdicts(tasks[3], offset=0, limit=10)) == 2


async def test_so_many_verdicts_of_a_policy_are_kept(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first, of a run that comes to more those of its first repositories; pieces go some at a time."""
    monkeypatch.setattr(repository_evaluation, "PIECE", 1)
    monkeypatch.setattr(verdict_expiry, "PIECE", 1)
    monkeypatch.setattr(verdict_expiry, "_AT_ONCE", 2)
    for name in (keeper.bin.pusher().name, OTHER):
        for number in range(3):
            await keeper.bin.pusher(name).image(f"v{number}", b"%d" % number)
    policy = await keeper.policy(rule("always"))
    monkeypatch.setattr(verdict_expiry, "VERDICTS", 9)
    first, second = [await keeper.run(policy) for _ in range(2)]
    assert [await kept(keeper, policy, run) for run in (first, second)] == [[3, 0], [3, 3]]
    monkeypatch.setattr(verdict_expiry, "VERDICTS", 5)
    third = await keeper.run(policy)
    assert [await kept(keeper, policy, run) for run in (first, second, third)] == [[0, 0], [0, 0], [3, 0]]
    assert keeper.results == [{"dry_run": False, "repositories": 2, "total": 6, "retained": 6, "removed": 0}] * 3


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 5, range(5)),
        (998, 5, range(998, 1003)),
        (999, 1, range(999, 1000)),
        (999, 2, range(999, 1001)),
        (1000, 3, range(1000, 1003)),
        (2100, 100, range(2100, 2103)),
        (500, 1600, range(500, 2100)),
        (2103, 10, range(0)),
    ],
)
async def test_pages_of_verdicts_go_on_past_a_thousand(
    keeper: Keeper, offset: int, limit: int, expected: range
) -> None:
    """Wherever a page begins and ends, it holds those verdicts and no others, though they are kept by the thousand."""
    await keeper.bin.pusher().image("v1", b"1")
    policy = await keeper.policy(rule("always"))
    (task,) = await keeper.tasks(policy, await keeper.run(policy))
    many = [StoredVerdict(f"v{number}", "sha256:" + "0" * 64, number, 0, True, 1, "why") for number in range(2103)]  # noqa: FBT003 - the record's fields in their order
    database = keeper.bin.database
    await database.write(lambda tx: retention_verdicts.forget(tx, [task.id], upto=10), name="test")
    for number in range(3):
        content = retention_verdicts.packed(many[number * PIECE : (number + 1) * PIECE])
        add = partial(retention_verdicts.add_piece, task=task.id, number=number, content=content)
        await database.write(add, name="test")
    found = await keeper.executions.some_verdicts(replace(task, total=2103), offset=offset, limit=limit)
    assert [one.manifest_id for one in found] == list(expected)


async def test_what_went_is_not_asked_for_once_more(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has nothing to forget looks at one page of runs, however many there were."""
    monkeypatch.setattr(verdict_expiry, "RUNS", 1)
    monkeypatch.setattr(verdict_expiry, "_RUNS_AT_ONCE", 2)
    asked: list[int] = []
    before = retention_verdicts.runs_before

    async def counted(*wanted: Any, **how: Any) -> list[int]:
        asked.append(1)
        return await before(*wanted, **how)

    monkeypatch.setattr(retention_verdicts, "runs_before", counted)
    await keeper.bin.pusher().image("v1", b"one")
    policy = await keeper.policy(rule("always"))
    costs = []
    for _ in range(8):
        asked.clear()
        await keeper.run(policy)
        costs.append(len(asked))
    assert max(costs) <= 3


async def test_many_tags_of_one_image_go_some_in_each_transaction(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a tag of it stays; where none does, they and the image are one entry of the trash, as few as they are."""
    monkeypatch.setattr(removal_batches, "TAGS", 10)
    monkeypatch.setattr(removal, "TAGS", 10)
    bin_ = keeper.bin
    body = await bin_.pusher().image("stable", b"one")
    other = await bin_.pusher().image("x", b"other")
    await bin_.pusher().manifest(body, *[f"t{number:02}" for number in range(45)])
    await bin_.pusher().manifest(other, *[f"u{number:02}" for number in range(45)])
    removals: list[int] = []
    one = removal.Removing._remove

    async def counted(self: removal.Removing, batch: Sequence[Any], tx: Any) -> Any:
        found = await one(self, batch, tx)
        removals.append(found[0])
        return found

    monkeypatch.setattr(removal.Removing, "_remove", counted)
    await keeper.run(await keeper.policy(rule("always", None, "stable")))
    assert keeper.results[-1]["removed"] == 45 + 46
    assert removals == [10, 10, 10, 10, 5, 46]
    assert sorted(await bin_.kinds()) == [trash.MANIFEST] + [trash.TAG] * 45
    assert await bin_.has("stable")


def verdict(tag: str, manifest: int, *, goes: bool = True) -> StoredVerdict:
    """What was decided about a tag."""
    return StoredVerdict(tag, f"sha256:{manifest:064}", manifest, 1, not goes, None, "because")


def test_what_goes_of_one_manifest_is_put_together_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or given twice, no more is held than the window, and the same verdicts give the same batches."""
    monkeypatch.setattr(removal_batches, "_HELD", 50)
    monkeypatch.setattr(removal_batches, "AT_ONCE", 4)
    some = random.Random(7)
    verdicts = [verdict(f"t{number:04}", some.randrange(300), goes=number % 3 > 0) for number in range(1_000)]
    found = []
    for _ in range(2):
        gathered = removal_batches.Gathering()
        batches = []
        for start in range(0, 1_000, 100):
            batches += list(gathered.take(verdicts[start : start + 100]))
            assert gathered._held <= 50
        found.append([*batches, *gathered.rest()])
    assert found[0] == found[1]
    names = [name for batch in found[0] for one in batch for name in one.tags]
    assert sorted(names) == [one.tag for one in verdicts if not one.kept]
    assert max(len(batch) for batch in found[0]) <= 4
    near = removal_batches.Gathering()
    (batch,) = [*near.take([verdict("a", 1), verdict("b", 2), verdict("c", 1)]), *near.rest()]
    assert [list(one.tags) for one in batch] == [["a", "c"], ["b"]]
