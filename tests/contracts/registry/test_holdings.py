"""What repositories hold, and what registry:2's files are told of it."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import bindparam, update

from entrepot.metadata import clock
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.contents import manifests, repositories, repository_blobs
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs
from entrepot.oci.digest import Digest
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import NAME, Pusher

_SET_STATE = Query(
    update(blobs).where(blobs.c.digest == bindparam("which")).values(state=bindparam("becomes")), "test.set_state"
)
CONFIG, LAYER = str(Digest.of(b"{}")), str(Digest.of(b"layer"))


async def test_what_a_repository_loses_and_holds_again_is_named(kit: Kit, pusher: Pusher) -> None:
    """By digest, for the files that follow: only what changed, in the order of the digests."""
    body = await pusher.image("v1", b"layer")
    repository = await repositories.find(kit.metadata, NAME)
    row = await manifests.by_tag(kit.metadata, NAME, "v1")
    assert repository is not None
    assert row is not None
    assert row.digest == str(Digest.of(body))
    ids = [found.id for found in await blob_rows.stored(kit.metadata, after=0, limit=9)]
    lapse = partial(repository_blobs.lapse, repository_id=repository.id, ids=ids, after=clock.after(60))
    assert await kit.metadata.write(lapse) == []  # the manifest refers to them
    assert await kit.metadata.write(partial(repository_blobs.revive, manifest_id=row.id)) == []
    await pusher.blob(b"loose")
    loose = [found.id for found in await blob_rows.stored(kit.metadata, after=0, limit=9) if found.id not in ids]
    lapse = partial(repository_blobs.lapse, repository_id=repository.id, ids=[*ids, *loose], after=clock.after(60))
    assert await kit.metadata.write(lapse) == [str(Digest.of(b"loose"))]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (blob_rows.LIVE, True),
        (blob_rows.MARKED, True),
        (blob_rows.DELETING, False),
        (blob_rows.MISSING, False),
        (blob_rows.DAMAGED, False),
    ],
)
async def test_files_are_written_for_blobs_whose_bytes_are_there(
    kit: Kit, pusher: Pusher, state: str, *, told: bool
) -> None:
    """A link to bytes that are gone, or another's, would be served by registry:2."""
    await pusher.image("v1", b"layer")
    await kit.metadata.write(lambda tx: tx.execute(_SET_STATE, which=LAYER, becomes=state))
    found = await repository_blobs.find_all(kit.metadata, {(NAME, LAYER), (NAME, CONFIG), ("team/other", LAYER)})
    assert found.keys() == {(NAME, CONFIG), *([(NAME, LAYER)] if told else [])}
