"""Policies that are changed or removed while they run, over each database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from entrepot.lifecycle.retention import removal, removal_batches, repository_evaluation
from entrepot.metadata.jobs.job_runs import State
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.pushing import ALICE
from tests.contracts.retention.conftest import Keeper, rule

LATER = RepositoryName.parse("team/later")


class Said(Unwatched):
    """Remembers what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def say(self, message: str) -> None:
        """Take a line of the log."""
        self.lines.append(message)


@pytest.fixture
async def said(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> Said:
    """The log of a run over two repositories of three tags each, which go one by one."""
    monkeypatch.setattr(removal_batches, "AT_ONCE", 1)
    for name in (keeper.bin.pusher().name, LATER):
        for number in range(3):
            await keeper.bin.pusher(name).image(f"v{number}", b"%d" % number)
    return Said()


def after_the_first_removal(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]) -> None:
    """Let something happen when one tag is gone."""
    first, done = removal.Removing.remove, list[int]()

    async def remove(self: removal.Removing, batch: Sequence[Any]) -> int:
        if len(done) == 1:
            await happens()
        done.append(1)
        return await first(self, batch)

    monkeypatch.setattr(removal.Removing, "remove", remove)


async def test_a_policy_that_is_changed_while_it_runs_goes_on_by_its_new_rules(
    keeper: Keeper, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, in the repository that it is in, and the log says so; what was removed before is in the trash."""
    policy = await keeper.policy(rule("latestPushedK", 0))
    after_the_first_removal(monkeypatch, lambda: keeper.change(policy, rule("always", None, "v1")))
    await keeper.run(policy, progress=said)
    assert [await keeper.bin.has(f"v{number}") for number in range(3)] == [False, True, False]
    assert [await keeper.bin.has(f"v{number}", LATER) for number in range(3)] == [False, True, False]
    assert said.lines[0] == f"app: retention policy {policy} was changed; from here on its new rules hold"
    assert keeper.results[-1] == {"dry_run": False, "repositories": 2, "total": 5, "retained": 2, "removed": 4}


async def test_a_policy_that_is_removed_while_it_runs_removes_nothing_more(
    keeper: Keeper, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log and the result say so; the task that was under way is one that was stopped."""
    policy = await keeper.policy(rule("latestPushedK", 0))

    async def remove() -> None:
        await keeper.policies.delete(await keeper.bin.project(), policy, by=ALICE)

    after_the_first_removal(monkeypatch, remove)
    run = await keeper.run(policy, progress=said)
    assert [await keeper.bin.has(f"v{number}") for number in range(3)] == [False, True, True]
    assert all([await keeper.bin.has(f"v{number}", LATER) for number in range(3)])
    assert said.lines == [f"app: retention policy {policy} was removed; nothing more goes by its rules"]
    assert (keeper.results[-1]["off"], keeper.results[-1]["removed"]) == (
        f"retention policy {policy} was removed while this ran",
        1,
    )
    assert [task.state for task in await keeper.tasks(policy, run)] == [State.STOPPED]


async def test_a_policy_whose_rules_are_switched_off_while_it_runs_removes_nothing_more(
    keeper: Keeper, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the repository that it is in nor in the others."""
    policy = await keeper.policy(rule("latestPushedK", 0))
    after_the_first_removal(monkeypatch, lambda: keeper.change(policy, rule("latestPushedK", 0, disabled=True)))
    run = await keeper.run(policy, progress=said)
    assert [await keeper.bin.has(f"v{number}") for number in range(3)] == [False, True, True]
    assert all([await keeper.bin.has(f"v{number}", LATER) for number in range(3)])
    assert [task.state for task in await keeper.tasks(policy, run)] == [State.STOPPED]
    assert "was changed" in said.lines[0]


async def test_rules_that_are_changed_while_tags_are_judged_decide_nothing(
    keeper: Keeper, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided by the old ones is decided anew; pulls are written down if only the new ones look at them."""
    policy = await keeper.policy(rule("latestPushedK", 0))
    finish, done = repository_evaluation._Verdicts.finish, list[int]()

    async def changed(self: repository_evaluation._Verdicts, record: Any) -> None:
        if not done:
            await keeper.change(policy, rule("latestPushedK", 3), rule("latestPulledN", 1))
        done.append(1)
        await finish(self, record)

    monkeypatch.setattr(repository_evaluation._Verdicts, "finish", changed)
    await keeper.run(policy, progress=said)
    assert all([await keeper.bin.has(f"v{number}") for number in range(3)])
    assert (len(done), keeper.settled, keeper.results[-1]["removed"]) == (3, 1, 0)


async def test_a_dry_run_tells_nothing_by_rules_that_were_changed_meanwhile(
    keeper: Keeper, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes nothing that would notice: what it says is decided anew by the rules that hold at its end."""
    policy = await keeper.policy(rule("latestPushedK", 0))
    finish, done = repository_evaluation._Verdicts.finish, list[int]()

    async def changed(self: repository_evaluation._Verdicts, record: Any) -> None:
        if not done:
            await keeper.change(policy, rule("always", None, "v1"))
        done.append(1)
        await finish(self, record)

    monkeypatch.setattr(repository_evaluation._Verdicts, "finish", changed)
    run = await keeper.run(policy, dry_run=True, progress=said)
    verdicts = await keeper.verdicts(policy, run)
    assert {tag: one.kept for tag, one in verdicts.items()} == {"v0": False, "v1": True, "v2": False}
    assert keeper.results[-1] == {"dry_run": True, "repositories": 2, "total": 6, "retained": 2, "removed": 0}
    assert all([await keeper.bin.has(f"v{number}") for number in range(3)])
