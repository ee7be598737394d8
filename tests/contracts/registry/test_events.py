"""What happened is written down in the transaction in which it happened, over every database."""

from __future__ import annotations

from sqlalchemy import select

from entrepot.metadata.database import Reader
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestBlobUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.service import Registry
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import image

_EVENTS = Query(
    select(events.c.kind, events.c.repository, events.c.digest, events.c.tag, events.c.actor).order_by(events.c.id),
    "test.events",
)


async def happened(reader: Reader) -> list[tuple[object, ...]]:
    """List all events in order."""
    return [tuple(row) for row in await reader.all(_EVENTS)]


async def test_pushes_deletes_and_mounts_are_events(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """Each names repository, digest, tag and who did it, in the order in which it happened."""
    body = await pusher.image("v1", b"layer")
    digest, layer = Digest.of(body), Digest.of(b"layer")
    assert await happened(kit.metadata) == [("push", "team/app", str(digest), "v1", "alice")]
    other = RepositoryName.parse("team/other")
    await registry.blobs.mount(other, layer, NAME, actor=ALICE)
    await registry.manifests.delete(NAME, Tag.parse("v1"), actor=ALICE)
    await registry.manifests.delete(NAME, digest, actor=ALICE)
    await registry.blobs.delete(other, layer, actor=ALICE)
    assert (await happened(kit.metadata))[1:] == [
        ("mount", "team/other", str(layer), None, "alice"),
        ("delete", "team/app", str(digest), "v1", "alice"),
        ("delete", "team/app", str(digest), None, "alice"),
        ("delete", "team/other", str(layer), None, "alice"),
    ]


async def test_what_was_refused_is_no_event(kit: Kit, pusher: Pusher) -> None:
    """A push that is rolled back leaves no event of it."""
    try:
        await pusher.manifest(image(b"nobody pushed this"), "v1")
    except ManifestBlobUnknown:
        pass
    else:
        raise AssertionError("the push was taken")
    assert await happened(kit.metadata) == []
