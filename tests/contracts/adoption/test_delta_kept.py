"""What registry:2 did to a folder is not followed where the registry itself would not have done it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from entrepot.adoption.delta import Delta
from entrepot.adoption.report import ReportFile
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.immutability.rules import ImmutableRules, RuleText
from entrepot.lifecycle.selectors import Selector
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.metadata.contents import projects, repositories
from entrepot.metadata.lifecycle import trash
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Unsupported
from entrepot.oci.reference import Tag
from entrepot.projection.files import TreeFiles
from entrepot.registry.settings import RegistrySettings
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME
from tests.support.rows import moves_of

V1, V2, LATEST = Tag.parse("v1"), Tag.parse("v2"), Tag.parse("latest")
SETTINGS = RegistrySettings(tag_rules=ImmutableTags(), trash_seconds=3600.0)


async def _pushed(folder: Folder) -> tuple[Digest, Digest]:
    """Push v1 and v2, let latest be v2, and let a rule keep every tag that begins with v."""
    first = await folder.pusher.image("v1", b"layer one")
    second = await folder.pusher.image("v2", b"layer two")
    await folder.pusher.manifest(second, "latest")
    await folder.project()
    project = await projects.find(folder.stores.metadata, NAME.project)
    assert project is not None
    text = RuleText(
        tags=[Selector(decoration="matches", pattern="v*")],
        repositories=[Selector(decoration="repoMatches", pattern="**")],
    )
    await ImmutableRules(folder.stores.metadata).create(project, text, by=ALICE)
    return Digest.of(first), Digest.of(second)


def _delta(folder: Folder, settings: RegistrySettings = SETTINGS, *, pruning: bool = True) -> Delta:
    return Delta(folder.intake, ReportFile(folder.root), pruning=pruning, settings=settings)


async def _digest(folder: Folder, tag: Tag) -> Digest:
    return (await folder.registry.manifests.get(NAME, tag, content=False)).digest


async def test_immutable_tags_are_neither_moved_nor_pruned(folder: Folder) -> None:
    """Each is named with the rule, and goes back to registry:2's files; a tag that no rule keeps follows them."""
    first, second = await _pushed(folder)
    files = TreeFiles(folder.root)
    files.put_tag(NAME, V1, second)
    files.put_tag(NAME, LATEST, first)
    files.remove_tag(NAME, V2)
    files.remove_revision(NAME, second)
    delta = _delta(folder)
    await delta.run()
    assert [await _digest(folder, tag) for tag in (V1, V2, LATEST)] == [first, second, first]
    kept = {str(one.reference): one for one in delta.kept}
    assert kept.keys() == {"v1", "v2", str(second)}
    assert all("is immutable by rule" in one.reason for one in kept.values())
    assert (kept["v1"].theirs, kept["v2"].theirs) == (second, None)
    row = await repositories.find_exact(folder.stores.metadata, NAME)
    assert row is not None
    history = await moves_of(folder.stores.metadata, row.id, "v1")
    assert [move.digest for move in history] == [str(first)]
    await folder.comparison().write()
    assert (await folder.comparison().check()).differences == []


async def test_nothing_is_pruned_where_deleting_is_switched_off(folder: Folder) -> None:
    """It is refused before anything is done; without pruning the folder is followed."""
    first, second = await _pushed(folder)
    files = TreeFiles(folder.root)
    files.remove_tag(NAME, LATEST)
    files.put_tag(NAME, Tag.parse("new"), first)
    off = replace(SETTINGS, delete_enabled=False)
    with pytest.raises(Unsupported, match="Deleting is switched off"):
        await _delta(folder, off).run()
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["latest", "v1", "v2"]
    await _delta(folder, off, pruning=False).run()
    assert await _digest(folder, Tag.parse("new")) == first
    assert await _digest(folder, LATEST) == second


async def test_what_is_pruned_can_be_restored(folder: Folder) -> None:
    """It lies in the trash as after any other deletion, and comes back with its files."""
    first, _ = await _pushed(folder)
    other = await folder.pusher.image("other", b"layer three")
    await folder.project()
    files = TreeFiles(folder.root)
    files.remove_tag(NAME, Tag.parse("other"))
    files.remove_revision(NAME, Digest.of(other))
    delta = _delta(folder)
    await delta.run()
    assert delta.kept == []
    assert (await folder.registry.tags.list(NAME, limit=10)).items == ["latest", "v1", "v2"]
    entry = await trash.find(folder.stores.metadata, 1)
    assert entry is not None
    assert (entry.kind, entry.tags) == (trash.MANIFEST, ("other",))
    restoring = Restoring.over(folder.stores.metadata, folder.registry.lookup, SETTINGS)
    await restoring.restore(entry, replace=False, by=ALICE)
    assert await _digest(folder, Tag.parse("other")) == Digest.of(other)
    await folder.project()
    assert (await folder.comparison().check()).differences == []
    assert await _digest(folder, V1) == first
