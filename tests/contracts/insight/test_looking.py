"""What people are shown of usage is the same on both databases, with an analysis and without one."""

from __future__ import annotations

import pytest

from entrepot.insight import images
from entrepot.insight.analysis import Analyser
from entrepot.insight.usage_report import Looking
from entrepot.metadata.filtering import Condition, Match, Order, Selection
from entrepot.oci.digest import Digest
from entrepot.telemetry.progress import Unwatched
from tests.contracts.insight.conftest import World
from tests.contracts.insight.test_analysis import fill
from tests.contracts.registry.pushing import ALICE
from tests.support.manifests import entry, index

_ALL = Selection()
_BY_UNIQUE = Selection(order=(Order("unique_bytes", descending=True),), limit=2)


async def test_lists_without_an_analysis(world: World) -> None:
    """Everything is there by its name, and nothing was found of it."""
    await fill(world)
    looking = Looking(world.kit.metadata)
    team = await world.project()
    assert {one.name for one in (await looking.projects(_ALL)).items} == {"team", "other"}
    found = await looking.repositories(_ALL, team.id)
    assert {one.name: one.found for one in found.items} == dict.fromkeys(("team/app", "team/web", "team/db"))
    assert (await looking.project(team))[1] is None
    assert await looking.layers(None, limit=5) == await looking.images(team.id, limit=5, unique=True) == []


async def test_lists_in_any_order(world: World) -> None:
    """By what the analysis found, in pages, or picked out by it; of all, and of a project."""
    await fill(world)
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    looking, team = Looking(world.kit.metadata), await world.project()
    page = await looking.repositories(_BY_UNIQUE, None)
    assert (page.total, page.items[0].name) == (4, "team/app")
    found = [one.found.unique_bytes for one in page.items if one.found is not None]
    assert found == sorted(found, reverse=True)
    wanted = Condition(field="stored_bytes", match=Match.RANGE, values=(1, None))
    assert len((await looking.repositories(Selection(conditions=(wanted,)), team.id)).items) == 3
    projects = (await looking.projects(_ALL)).items
    assert [one.name for one in projects] == ["team", "other"]
    assert projects[0].found == (await looking.project(team))[1]


async def test_what_is_gone_is_not_shown(world: World) -> None:
    """An image that was deleted since the analysis is left out, and so is a layer that nobody needs any more."""
    await fill(world)
    keeping = World.of(world.kit, trash_seconds=3600)
    own = await keeping.pusher("other/app").image("2", b"very large layer" * 100)
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    looking = Looking(world.kit.metadata)
    layers, images = await looking.layers(None, limit=50), await looking.images(None, limit=50, unique=True)
    assert (layers[0].size, images[0].record.digest) == (1600, str(Digest.of(own)))
    assert images[0].sizes.unique_bytes == 1600 + len(own)
    await keeping.registry.manifests.delete(keeping.pusher("other/app").name, Digest.of(own), actor=ALICE)
    assert [one.digest for one in await looking.layers(None, limit=50)] == [one.digest for one in layers[1:]]
    assert [one.record.digest for one in await looking.images(None, limit=50, unique=True)] == [
        one.record.digest for one in images[1:]
    ]


async def test_tags_have_the_sizes_of_their_images(world: World) -> None:
    """With what an index lists and what refers to that; in the order of their names, after the last one."""
    await fill(world)
    looking, app = Looking(world.kit.metadata), await world.repository("team/app")
    multi, one = [await looking.tags(app, last=last, limit=10, unique=True) for last in ("", "1")]
    assert [tag.name for tag in multi] == ["1", "multi"]
    assert one == multi[1:]
    sizes = one[0].sizes
    assert sizes.logical_bytes - sizes.stored_bytes == len(b"child{}")
    assert sizes.stored_bytes - sizes.unique_bytes == len(b"{}")
    assert sizes.own_bytes == sizes.unique_bytes


async def test_an_image_of_too_many_parts_hides_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed without its sizes: whoever pushes one does not take the list from everybody."""
    pusher = world.pusher()
    parts = [await pusher.image(None, b"%d" % number) for number in range(3)]
    await pusher.manifest(index(*map(entry, parts)), "huge")
    await pusher.image("small", b"one layer")
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    monkeypatch.setattr(images, "MOST", 3)
    looking = Looking(world.kit.metadata)
    found = {one.tags[0]: one.sizes for one in await looking.images(None, limit=5, unique=True)}
    tags = {one.name: one.sizes for one in await looking.tags(await world.repository(), last="", limit=5, unique=True)}
    assert found == tags
    assert (tags["huge"], tags["small"] is not None) == (None, True)
