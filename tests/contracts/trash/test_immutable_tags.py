"""Tags that rules keep where they are, against every way of moving and deleting them, over every database."""

from __future__ import annotations

import pytest

from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.lifecycle.immutability.rules import MOST, RuleText
from entrepot.lifecycle.selectors import Selector
from entrepot.metadata.filtering import Selection
from entrepot.metadata.lifecycle import trash
from entrepot.oci.digest import Digest
from entrepot.oci.errors import TagImmutable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.removal import Removal
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import Bin
from tests.support.manifests import entry, index

OTHER = RepositoryName.parse("team/deep/other")


async def test_a_push_of_the_same_is_fine_and_of_another_is_refused(bin_: Bin) -> None:
    """With all of its tags or none; a name that is new is free, and so is one that the rule is not about."""
    body = await bin_.pusher().image("v1", b"one")
    rule = await bin_.protect("v*", "stable")
    await bin_.pusher().manifest(body, "v1", "latest")
    other = await bin_.pusher().image("latest", b"two")
    with pytest.raises(TagImmutable, match=f"Tag v1 is immutable by rule {rule}"):
        await bin_.pusher().manifest(other, "v1")
    with pytest.raises(TagImmutable):
        await bin_.pusher().manifest(other, "v2", "v1")
    assert await bin_.names("v1") == Digest.of(body)
    assert not await bin_.has("v2")
    await bin_.pusher().manifest(other, "v2", "stable")
    with pytest.raises(TagImmutable):
        await bin_.pusher().manifest(body, "stable")


async def test_a_push_costs_one_statement_more_where_it_moves_a_tag_and_none_elsewhere(bin_: Bin) -> None:
    """Rules or no rules; a pull costs one statement as ever."""
    bodies = [await bin_.pusher().image(f"t{number}", b"%d" % number) for number in range(2)]

    async def cost(body: bytes, *tags: str) -> int:
        before = bin_.database.statistics.statements
        await bin_.pusher().manifest(body, *tags)
        return bin_.database.statistics.statements - before

    plain = bin_.with_settings(tag_rules=_NoStatement())
    before = plain.database.statistics.statements
    await plain.pusher().manifest(bodies[0], "t1")
    without = plain.database.statistics.statements - before
    same = await cost(bodies[0], "t1")
    await bin_.protect("v*")
    assert await cost(bodies[0], "t1") == same
    assert await cost(bodies[1], "t1") == without + 1
    assert await cost(bodies[1], "new") == without
    before = bin_.database.statistics.statements
    await bin_.registry.manifests.get(NAME, Tag.parse("t1"), content=False)
    assert bin_.database.statistics.statements - before == 1


class _NoStatement:
    """Rules that nobody is asked about."""

    async def of(self, *_: object) -> None:
        return None


async def test_no_way_of_deleting_takes_it(bin_: Bin) -> None:
    """The tag, its manifest, its repository and its project, one by one or as a whole, deleted or purged."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.pusher().image("t1", b"two")
    await bin_.pusher(OTHER).image("t1", b"two")
    await bin_.protect("v*")
    repository, project = await bin_.repository(), await bin_.project()
    by = bin_.purger("why")
    for attempt in (
        bin_.delete("v1"),
        bin_.delete(body),
        bin_.registry.repositories.delete(NAME, actor=ALICE),
        bin_.registry.project_deletion.delete(project, actor=ALICE, with_repositories=True),
        bin_.purging.artifact(repository, str(Digest.of(body)), by=by),
        bin_.purging.repository(repository, by=by),
        bin_.purging.project(project, by=by),
    ):
        with pytest.raises(TagImmutable):
            await attempt
    assert await bin_.entries() == []
    assert await bin_.has("v1")
    assert await bin_.has("t1", OTHER)
    await bin_.delete("t1")


async def test_a_removal_that_retention_would_make_is_refused_too(bin_: Bin) -> None:
    """Whoever deletes within a transaction uses the same removal."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.protect("v*")
    removal = Removal(name=NAME, actor=ALICE, settings=bin_.settings)
    with pytest.raises(TagImmutable):
        await bin_.database.write(lambda tx: removal.delete_manifest(Digest.of(body), tx))


async def test_no_way_of_moving_moves_it(bin_: Bin) -> None:
    """Copying over it, restoring over it even with `replace`, and putting it back."""
    first = await bin_.pusher().image("v1", b"one")
    await bin_.delete(first)
    second = await bin_.pusher().image("v1", b"two")
    await bin_.pusher(OTHER).image("v1", b"three")
    await bin_.protect("v*")
    with pytest.raises(TagImmutable):
        await bin_.registry.copying.copy(OTHER, Tag.parse("v1"), NAME, actor=ALICE)
    assert not await bin_.registry.manifests.add_tag(NAME, Digest.of(second), Tag.parse("v1"), actor=ALICE)
    with pytest.raises(TagImmutable):
        await bin_.history.put_back(await bin_.repository(), Tag.parse("v1"), str(Digest.of(first)), by=ALICE)
    restored = await bin_.restore(await bin_.entry(trash.MANIFEST), replace=True)
    assert (restored.tags, restored.aside) == ([], ["v1"])
    assert await bin_.names("v1") == Digest.of(second)
    with pytest.raises(TagImmutable):
        await bin_.history.put_back(await bin_.repository(), Tag.parse("v1"), str(Digest.of(first)), by=ALICE)


async def test_a_repository_that_is_merged_does_not_move_it(bin_: Bin) -> None:
    """What was deleted before the name was taken anew joins it beside the tag."""
    await bin_.pusher().image("v1", b"one")
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    newer = await bin_.pusher().image("v1", b"two")
    await bin_.protect("v*")
    restored = await bin_.restore(await bin_.entry(trash.REPOSITORY), replace=True)
    assert restored.aside == ["v1"]
    assert await bin_.names("v1") == Digest.of(newer)


async def test_what_no_tag_is_kept_of_may_go(bin_: Bin) -> None:
    """A signature of a kept image, and an index that lists it."""
    first = await bin_.pusher().image("v1", b"one")
    body = index(entry(first))
    await bin_.pusher().manifest(body, "multi")
    await bin_.protect("v*")
    await bin_.delete(body)
    assert await bin_.review() == 0
    assert await bin_.has("v1")


async def test_a_rule_is_about_some_repositories(bin_: Bin) -> None:
    """By their names without the project, matching or not; all selectors of a rule must fit."""
    project = (await _pushed(bin_, "v1", "v1-rc1")).id
    text = RuleText(
        tags=[Selector(decoration="matches", pattern="v*"), Selector(decoration="excludes", pattern="*-rc*")],
        repositories=[Selector(decoration="repoExcludes", pattern="deep/**")],
    )
    rule = await bin_.rules.create(await bin_.project(), text, by=ALICE)
    for name, tag, kept in ((NAME, "v1", True), (NAME, "v1-rc1", False), (OTHER, "v1", False)):
        rule_of = await bin_.settings.tag_rules.of(bin_.database, await bin_.repository(name))
        assert ((rule_of is not None and rule_of(tag)) == rule) is kept, (name, tag)
    assert project == (await bin_.project()).id


async def _pushed(bin_: Bin, *tags: str) -> object:
    for name in (NAME, OTHER):
        for tag in tags:
            await bin_.pusher(name).image(tag, b"one")
    return await bin_.project()


async def test_a_rule_that_is_switched_off_or_removed_keeps_nothing(bin_: Bin) -> None:
    """And one that is switched on again does, from the next transaction on."""
    await bin_.pusher().image("v1", b"one")
    rule = await bin_.protect("v*")
    project = await bin_.project()
    tags = [Selector(decoration="matches", pattern="{v*}")]
    everywhere = [Selector(decoration="repoMatches", pattern="**")]
    for disabled in (True, False):
        text = RuleText(tags=tags, repositories=everywhere, disabled=disabled)
        await bin_.rules.change(project, rule, text, by=ALICE)
        assert (await bin_.rules.get(project, rule)).disabled is disabled
        if not disabled:
            with pytest.raises(TagImmutable):
                await bin_.delete("v1")
    await bin_.rules.delete(project, rule, by=ALICE)
    await bin_.delete("v1")
    for call in (bin_.rules.get(project, rule), bin_.rules.delete(project, rule, by=ALICE)):
        with pytest.raises(NotFound):
            await call


@pytest.mark.parametrize(
    "wrong",
    [
        {"tags": []},
        {"repositories": []},
        {"tags": [Selector(decoration="repoMatches", pattern="**")]},
        {"tags": [Selector(decoration="matches", pattern="")]},
        {"tags": [Selector(decoration="matches", pattern="{a")]},
        {"tags": [Selector(decoration="matches", pattern="**", kind="regex")]},
        {"repositories": [Selector(decoration="matches", pattern="**")]},
        {"priority": 10**9},
        {"tags": [Selector(decoration="matches", pattern="**", extras="x" * 2000)]},
    ],
)
async def test_rules_that_cannot_be(bin_: Bin, wrong: dict[str, object]) -> None:
    """Refused with what is wrong, and nothing is made."""
    await bin_.pusher().image("v1", b"one")
    project = await bin_.project()
    fields: dict[str, object] = {
        "tags": [Selector(decoration="matches", pattern="**")],
        "repositories": [Selector(decoration="repoMatches", pattern="**")],
    }
    with pytest.raises(Invalid):
        await bin_.rules.create(project, RuleText(**fields | wrong), by=ALICE)  # type: ignore[arg-type]
    assert (await bin_.rules.page(project, Selection())).items == []


async def test_rules_say_different_things_and_are_few(bin_: Bin) -> None:
    """The same rule twice is a mistake, and a project does not need a hundred."""
    await bin_.pusher().image("v1", b"one")
    rule = await bin_.protect("v*")
    with pytest.raises(Conflict, match=f"rule {rule}"):
        await bin_.protect("v*")
    other = await bin_.protect("w*")
    project = await bin_.project()
    found = await bin_.rules.get(project, rule)
    text = RuleText(
        tags=[Selector(decoration="matches", pattern="{v*}")],
        repositories=[Selector(decoration="repoMatches", pattern="**")],
    )
    with pytest.raises(Conflict):
        await bin_.rules.change(project, other, text, by=ALICE)
    assert found.id == rule
    for number in range(MOST - 2):
        await bin_.protect(f"x{number}*")
    with pytest.raises(Invalid, match="at most"):
        await bin_.protect("last")


async def test_a_tag_that_came_while_it_was_looked_at(bin_: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push between the look at all tags and the transaction that deletes the repository is seen."""
    await bin_.pusher().image("t1", b"one")
    await bin_.protect("v*")
    repositories = bin_.registry.repositories
    original = type(repositories).look

    async def look(self: object, repository: object) -> object:
        seen = await original(self, repository)  # type: ignore[arg-type]
        await bin_.pusher().image("v1", b"two")
        return seen

    monkeypatch.setattr(type(repositories), "look", look)
    with pytest.raises(TagImmutable):
        await repositories.delete(NAME, actor=ALICE)
    assert await bin_.has("v1")


async def test_a_rule_that_came_while_it_was_looked_at(bin_: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a rule that was made in between."""
    await bin_.pusher().image("v1", b"one")
    await bin_.protect("w*")
    repositories = bin_.registry.repositories
    original = type(repositories).look

    async def look(self: object, repository: object) -> object:
        seen = await original(self, repository)  # type: ignore[arg-type]
        await bin_.protect("v*")
        return seen

    monkeypatch.setattr(type(repositories), "look", look)
    with pytest.raises(TagImmutable):
        await repositories.delete(NAME, actor=ALICE)
