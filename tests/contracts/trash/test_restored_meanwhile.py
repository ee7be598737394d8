"""Emptying and restoring at the same time: all of it comes back or nothing does, and what was pushed since stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from entrepot.access.faults import NotFound
from entrepot.metadata import clock
from entrepot.metadata.contents import repositories
from entrepot.metadata.lifecycle import trash
from entrepot.registry.repositories import Repositories
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import WEEK, Bin
from tests.contracts.trash.test_expiring import Impatient, Killed
from tests.contracts.trash.test_whole import filled


class Meanwhile(Unwatched):
    """Does something when the first step of an emptying is done."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the first step."""
        self.work = work
        self.is_done = False

    async def step(self, done: int, total: int | None = None) -> None:
        """Do it once."""
        if not self.is_done:
            self.is_done = True
            await self.work()


async def test_a_repository_of_which_a_part_is_gone_does_not_come_back(bin_: Bin) -> None:
    """It is refused; what somebody pushes under its name then is another, which the emptying leaves alone."""
    await filled(bin_, count=22)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    lying = await bin_.entry(trash.REPOSITORY)
    await bin_.age(WEEK)

    async def push() -> None:
        with pytest.raises(NotFound, match="not in the trash any more"):
            await bin_.restore(lying)
        await bin_.pusher().image("new", b"acknowledged")

    watching = Meanwhile(push)
    await bin_.expiry.expire(watching)
    assert watching.is_done
    assert await bin_.has("new")
    assert await bin_.entries() == []
    assert (await bin_.registry.tags.list(NAME, limit=99)).items == ["new"]


async def test_a_repository_that_was_restored_before_the_first_step_stays(bin_: Bin) -> None:
    """Whoever empties has read its entry before."""
    await filled(bin_)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    lying = await bin_.entry(trash.REPOSITORY)
    await bin_.restore(lying)
    assert (await bin_.expiry.remove([lying], Unwatched())).manifests == 0
    assert await bin_.has("multi")
    await bin_.registry.repositories.empty(await bin_.repository())
    assert await bin_.has("multi")


@pytest.mark.parametrize("kind", [trash.REPOSITORY, trash.PROJECT])
async def test_what_was_restored_and_deleted_again_has_its_new_time(bin_: Bin, kind: str) -> None:
    """Whoever empties and read the old entry removes nothing for it: the new one says how long it stays."""
    await filled(bin_)

    async def delete() -> None:
        if kind == trash.REPOSITORY:
            await bin_.registry.repositories.delete(NAME, actor=ALICE)
        else:
            await bin_.registry.project_deletion.delete(await bin_.project(), actor=ALICE, with_repositories=True)

    await delete()
    old = await bin_.entry(kind)
    await bin_.restore(old)
    await delete()
    assert (await bin_.expiry.remove([old], Unwatched())).manifests == 0
    new = await bin_.entry(kind)
    assert new.id != old.id
    await bin_.restore(new)
    assert await bin_.has("multi")


async def test_a_project_that_was_restored_before_the_first_step_stays(bin_: Bin) -> None:
    """With its repositories."""
    await filled(bin_)
    await bin_.registry.project_deletion.delete(await bin_.project(), actor=ALICE, with_repositories=True)
    lying = await bin_.entry(trash.PROJECT)
    await bin_.restore(lying)
    assert (await bin_.expiry.remove([lying], Unwatched())).manifests == 0
    await bin_.registry.project_deletion.empty((await bin_.project()).id)
    assert await bin_.has("multi")


async def test_a_project_of_which_a_part_is_gone_does_not_come_back(bin_: Bin) -> None:
    """Nor does a repository of it; a push makes both anew, and the emptying leaves those alone."""
    await filled(bin_, count=22)
    await bin_.registry.project_deletion.delete(await bin_.project(), actor=ALICE, with_repositories=True)
    project, repository = await bin_.entry(trash.PROJECT), await bin_.entry(trash.REPOSITORY)

    async def push() -> None:
        with pytest.raises(NotFound, match="not in the trash any more"):
            await bin_.restore(project)
        await bin_.pusher().image("new", b"acknowledged")
        with pytest.raises(NotFound, match="not in the trash any more"):
            await bin_.restore(repository, into=(await bin_.project()).id)

    watching = Meanwhile(push)
    await bin_.expiry.remove([project], watching)
    assert watching.is_done
    assert await bin_.has("new")
    assert await bin_.entries() == []
    assert (await bin_.project()).id != project.project_id


async def test_an_emptying_that_was_stopped_goes_on_though_there_is_time_left(bin_: Bin) -> None:
    """What is left of it cannot be restored, so that nothing is gained by keeping it."""
    await filled(bin_, count=22)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    with pytest.raises(Stopped):
        await bin_.expiry.expire(Impatient(0), everything=True)
    lying = await bin_.entry(trash.REPOSITORY)
    assert lying.expires_at <= clock.now()
    with pytest.raises(NotFound, match="not in the trash any more"):
        await bin_.restore(lying)
    assert (await bin_.expire()).entries == 1
    assert await bin_.entries() == []


async def test_what_was_deleted_for_good_is_not_restored_though_a_kill_left_its_entry(
    bin_: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever purges wants it gone, from the answer on."""
    await filled(bin_)

    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Repositories, "empty", killed)
        with pytest.raises(Killed):
            await bin_.registry.repositories.delete(NAME, actor=ALICE, purging=True)
    with pytest.raises(NotFound, match="not in the trash any more"):
        await bin_.restore(await bin_.entry(trash.REPOSITORY))
    assert await repositories.find_exact(bin_.database, NAME) is None
    assert (await bin_.expire()).entries == 1
