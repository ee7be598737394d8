"""R24 for the trash: hypothesis drives the registry's services and a model of dictionaries, and holds both together.

After every step tags, manifests and entries of the trash are those of the model, and what the project uses is what
adding everything up gives; after a collection the store has exactly the bytes that the model needs.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from entrepot.access.faults import NotFound
from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.quotas import ProjectQuota, RoomInTrash
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.metadata.contents import repositories, repository_contents
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.lifecycle import trash_usage
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.metadata.tables import metadata as metadata_tables
from entrepot.metadata.usage.usage import Limits, Standing
from entrepot.metadata.work_tables import work_metadata as work_tables
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestUnknown, NameUnknown, QuotaExceeded
from entrepot.oci.reference import RepositoryName
from entrepot.registry.service import build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Unwatched
from tests.contracts.collection.conftest import GRACE, Clock, House, collecting_in
from tests.contracts.quota.test_usage import limit, standing
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE
from tests.contracts.retention.conftest import Keeper
from tests.contracts.retention.conftest import rule as about
from tests.contracts.trash.conftest import DAY, WEEK, Bin
from tests.contracts.trash.test_restored_meanwhile import Meanwhile
from tests.support.databases import create_all
from tests.support.manifests import image
from tests.support.trash_model import NAMES, TAGS, Entry, Model, Refused, Repository

CONFIG = b"{}"
LAYERS = [b"a" * 100, b"b" * 200, b"c" * 300]
#: Images that share layers, by the digests of their manifests.
IMAGES = {str(Digest.of(image(CONFIG, *some))): some for some in (LAYERS[:1], LAYERS[:2], LAYERS[1:], LAYERS[2:])}
REFUSALS = (Denied, ManifestUnknown, NameUnknown, NotFound)
LOOSE = 10_000
TIGHT = 1_500

names = st.sampled_from(NAMES)
digests = st.sampled_from(sorted(IMAGES))
tags = st.sampled_from(TAGS)
numbers = st.integers(min_value=0, max_value=20)


class TrashMachine(RuleBasedStateMachine):
    """The registry and its model."""

    def __init__(self) -> None:
        """Open a registry with nothing in it."""
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="entrepot-model-")
        self.patch = pytest.MonkeyPatch()
        self.loop = asyncio.Runner()
        self.clock = Clock(self.patch)
        self.model = Model(WEEK)
        self.hard = LOOSE
        self.loop.run(self._open())

    async def _open(self) -> None:
        metadata, work = (SqliteDatabase(Path(self.folder.name) / name) for name in ("metadata.db", "work.db"))
        await create_all(metadata, metadata_tables)
        await create_all(work, work_tables)
        self.kit = Kit(metadata, work, MemoryBlobStore())
        room = RoomInTrash(metadata)
        wanted = RegistrySettings(
            trash_seconds=WEEK,
            grace_seconds=GRACE,
            tag_rules=ImmutableTags(),
            make_room=room,
            deleting_wait_seconds=0.1,
        )
        registry = build_registry(metadata=metadata, work=work, store=self.kit.store, settings=wanted)
        self.bin = Bin(kit=self.kit, registry=registry, settings=wanted)
        room.use(self.bin.expiry)
        self.house = House(self.kit, self.clock, collecting_in(self.kit))
        await limit(metadata, Limits(hard_bytes=LOOSE))

    def teardown(self) -> None:
        """Let everything go, and close."""
        try:
            self.empty()
            self.collect()
            self.loop.run(self._whole())
        finally:
            self.loop.run(self.kit.metadata.close())
            self.loop.run(self.kit.work.close())
            self.loop.close()
            self.patch.undo()
            self.folder.cleanup()

    # ------------------------------------------------------------------------------------------------- both at once

    @rule(name=names, digest=digests, tag=tags | st.none())
    def push(self, name: str, digest: str, tag: str | None) -> None:
        """Push an image; where there is no room, the oldest of the trash goes first."""
        work = self.bin.pusher(RepositoryName(name)).image(tag, *IMAGES[digest])
        try:
            done = self.loop.run(_tried(work))
        except QuotaExceeded:
            self._trash_made_room()
            free = self.hard - self.loop.run(self._used()) + self.loop.run(self._used_by_trash()).bytes
            whole = sum(len(part) for part in (CONFIG, *IMAGES[digest], image(CONFIG, *IMAGES[digest])))
            assert free < whole, "refused for want of room, and emptying the trash would have made it"
            if self.loop.run(repositories.find_exact(self.kit.metadata, name)) is not None:
                self.model.repositories.setdefault(name, Repository(name))  # its blobs were pushed
            return
        self._trash_made_room()
        self._same(done, lambda: self.model.push(name, digest, tag))

    @rule(name=names, tag=tags)
    def delete_tag(self, name: str, tag: str) -> None:
        """Delete a tag."""
        work = self.bin.delete(tag, RepositoryName(name))
        self._same(self.loop.run(_tried(work)), lambda: self.model.delete_tag(name, tag, self.now))

    @rule(name=names, digest=digests)
    def delete_manifest(self, name: str, digest: str) -> None:
        """Delete a manifest."""
        work = self.bin.delete(image(CONFIG, *IMAGES[digest]), RepositoryName(name))
        self._same(self.loop.run(_tried(work)), lambda: self.model.delete_manifest(name, digest, self.now))

    @rule(name=names)
    def delete_repository(self, name: str) -> None:
        """Delete a repository."""
        work = self.bin.registry.repositories.delete(RepositoryName(name), actor=ALICE)
        self._same(self.loop.run(_tried(work)), lambda: self.model.delete_repository(name, self.now))

    @precondition(lambda self: self.model.repositories)
    @rule(tag=tags)
    def retain(self, tag: str) -> None:
        """Let a policy keep one tag of each repository, when the grace of what has no tag is over."""
        self.clock.advance(GRACE + 1)
        before = len(self.model.entries)
        self.loop.run(self._retain(tag))
        self.model.retain(tag, self.now)
        theirs = [_shown(one) for one in self.loop.run(self.bin.entries())]
        self.model.entries[before:] = sorted(
            self.model.entries[before:], key=lambda one: theirs[before:].index(one.shown)
        )

    async def _retain(self, tag: str) -> None:
        keeper = Keeper(self.bin)
        await keeper.run(await keeper.policy(about("always", None, tag)))

    @precondition(lambda self: self.model.entries)
    @rule(number=numbers, replace=st.booleans())
    def restore(self, *, number: int, replace: bool) -> None:
        """Restore something; a project that holds more than it may gets nothing back."""
        mine, theirs = self._chosen(number)
        restoring = Restoring.over(self.kit.metadata, self.bin.registry.lookup, self.bin.settings, ProjectQuota())
        try:
            done = self.loop.run(_tried(restoring.restore(theirs, replace=replace, by=ALICE)))
        except QuotaExceeded:
            assert self.loop.run(standing(self.kit.metadata)).bytes > self.hard
            return
        self._same(done, lambda: self.model.restore(mine, replace=replace))

    @precondition(lambda self: self.model.repositories)
    @rule(number=numbers)
    def restore_too_late(self, number: int) -> None:
        """Restore a deleted repository while it is being removed for good: that is refused, and it goes."""
        if (chosen := self._delete_one(number)) is None:
            return
        mine, theirs = chosen
        late = Meanwhile(lambda: self._refuse_to_restore(theirs))
        self.loop.run(self.bin.expiry.remove([theirs], late))
        assert late.is_done
        self.model.expire_entry(mine)

    @precondition(lambda self: self.model.repositories)
    @rule(number=numbers)
    def restore_in_time(self, number: int) -> None:
        """Restore a deleted repository when who removes it for good has read its entry: it comes back, and stays."""
        if (chosen := self._delete_one(number)) is None:
            return
        mine, theirs = chosen
        self._same(self.loop.run(_tried(self.bin.restore(theirs))), lambda: self.model.restore(mine, replace=False))
        self.loop.run(self.bin.expiry.remove([theirs], Unwatched()))

    def _delete_one(self, number: int) -> tuple[Entry, TrashEntry] | None:
        """Delete a repository, unless a rule keeps a tag of it; return its entry, and the registry's own."""
        names = sorted(self.model.repositories)
        before = len(self.model.entries)
        self.delete_repository(name=names[number % len(names)])
        return None if len(self.model.entries) == before else self._chosen(before)

    async def _refuse_to_restore(self, entry: TrashEntry) -> None:
        assert not await _tried(self.bin.restore(entry)), "a repository came back of which a part is gone"

    @precondition(lambda self: self.model.entries)
    @rule(number=numbers)
    def purge_entry(self, number: int) -> None:
        """Purge something of the trash."""
        mine, theirs = self._chosen(number)
        self.loop.run(_tried(self.bin.purging.entry(theirs, by=self.bin.purger())))
        self.model.purge_entry(mine)

    @rule(name=names, digest=digests)
    def purge_manifest(self, name: str, digest: str) -> None:
        """Purge an image of a repository."""
        self._same(self.loop.run(_tried(self._purge(name, digest))), lambda: self.model.purge_manifest(name, digest))

    async def _purge(self, name: str, digest: str) -> None:
        repository = await repositories.find_exact(self.kit.metadata, name)
        if repository is None:
            raise NotFound("no repository")
        await self.bin.purging.artifact(repository, digest, by=self.bin.purger())

    @rule(days=st.sampled_from([0.1, 3.0, 5.0]))
    def let_time_pass(self, days: float) -> None:
        """Let time pass, and remove what is past its time."""
        self.clock.advance(days * DAY)
        self.loop.run(self.bin.expire())
        self.model.expire(self.now)

    @rule()
    def empty(self) -> None:
        """Empty the trash; the project uses less by what was said to be in it."""
        before, held = self.loop.run(self._used()), self.loop.run(self._used_by_trash())
        self.loop.run(self.bin.expire(everything=True))
        assert before - self.loop.run(self._used()) == held.bytes
        self.model.expire(float("inf"))

    @rule()
    def collect(self) -> None:
        """Let the grace of everything pass, and collect: what is left is what the model needs."""
        for _ in range(2):
            self.clock.advance(GRACE + 1)
            self.loop.run(self.house.collect())
        needed = {str(Digest.of(part)) for digest in self.model.needed() for part in (CONFIG, *IMAGES[digest])}
        assert self.loop.run(self.house.keys()) == needed

    @rule(hard=st.sampled_from([TIGHT, LOOSE]))
    def set_quota(self, hard: int) -> None:
        """Let the project have more or less room."""
        self.hard = hard
        self.loop.run(limit(self.kit.metadata, Limits(hard_bytes=hard)))

    @precondition(lambda self: self.model.protected is None)
    @rule(tag=tags)
    def protect(self, tag: str) -> None:
        """Make a rule that keeps a tag."""
        self.rule_number = self.loop.run(self.bin.protect(tag))
        self.model.protected = tag

    @precondition(lambda self: self.model.protected is not None)
    @rule()
    def unprotect(self) -> None:
        """Remove the rule."""
        self.loop.run(self._unprotect())
        self.model.protected = None

    async def _unprotect(self) -> None:
        await self.bin.rules.delete(await self.bin.project(), self.rule_number, by=ALICE)

    # ------------------------------------------------------------------------------------------------------ compared

    @invariant()
    def both_hold_the_same(self) -> None:
        """Compare all of it."""
        self.loop.run(self._compare())

    async def _compare(self) -> None:
        database: Database = self.kit.metadata
        for name in NAMES:
            mine = self.model.repositories.get(name)
            manifests, named = (set(), {}) if mine is None else mine.copy()
            found = await repository_contents.read(database, name)
            assert (found.manifests, found.tags) == (manifests, named), name
        shown = Counter(_shown(one) for one in await self.bin.entries())
        assert shown == Counter(one.shown for one in self.model.entries)
        await standing(database)

    async def _whole(self) -> None:
        """Every image of the model is there to the last byte."""
        for name, repository in self.model.repositories.items():
            for digest in repository.manifests:
                await self.bin.registry.manifests.get(RepositoryName(name), Digest.parse(digest), content=True)
                for layer in (CONFIG, *IMAGES[digest]):
                    blob = await self.bin.registry.blobs.get(RepositoryName(name), Digest.of(layer))
                    assert blob.size == len(layer)

    @property
    def now(self) -> float:
        """The time that the clock was moved on, in seconds: the steps themselves take none."""
        return self.clock.ahead / 1_000_000

    def _chosen(self, number: int) -> tuple[Entry, TrashEntry]:
        """Choose an entry of the model, and the registry's own; of equal ones, the one that came first."""
        mine = self.model.entries[number % len(self.model.entries)]
        alike = [one for one in self.model.entries if one.shown == mine.shown]
        theirs = [one for one in self.loop.run(self.bin.entries()) if _shown(one) == mine.shown]
        return mine, theirs[alike.index(mine)]

    async def _used(self) -> int:
        """Give the bytes that the project uses."""
        return (await standing(self.kit.metadata)).bytes

    async def _used_by_trash(self) -> Standing:
        """Give what the trash says that it holds."""
        project = await self.bin.project()
        return Standing(await trash_usage.find(self.kit.metadata, project.id), Limits())

    def _trash_made_room(self) -> None:
        """Follow what a push took out of the trash: the oldest."""
        left = len(self.loop.run(self.bin.entries()))
        for entry in self.model.entries[: len(self.model.entries) - left]:
            self.model.expire_entry(entry)

    def _same(self, done: bool, work: Callable[[], None]) -> None:  # noqa: FBT001 - what happened
        """Do in the model what the registry did; both do it, or both refuse."""
        before = len(self.model.entries)
        try:
            work()
        except Refused:
            assert not done, "the registry did what it has to refuse"
            assert len(self.model.entries) == before
        else:
            assert done, "the registry refused what it has to do"


def _shown(entry: TrashEntry) -> tuple[str, str, str | None, tuple[str, ...]]:
    """Return what the model shows of an entry."""
    return entry.kind, entry.repository, entry.digest, tuple(sorted(entry.tags))


async def _tried(work: Coroutine[Any, Any, object]) -> bool:
    """Do something; false when it was refused, other than for want of room."""
    try:
        await work
    except QuotaExceeded:
        raise
    except REFUSALS:
        return False
    return True


def _run(examples: int, steps: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        TrashMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=examples < 100,
            suppress_health_check=slow,
            database=None,
        ),
    )


def test_the_registry_does_what_the_model_does() -> None:
    """Some hundred steps."""
    _run(10, 40)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_registry_does_what_the_model_does_for_long() -> None:
    """R24: 20,000 steps, others each time."""
    _run(400, 50)
