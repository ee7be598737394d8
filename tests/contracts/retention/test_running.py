"""Policies are run over each database: what no rule keeps goes into the trash, and nothing that anything needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from entrepot.lifecycle.retention import removal, removal_batches
from entrepot.lifecycle.retention.policies import PolicyText
from entrepot.metadata import clock
from entrepot.metadata.contents import artifact_parts, manifests, pulls
from entrepot.metadata.contents.pulls import Pulled
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.retention.conftest import DAY, Keeper, rule
from tests.support.manifests import digest_of, entry, image, index

OTHER = RepositoryName.parse("team/deep/other")
_EVENTS = Query(
    select(events.c.kind, events.c.tag, events.c.actor, events.c.detail, events.c.subject).order_by(events.c.id),
    "test.events",
)


async def test_what_no_rule_keeps_goes_into_the_trash(keeper: Keeper) -> None:
    """With what each rule keeps and why; a dry run before says the same and removes nothing; it can be restored."""
    bin_ = keeper.bin
    for number in range(4):
        await bin_.pusher().image(f"v{number}", b"%d" % number)
        await keeper.age(f"v{number}", 10 - number)
    await bin_.pusher().image("latest", b"latest")
    policy = await keeper.policy(rule("latestPushedK", 2, "v*"), rule("always", None, "latest"))
    dry = await keeper.run(policy, dry_run=True)
    assert await bin_.has("v0")
    said = await keeper.verdicts(policy, dry)
    real = await keeper.run(policy)
    assert {tag: one.kept for tag, one in said.items()} == {
        "v0": False,
        "v1": False,
        "v2": True,
        "v3": True,
        "latest": True,
    }
    assert (said["v3"].rule, said["v3"].reason) == (1, "the 2 most recently pushed")
    assert (said["latest"].rule, said["v0"].reason) == (2, "no rule keeps it")
    assert await keeper.verdicts(policy, real) == said
    assert [await bin_.has(tag) for tag in said] == [one.kept for one in said.values()]
    expected = {"repositories": 1, "total": 5, "retained": 3}
    assert keeper.results == [
        {"dry_run": True, **expected, "removed": 0},
        {"dry_run": False, **expected, "removed": 2},
    ]
    assert await bin_.kinds() == [trash.MANIFEST, trash.MANIFEST]
    await bin_.restore(await bin_.entry(trash.MANIFEST, "v0"))
    assert await bin_.has("v0")


async def test_each_tag_of_an_image_goes_for_itself(keeper: Keeper) -> None:
    """The image stays while a tag of it does; the audit log names policy and run, and the history who it was."""
    bin_ = keeper.bin
    body = await bin_.pusher().image("stable", b"one")
    await bin_.pusher().manifest(body, "build-1", "build-2")
    policy = await keeper.policy(rule("always", None, "stable"))
    run = await keeper.run(policy)
    assert [await bin_.has(tag) for tag in ("stable", "build-1", "build-2")] == [True, False, False]
    assert await bin_.has(body)
    assert await bin_.kinds() == [trash.TAG, trash.TAG]
    told = await bin_.database.all(_EVENTS)
    deleted = [row for row in told if row[0] == "delete"]
    assert [row[1] for row in deleted] == ["build-1", "build-2"]
    assert {(row[2], row[3]) for row in deleted} == {("alice", f'{{"retention": {policy}, "run": {run}}}')}
    assert [(row[0], row[4]) for row in told][-1] == ("retain", f"retention:{policy}")


async def test_a_repository_that_no_rule_is_about_is_left_alone(keeper: Keeper) -> None:
    """Also when all of its rules are switched off, and when there are none."""
    bin_ = keeper.bin
    for name in (NAME, OTHER):
        await bin_.pusher(name).image("v1", b"one")
    policy = await keeper.policy(
        rule("latestPushedK", 0, repositories="deep/**"), rule("latestPushedK", 1, disabled=True)
    )
    run = await keeper.run(policy)
    assert [task.repository for task in await keeper.tasks(policy, run)] == ["deep/other"]
    assert await bin_.has("v1")
    assert not await bin_.has("v1", OTHER)
    await keeper.run(await keeper.policy())
    assert await bin_.has("v1")


async def test_an_index_is_a_unit(keeper: Keeper) -> None:
    """Its images stay while it stays, tagged or not, and go after it; a pull of one of them counts for it."""
    bin_ = keeper.bin
    first, second = [await bin_.pusher().image(None, text) for text in (b"one", b"two")]
    nested = index(entry(second))
    await bin_.pusher().manifest(nested)
    body = index(entry(first), entry(nested, media_type="application/vnd.oci.image.index.v1+json"))
    await bin_.pusher().manifest(body, "multi")
    await bin_.pusher().manifest(first, "amd64")
    row = await manifests.by_digest(bin_.database, NAME, digest_of(second))
    assert row is not None
    row_id = row.id
    await keeper.age_manifests(90)
    for tag in ("multi", "amd64"):
        await keeper.age(tag, 90)
    policy = await keeper.policy(rule("nDaysSinceLastPull", 30, untagged=True))
    now = 10**15 * 5
    await bin_.database.write(lambda tx: pulls.add(tx, {row_id: Pulled(1, now)}))
    run = await keeper.run(policy)
    assert keeper.settled == 1
    verdicts = await keeper.verdicts(policy, run)
    assert {tag: one.kept for tag, one in verdicts.items()} == {"multi": True, "amd64": False}
    assert await bin_.review() == 0
    assert all([await bin_.has(one) for one in (body, nested, first, second)])
    await keeper.run(await keeper.policy(rule("latestPushedK", 0, untagged=True)))
    assert not await bin_.has(body)
    while await bin_.review():
        pass
    assert not any([await bin_.has(one) for one in (body, nested, first, second)])


async def test_what_refers_to_something_goes_with_it(keeper: Keeper) -> None:
    """Signatures by subject, tagged and not, and by tag stay with a kept image and follow one that goes."""
    bin_ = keeper.bin
    pusher = bin_.pusher()
    bodies = {tag: await pusher.image(tag, tag.encode()) for tag in ("keep", "drop")}
    signatures = {}
    for tag, body in bodies.items():
        subject = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest_of(body),
            "size": len(body),
        }
        plain, named = image(b"{}", subject=subject), image(b"{}", b"%b" % tag.encode(), subject=subject)
        await pusher.manifest(plain)
        await pusher.manifest(named, f"{tag}-signature")
        old = await pusher.image(f"{digest_of(body).replace(':', '-')}.sig", b"signs " + tag.encode())
        signatures[tag] = (plain, named, old)
    policy = await keeper.policy(rule("always", None, "keep"))
    dry = await keeper.verdicts(policy, await keeper.run(policy, dry_run=True))
    await keeper.run(policy)
    while await bin_.review():
        pass
    assert {tag for tag, one in dry.items() if one.kept} == {
        "keep",
        "keep-signature",
        f"{digest_of(bodies['keep']).replace(':', '-')}.sig",
    }
    for tag, body in bodies.items():
        assert [await bin_.has(one) for one in (body, *signatures[tag])] == [tag == "keep"] * 4


async def test_what_has_no_tag_is_kept_by_a_rule_or_goes(keeper: Keeper) -> None:
    """By its age; a rule that is about tags alone does not keep it."""
    bin_ = keeper.bin
    old = await bin_.pusher().image(None, b"old")
    await keeper.age_manifests(8)
    new = await bin_.pusher().image(None, b"new")
    await bin_.pusher().image("v1", b"v1")
    policy = await keeper.policy(rule("always"), rule("nDaysSinceLastPush", 7, "none", untagged=True))
    run = await keeper.run(policy)
    assert [await bin_.has(one) for one in (old, new, "v1")] == [False, True, True]
    verdicts = await keeper.verdicts(policy, run)
    assert verdicts[digest_of(new)].rule == 2
    assert await bin_.entry(trash.MANIFEST)
    await keeper.age_manifests(1)
    await keeper.run(await keeper.policy(rule("always")))
    assert not await bin_.has(new)


async def test_a_manifest_that_is_pushed_again_is_as_young_as_on_its_first_day(keeper: Keeper) -> None:
    """By its digest, without a tag: no age of what has none removes it then; Harbor's time of the push is this one."""
    bin_ = keeper.bin
    again, old = [await bin_.pusher().image(None, text) for text in (b"again", b"old")]
    await keeper.age_manifests(90)
    await bin_.pusher().manifest(again)
    policy = await keeper.policy(rule("nDaysSinceLastPush", 7, untagged=True))
    run = await keeper.run(policy)
    assert [await bin_.has(one) for one in (again, old)] == [True, False]
    (told,) = await artifact_parts.records(bin_.database, [(await _row(keeper, again)).id])
    pushed_at = told.created_at
    assert pushed_at == (await keeper.verdicts(policy, run))[digest_of(again)].pushed_at
    assert clock.now() - pushed_at < DAY


async def test_a_manifest_that_was_pushed_again_after_the_verdict_stays(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a tag too: whoever pushed it a second ago relies on it."""
    bin_ = keeper.bin
    body = await bin_.pusher().image(None, b"one")
    await keeper.age_manifests(90)
    policy = await keeper.policy(rule("latestPushedK", 0))
    first = removal.Removing.remove

    async def remove(self: removal.Removing, batch: Sequence[Any]) -> int:
        await bin_.pusher().manifest(body)
        return await first(self, batch)

    monkeypatch.setattr(removal.Removing, "remove", remove)
    run = await keeper.run(policy)
    assert not (await keeper.verdicts(policy, run))[digest_of(body)].kept
    assert await bin_.has(body)


async def test_the_push_of_a_known_manifest_costs_no_statement_more(keeper: Keeper) -> None:
    """Its time is noted by the statement that looks for it, also where a collection was to look at it."""
    pusher = keeper.bin.pusher()
    body = await pusher.image("v1", b"one")
    queue = partial(manifests.queue, ids=[(await _row(keeper, body)).id], review_after=1)
    costs = []
    for queued in (False, True):
        if queued:
            await keeper.bin.database.write(queue)
        before = keeper.bin.database.statistics.statements
        await pusher.manifest(body, "v1")
        costs.append(keeper.bin.database.statistics.statements - before)
    assert costs == [11, 11]
    assert (await _row(keeper, body)).review_after is None


async def _row(keeper: Keeper, body: bytes) -> manifests.ManifestRow:
    row = await manifests.by_digest(keeper.bin.database, NAME, digest_of(body))
    assert row is not None
    return row


async def test_immutable_tags_stay(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict names the rule; one that is protected after the verdict stays as well."""
    bin_ = keeper.bin
    for tag in ("v1", "v2", "t1"):
        await bin_.pusher().image(tag, tag.encode())
    number = await bin_.protect("v1")
    policy = await keeper.policy(rule("latestPushedK", 0))
    remove = removal.Removing.remove

    async def protected(self: removal.Removing, batch: Sequence[Any]) -> int:
        await bin_.protect("v2")
        return await remove(self, batch)

    monkeypatch.setattr(removal.Removing, "remove", protected)
    run = await keeper.run(policy)
    verdicts = await keeper.verdicts(policy, run)
    assert (verdicts["v1"].kept, f"rule {number}" in verdicts["v1"].reason, verdicts["v2"].kept) == (True, True, False)
    assert [await bin_.has(tag) for tag in ("v1", "v2", "t1")] == [True, True, False]


async def test_what_was_pushed_or_tagged_since_stays(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag that was pushed again, one that was moved, a manifest that got a tag or an index since the verdict."""
    bin_ = keeper.bin
    pusher = bin_.pusher()
    again, moved, gone = [await pusher.image(tag, tag.encode()) for tag in ("again", "moved", "gone")]
    named, listed = [await pusher.image(None, text) for text in (b"named", b"listed")]
    await keeper.age_manifests(1)
    policy = await keeper.policy(rule("latestPushedK", 0))
    first = removal.Removing.remove

    async def remove(self: removal.Removing, batch: Sequence[Any]) -> int:
        await pusher.manifest(again, "again")
        await pusher.manifest(gone, "moved")
        await pusher.manifest(named, "new-name")
        await pusher.manifest(index(entry(listed)), "multi")
        return await first(self, batch)

    monkeypatch.setattr(removal.Removing, "remove", remove)
    await keeper.run(policy)
    found = [await bin_.has(one) for one in ("again", "moved", "gone", "new-name", "multi", listed, moved)]
    assert found == [True, True, False, True, True, True, True]
    assert await bin_.names("moved") == Digest.of(gone)


async def test_what_was_pushed_into_a_new_repository_of_the_same_name_stays(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdicts are about the repository that was deleted since; the run ends well, with nothing to do."""
    bin_ = keeper.bin
    body = await bin_.pusher().image("v1", b"one")
    policy = await keeper.policy(rule("latestPushedK", 0))
    first = removal.Removing.remove

    async def remove(self: removal.Removing, batch: Sequence[Any]) -> int:
        await bin_.registry.repositories.delete(NAME, actor=ALICE)
        await bin_.pusher().image("v1", b"one")
        return await first(self, batch)

    monkeypatch.setattr(removal.Removing, "remove", remove)
    await keeper.run(policy)
    assert [await bin_.has("v1"), await bin_.has(body)] == [True, True]
    assert keeper.results[-1]["removed"] == 0
    assert await bin_.kinds() == [trash.REPOSITORY]


async def test_what_has_no_tag_yet_is_left_alone_for_the_grace(keeper: Keeper) -> None:
    """Its index, its tag or what it signs may be on the way, also where the trash would keep nothing for them."""
    bin_ = keeper.bin = keeper.bin.with_settings(trash_seconds=0.0)
    pusher = bin_.pusher()
    child = await pusher.image(None, b"child")
    policy = await keeper.policy(rule("latestPushedK", 0, untagged=True))
    run = await keeper.run(policy)
    verdict = (await keeper.verdicts(policy, run))[digest_of(child)]
    assert (verdict.kept, verdict.reason) == (True, "has no tag yet, and was pushed within the grace")
    await pusher.manifest(index(entry(child)), "multi")
    assert await bin_.has("multi")


async def test_verdicts_by_rules_that_were_changed_since_are_decided_anew(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was interrupted does not go on with what somebody has taken back meanwhile."""
    bin_ = keeper.bin
    await bin_.pusher().image("v1", b"one")
    policy = await keeper.policy(rule("latestPushedK", 0))
    run = await keeper.ask(policy)
    with monkeypatch.context() as patch:
        patch.setattr(removal.Removing, "remove", _stop)
        with pytest.raises(Stopped):
            await keeper.run(policy, run=run)
    assert (await keeper.tasks(policy, run))[0].evaluated_at is not None
    text = PolicyText(rules=[rule("always")])
    await keeper.policies.change(await bin_.project(), policy, text, by=ALICE)
    await keeper.run(policy, run=run)
    assert await bin_.has("v1")


async def test_nothing_is_removed_where_deleting_is_off(keeper: Keeper) -> None:
    """By the configuration, while the registry is read-only, and while a folder is not adopted; a dry run goes on."""
    await keeper.bin.pusher().image("v1", b"one")
    policy = await keeper.policy(rule("latestPushedK", 0))
    bin_ = keeper.bin
    for changed in ({"delete_enabled": False}, {"read_only": lambda: True}):
        keeper.bin = replace(bin_, settings=replace(bin_.settings, **changed))  # type: ignore[arg-type]
        run = await keeper.run(policy)
        assert keeper.results[-1]["off"]
        assert await keeper.tasks(policy, run) == []
        await keeper.run(policy, dry_run=True)
        assert keeper.results[-1]["total"] == 1
    keeper.bin, keeper.gate = bin_, "the folder is still being adopted"
    await keeper.run(policy)
    assert keeper.results[-1] == {"off": keeper.gate}
    assert await bin_.has("v1")


async def test_a_clock_that_jumps_in_the_middle_ends_the_run(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next repository is not judged by the wrong time, the run says why it ended, and a dry run looks at all."""
    await keeper.bin.pusher().image("v1", b"one")
    await keeper.bin.pusher(OTHER).image("v1", b"two")
    policy = await keeper.policy(rule("latestPushedK", 0))
    remove = removal.Removing.remove

    async def jump(self: removal.Removing, batch: Sequence[Any]) -> int:
        keeper.gate = "the clock is 10 days ahead"
        return await remove(self, batch)

    monkeypatch.setattr(removal.Removing, "remove", jump)
    run = await keeper.run(policy)
    assert keeper.results[-1] == {
        "dry_run": False,
        "repositories": 1,
        "total": 1,
        "retained": 0,
        "removed": 1,
        "off": "the clock is 10 days ahead",
    }
    assert len(await keeper.tasks(policy, run)) == 1
    assert [await keeper.bin.has("v1"), await keeper.bin.has("v1", OTHER)].count(True) == 1
    await keeper.run(policy, dry_run=True)
    assert "off" not in keeper.results[-1]


async def _stop(_removing: removal.Removing, _batch: Sequence[Any]) -> int:
    raise Stopped


class _StopAfter(Unwatched):
    """Stops at the n-th step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    async def step(self, done: int, total: int | None = None) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped


async def test_a_run_that_was_stopped_anywhere_goes_on(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at every step there is and taken up again, it ends with the same counts, and everything is gone once."""
    monkeypatch.setattr(removal_batches, "AT_ONCE", 2)
    bin_ = keeper.bin
    for number in range(7):
        await bin_.pusher().image(f"t{number}", b"%d" % number)
        await keeper.age(f"t{number}", 9 - number)
    await bin_.pusher(OTHER).image("other", b"other")
    policy = await keeper.policy(rule("latestPushedK", 2))
    run = await keeper.ask(policy)
    for steps in range(20):
        try:
            await keeper.run(policy, run=run, progress=_StopAfter(steps))
        except Stopped:
            continue
        break
    assert keeper.results == [{"dry_run": False, "repositories": 2, "total": 8, "retained": 3, "removed": 5}]
    assert steps > 3
    assert len(await bin_.entries()) == 5
    assert [await bin_.has(f"t{number}") for number in range(7)] == [False] * 5 + [True] * 2


async def test_a_policy_that_is_gone_does_nothing(keeper: Keeper) -> None:
    """Its project may be in the trash, or somebody removed it while the run waited."""
    bin_ = keeper.bin
    await bin_.pusher().image("v1", b"one")
    policy = await keeper.policy(rule("latestPushedK", 0))
    project = await bin_.project()
    await bin_.registry.project_deletion.delete(project, actor=bin_.purger().actor, with_repositories=True)
    await keeper.run(policy)
    await keeper.run(policy + 1)
    assert all("not there" in result["off"] for result in keeper.results)


async def test_many_tags_cost_few_statements(keeper: Keeper) -> None:
    """A thousand tags are read by pages: what is asked of the database does not grow with each tag."""
    bin_ = keeper.bin
    body = await bin_.pusher().image("t", b"one")
    await bin_.pusher().manifest(body, *[f"t{number:02}" for number in range(99)])
    policy = await keeper.policy(rule("latestPushedK", 200), rule("nDaysSinceLastPull", 9))
    before = bin_.database.statistics.statements
    await keeper.run(policy, dry_run=True)
    assert keeper.results[-1]["retained"] == 100
    assert bin_.database.statistics.statements - before < 40
