"""What a tag pointed at and when, who moved it, and putting it back, over every database."""

from __future__ import annotations

import pytest

from entrepot.access.faults import NotFound
from entrepot.lifecycle.tag_history import Whereabouts
from entrepot.metadata import clock
from entrepot.metadata.contents import tags
from entrepot.metadata.filtering import Selection
from entrepot.metadata.lifecycle import trash
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Unsupported
from entrepot.oci.reference import Tag
from tests.contracts.registry.pushing import ALICE
from tests.contracts.trash.conftest import Bin
from tests.support.manifests import entry, image, index

LATEST = Tag.parse("latest")


async def test_every_move_is_told(bin_: Bin) -> None:
    """The latest first, with where the manifest is now: here, in the trash, or gone."""
    first = await bin_.pusher().image("latest", b"one")
    second = await bin_.pusher().image("latest", b"two")
    third = await bin_.pusher().image("latest", b"three")
    await bin_.pusher().manifest(third, "latest")
    await bin_.delete(first)
    await bin_.expire(everything=True)
    await bin_.delete(second)
    await bin_.delete("latest")
    repository = await bin_.repository()
    found = await bin_.history.page(repository, LATEST, Selection())
    assert found.total == 4
    assert [(one.move.action, one.move.digest, one.whereabouts) for one in found.items] == [
        (tags.DELETED, str(Digest.of(third)), Whereabouts.HERE),
        (tags.SET, str(Digest.of(third)), Whereabouts.HERE),
        (tags.SET, str(Digest.of(second)), Whereabouts.TRASH),
        (tags.SET, str(Digest.of(first)), Whereabouts.GONE),
    ]
    assert {one.move.actor for one in found.items} == {"alice"}


async def test_what_it_named_at_a_time(bin_: Bin) -> None:
    """Before it was first set, and while it was deleted, it named nothing."""
    before = clock.now()
    first = await bin_.pusher().image("latest", b"one")
    between = clock.now()
    await bin_.pusher().image("latest", b"two")
    await bin_.delete("latest")
    repository = await bin_.repository()
    assert await bin_.history.at(repository, LATEST, between) == str(Digest.of(first))
    for moment in (before, clock.now()):
        with pytest.raises(NotFound):
            await bin_.history.at(repository, LATEST, moment)


async def test_putting_it_back(bin_: Bin) -> None:
    """To what it named before; again, and it is where it was."""
    first = await bin_.pusher().image("latest", b"one")
    second = await bin_.pusher().image("latest", b"two")
    repository = await bin_.repository()
    for expected in (first, second):
        digest = await bin_.history.previous(repository, LATEST)
        assert not await bin_.history.lies_in_trash(repository, digest)
        await bin_.history.put_back(repository, LATEST, digest, by=ALICE)
        assert await bin_.names("latest") == Digest.of(expected)
    moves = (await bin_.history.page(repository, LATEST, Selection())).items
    assert [one.move.action for one in moves] == [tags.RESTORED, tags.RESTORED, tags.SET, tags.SET]


async def test_putting_back_takes_the_manifest_out_of_the_trash(bin_: Bin) -> None:
    """With what went with it; the name that was deleted is the same as one that was moved."""
    first = await bin_.pusher().image(None, b"one")
    body = index(entry(first))
    await bin_.pusher().manifest(body, "latest")
    signature = image(b"{}", subject=entry(body))
    await bin_.pusher().manifest(signature)
    await bin_.delete(body)
    await bin_.review()
    repository = await bin_.repository()
    digest = await bin_.history.previous(repository, LATEST)
    assert await bin_.history.lies_in_trash(repository, digest)
    restored = await bin_.history.put_back(repository, LATEST, digest, by=ALICE)
    assert (restored.manifests, restored.tags) == (3, ["latest"])
    for each in (body, first, signature):
        assert await bin_.has(each)
    assert await bin_.kinds() == [trash.MANIFEST]  # its entry still knows the tags that went with it
    await bin_.restore(await bin_.entry(trash.MANIFEST))
    assert await bin_.entries() == []


async def test_putting_back_what_is_there_takes_nothing_out_of_the_trash(bin_: Bin) -> None:
    """Whoever may push, and not restore, may put it back, though it was deleted and pushed again meanwhile."""
    body = await bin_.pusher().image("latest", b"one")
    signature = image(b"{}", subject=entry(body))
    await bin_.pusher().manifest(signature)
    await bin_.delete(body)
    await bin_.review()
    await bin_.pusher().manifest(body)
    repository, digest = await bin_.repository(), str(Digest.of(body))
    assert not await bin_.history.lies_in_trash(repository, digest)
    await bin_.history.put_back(repository, LATEST, digest, by=ALICE)
    assert await bin_.names("latest") == Digest.of(body)
    assert not await bin_.has(signature)


async def test_what_was_set_aside_can_be_put_back(bin_: Bin) -> None:
    """In a repository that was made anew, whose history did not know of it."""
    first = await bin_.pusher().image("latest", b"one")
    await bin_.registry.repositories.delete(bin_.pusher().name, actor=ALICE)
    await bin_.pusher().image("latest", b"two")
    await bin_.restore(await bin_.entry(trash.REPOSITORY))
    repository = await bin_.repository()
    digest = await bin_.history.previous(repository, LATEST)
    assert digest == str(Digest.of(first))
    await bin_.history.put_back(repository, LATEST, digest, by=ALICE)
    assert await bin_.names("latest") == Digest.of(first)


async def test_what_cannot_be_put_back(bin_: Bin) -> None:
    """What is gone for good, what never was, and anything while the registry is read-only."""
    body = await bin_.pusher().image("latest", b"one")
    repository = await bin_.repository()
    with pytest.raises(NotFound, match="never named anything else"):
        await bin_.history.previous(repository, LATEST)
    with pytest.raises(NotFound, match="gone for good"):
        await bin_.history.lies_in_trash(repository, str(Digest.of(b"never")))
    with pytest.raises(NotFound, match="gone for good"):
        await bin_.history.put_back(repository, LATEST, str(Digest.of(b"never")), by=ALICE)
    with pytest.raises(Unsupported):
        await bin_.with_settings(read_only=lambda: True).history.put_back(
            repository, LATEST, str(Digest.of(body)), by=ALICE
        )
