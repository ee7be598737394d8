"""Images that say how long their tags last, over each database."""

from __future__ import annotations

import json

import pytest

from entrepot.lifecycle.retention.expiry import ImageExpiry, parsed
from entrepot.metadata import clock
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.query import RawQuery
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.small_blobs import SmallBlobs
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.pushing import NAME
from tests.contracts.retention.conftest import Keeper, look_now
from tests.support.manifests import image

DUE_AT = RawQuery("SELECT due_at FROM manifest_expiry")


def labelled(span: str) -> bytes:
    """Write the configuration of an image with the label."""
    return json.dumps({"config": {"Labels": {"quay.expires-after": span}}}).encode()


@pytest.fixture
def expiry(keeper: Keeper) -> ImageExpiry:
    """What heeds it."""
    bin_ = keeper.bin
    quarantine = Quarantine(bin_.database, bin_.kit.store, lambda: False)
    small = SmallBlobs(bin_.kit.store, ContentCache(1_000_000), quarantine)
    return ImageExpiry(metadata=bin_.database, settings=bin_.settings, content=small.content, gate=keeper._gate)


async def test_a_tag_goes_when_it_has_lasted(keeper: Keeper, expiry: ImageExpiry) -> None:
    """By a label or an annotation, from the push that set it; what says nothing stays; a dry run removes nothing."""
    bin_ = keeper.bin
    pusher = bin_.pusher()
    for tag, config in (("hour", labelled("1h")), ("week", labelled("1w")), ("ever", b'{"config": {}}')):
        await pusher.image(tag, tag.encode(), config=config)
    await pusher.blob(b"{}")
    await pusher.manifest(image(b"{}", annotations={"quay.expires-after": "2h"}), "noted")
    assert await expiry.run(Unwatched()) == {"looked_at": 4, "removed": 0, "dry_run": False}
    for tag in ("hour", "week", "ever", "noted"):
        await keeper.age(tag, 1)
    await keeper.bin.database.write(look_now)
    assert (await expiry.run(Unwatched(), dry_run=True))["removed"] == 2
    assert await bin_.has("hour")
    assert await expiry.run(Unwatched()) == {"looked_at": 0, "removed": 2, "dry_run": False}
    assert [await bin_.has(tag) for tag in ("hour", "week", "ever", "noted")] == [False, True, True, False]
    assert await bin_.kinds() == [trash.MANIFEST, trash.MANIFEST]


async def test_one_that_is_pushed_again_lasts_anew(keeper: Keeper, expiry: ImageExpiry) -> None:
    """And one of two tags of an image goes without the other."""
    bin_ = keeper.bin
    body = await bin_.pusher().image("old", b"one", config=labelled("1h"))
    await expiry.run(Unwatched())
    await keeper.age("old", 1)
    await bin_.pusher().manifest(body, "new")
    await bin_.database.write(look_now)
    assert (await expiry.run(Unwatched()))["removed"] == 1
    assert [await bin_.has(tag) for tag in ("old", "new")] == [False, True]
    await keeper.age("new", 1)
    await bin_.pusher().manifest(body, "new")
    await bin_.database.write(look_now)
    assert (await expiry.run(Unwatched()))["removed"] == 0


async def test_an_image_without_a_tag_lasts_from_its_latest_push(keeper: Keeper, expiry: ImageExpiry) -> None:
    """Pushed again by its digest it lasts anew, and is looked at again when that time is over."""
    bin_ = keeper.bin
    body = await bin_.pusher().image(None, b"one", config=labelled("1h"))
    await expiry.run(Unwatched())
    await keeper.age_manifests(1)
    await bin_.pusher().manifest(body)
    await bin_.database.write(look_now)
    assert (await expiry.run(Unwatched()))["removed"] == 0
    assert await bin_.has(body)
    await keeper.age_manifests(1)
    await bin_.database.write(look_now)
    assert (await expiry.run(Unwatched()))["removed"] == 1


async def test_immutable_tags_and_registries_that_delete_nothing(keeper: Keeper, expiry: ImageExpiry) -> None:
    """A rule keeps the tag; where nothing may be deleted the run says so."""
    bin_ = keeper.bin
    await bin_.pusher(NAME).image("v1", b"one", config=labelled("1h"))
    await bin_.protect("v*")
    await expiry.run(Unwatched())
    await keeper.age("v1", 1)
    await bin_.database.write(look_now)
    assert (await expiry.run(Unwatched()))["removed"] == 0
    assert await bin_.has("v1")
    keeper.gate = "the folder is still being adopted"
    assert (await expiry.run(Unwatched()))["off"] == keeper.gate


async def test_what_cannot_go_is_looked_at_ever_more_seldom(keeper: Keeper, expiry: ImageExpiry) -> None:
    """After as long as it has waited, once a day at most; and it goes when its rule does."""
    bin_ = keeper.bin
    await bin_.pusher(NAME).image("v1", b"one", config=labelled("1s"))
    await bin_.protect("v*")
    await expiry.run(Unwatched())
    waits = []
    for hours in (1, 2, 4, 96):
        await keeper.age("v1", hours / 24)
        await bin_.database.write(look_now)
        before = clock.now()
        assert (await expiry.run(Unwatched()))["removed"] == 0
        (due,) = await bin_.database.one(DUE_AT)
        waits.append((due - before) / (3600 * clock.MICROSECONDS))
        transactions = bin_.database.statistics.transactions
        await expiry.run(Unwatched())
        assert bin_.database.statistics.transactions == transactions, "it was looked at again at once"
    assert waits == pytest.approx([1, 3, 7, 24], abs=0.1)
    await bin_.database.write(lambda tx: tx.execute(RawQuery("DELETE FROM immutable_rules")))
    await bin_.database.write(look_now)
    assert (await expiry.run(Unwatched()))["removed"] == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2w", 1_209_600), ("3d", 259_200), ("12H", 43_200), ("30m", 1_800), ("9s", 9)]
    + [(wrong, None) for wrong in ("", "0d", "never", "1y", "-1d", "1d2h", "9999999d", None, 5)],
)
def test_spans(text: object, seconds: int | None) -> None:
    """Quay's units; anything else means nothing."""
    assert parsed(text) == seconds
