"""What deleting something would free is what deleting and collecting it frees."""

from __future__ import annotations

import pytest

from entrepot.access.faults import Invalid
from entrepot.insight import deletion_choice as chosen_rules
from entrepot.insight.deletion_choice import Chosen, Part
from entrepot.insight.freed_bytes import InProject, OnDisk
from entrepot.lifecycle.immutability.rules import ImmutableRules, RuleText
from entrepot.lifecycle.selectors import Selector
from entrepot.metadata.usage import usage
from entrepot.metadata.usage.usage import FULL, Limits
from entrepot.oci.digest import Digest
from entrepot.oci.referrers import fallback_tag
from tests.contracts.insight.conftest import World, on_disk
from tests.contracts.registry.pushing import ALICE, NAME
from tests.support.manifests import descriptor, entry, image, index


async def freed(world: World, chosen: Chosen) -> tuple[int, int]:
    """Delete and collect; return the bytes of blobs and manifests that went."""
    await world.finish()
    before = await world.stored()
    await world.delete(chosen)
    await world.finish()
    after = await world.stored()
    return before[0] - after[0], before[1] - after[1]


async def test_what_others_need_is_not_freed(world: World) -> None:
    """Of an image that shares a layer, its own layer and its manifest; the shared layer is told beside."""
    body = await world.pusher().image("1", b"shared layer", b"own")
    await world.pusher("other/app").image("1", b"shared layer")
    told = await world.of_tags("1")
    assert on_disk(told) == OnDisk(blob_bytes=3, manifest_bytes=len(body), shared_bytes=len(b"shared layer{}"), blobs=1)
    assert (told.manifests, told.followers, told.kept) == (1, 0, [])
    team = await world.project()
    assert told.projects == {team.id: InProject(bytes=len(b"shared layerown{}") + len(body), shared_bytes=0)}
    chosen = Chosen(parts=[Part(repository=await world.repository(), tags=["1"])])
    assert await freed(world, chosen) == (on_disk(told).blob_bytes, on_disk(told).manifest_bytes)


async def test_an_index_takes_its_parts_and_signatures_along(world: World) -> None:
    """What it lists and what refers to any of it goes with it, unless it has a tag."""
    pusher = world.pusher()
    arm, amd = await pusher.image(None, b"arm"), await pusher.image("amd", b"amd64")
    whole = index(entry(arm), entry(amd))
    await pusher.manifest(whole, "multi")
    await pusher.blob(b"signature")
    signature = image(b"{}", b"signature", subject=descriptor(arm, "application/vnd.oci.image.manifest.v1+json"))
    await pusher.manifest(signature, None)
    told = await world.of_tags("multi")
    assert (told.manifests, told.followers) == (3, 2)
    assert on_disk(told).blob_bytes == len(b"armsignature")
    chosen = Chosen(parts=[Part(repository=await world.repository(), tags=["multi"])])
    assert await freed(world, chosen) == (on_disk(told).blob_bytes, on_disk(told).manifest_bytes)


async def test_a_signature_that_is_kept_by_its_tag_is_counted(world: World) -> None:
    """It goes with what its tag names; one with another tag stays."""
    pusher = world.pusher()
    body = await pusher.image("1", b"own")
    for kind, content in (("sig", b"signature"), ("att", b"attestation")):
        await pusher.image(f"{fallback_tag(Digest.of(body))}.{kind}", content)
    await pusher.image("kept", b"attestation")
    told = await world.of_tags("1")
    assert (told.manifests, told.followers) == (2, 1)
    assert on_disk(told).blob_bytes == len(b"ownsignature")
    chosen = Chosen(parts=[Part(repository=await world.repository(), tags=["1"])])
    assert await freed(world, chosen) == (on_disk(told).blob_bytes, on_disk(told).manifest_bytes)


async def test_what_cannot_be_deleted_is_told(world: World) -> None:
    """A manifest that an index lists, one with another tag, and what is not there; nothing of it is freed."""
    pusher = world.pusher()
    child = await pusher.image(None, b"child")
    await pusher.manifest(index(entry(child)), "multi")
    await pusher.manifest(await pusher.image("1", b"one"), "2")
    digests = [str(Digest.of(child)), str(Digest.of(b"nothing"))]
    part = Part(repository=await world.repository(), tags=["1", "gone"], digests=digests)
    told = await world.would_free(Chosen(parts=[part]))
    assert on_disk(told).bytes == told.manifests == 0
    assert {(one.what.removeprefix(NAME), one.reason) for one in told.kept} == {
        (":1", "its manifest has another tag"),
        (":gone", "there is no such tag"),
        (f"@{digests[0]}", "an index that stays lists it"),
        (f"@{digests[1]}", "there is no such manifest"),
    }


async def test_rules_keep_tags_here_too(world: World) -> None:
    """An immutable tag stays, and with it its repository and its project."""
    await world.pusher().image("v1", b"layer")
    text = RuleText(
        tags=[Selector(decoration="matches", pattern="v*")],
        repositories=[Selector(decoration="repoMatches", pattern="**")],
    )
    await ImmutableRules(world.kit.metadata).create(await world.project(), text, by=ALICE)
    repository, project = await world.repository(), await world.project()
    for chosen in (
        Chosen(parts=[Part(repository=repository, tags=["v1"])]),
        Chosen(repositories=[repository]),
        Chosen(projects=[project]),
    ):
        told = await world.would_free(chosen)
        assert on_disk(told).bytes == 0
        assert [one.reason.partition(" keeps ")[0] for one in told.kept] == ["rule 1"]


async def test_the_trash_holds_nothing_against_it(world: World) -> None:
    """A layer that only the trash needs besides is freed: that goes by itself."""
    keeping = World.of(world.kit, trash_seconds=3600)
    old = await keeping.pusher().image("old", b"layer of both")
    await keeping.registry.manifests.delete(keeping.pusher().name, Digest.of(old), actor=ALICE)
    await keeping.pusher().image("new", b"layer of both", b"more")
    assert on_disk(await keeping.of_tags("new")).blob_bytes == len(b"layer of bothmore{}")


async def test_a_whole_project_is_told(world: World) -> None:
    """All its repositories, but for what other projects have too."""
    for name in ("team/a", "team/b"):
        await world.pusher(name).image("1", name.encode(), b"of both")
    await world.pusher("other/app").image("1", b"team/b")
    chosen = Chosen(projects=[await world.project()])
    told = await world.would_free(chosen)
    assert on_disk(told).blob_bytes == len(b"team/aof both")
    assert await freed(world, chosen) == (on_disk(told).blob_bytes, on_disk(told).manifest_bytes)


async def test_too_much_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the answer says what to ask instead."""
    monkeypatch.setattr(chosen_rules, "MOST", 1)
    for tag in ("1", "2"):
        await world.pusher().image(tag, tag.encode())
    with pytest.raises(Invalid, match="more than 1 manifests; ask about less"):
        await world.would_free(Chosen(repositories=[await world.repository()]))


async def test_the_charge_model_decides_what_a_quota_gets_back(world: World) -> None:
    """Where each reference counts, a layer that another image of the project needs is given back once."""
    body = await world.pusher().image("1", b"layer of both")
    await world.pusher().image("2", b"layer of both", b"more")
    project = await world.project()
    assert (await world.of_tags("1")).projects[project.id] == InProject(
        bytes=len(body), shared_bytes=len(b"layer of both{}")
    )
    await world.kit.metadata.write(lambda tx: usage.set_limits(tx, project.id, Limits(charge=FULL)))
    assert (await world.of_tags("1")).projects[project.id].bytes == len(body) + len(b"layer of both{}")
