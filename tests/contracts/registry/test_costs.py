"""What a push costs, counted on the disk and in the databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.metadata.ddl import create_all
from entrepot.metadata.tables import metadata as metadata_tables
from entrepot.metadata.work_tables import work_metadata as work_tables
from entrepot.oci.digest import Digest
from tests.contracts.registry.conftest import Kit, sqlite
from tests.contracts.registry.pushing import Pusher
from tests.support.disks import CountingFs


def in_one_folder() -> Iterator[bytes]:
    """Give contents whose digests begin alike, so that no push is the first to use a folder."""
    return (content for content in map(b"%d".__mod__, itertools.count()) if Digest.of(content).encoded[:2] == "00")


async def test_a_push_of_n_layers_syncs_a_fixed_number_and_a_fixed_number_for_each_layer(tmp_path: Path) -> None:
    """Files and commits together: a + b·n, with b of three syncs of the disk and one commit."""
    disk, contents = CountingFs(), in_one_folder()
    with closing(FilesystemBlobStore(tmp_path / "blobs", fs=disk)) as store:
        async with sqlite(tmp_path) as (metadata, work):
            await create_all(metadata, metadata_tables)
            await create_all(work, work_tables)
            pusher = Pusher(Kit(metadata, work, store).registry())
            await pusher.image("warm", next(contents))

            async def syncs(layers: int) -> int:
                before = disk.calls["sync"] + metadata.statistics.commits
                await pusher.image(f"of-{layers}", *itertools.islice(contents, layers))
                return disk.calls["sync"] + metadata.statistics.commits - before

            one, two, three, nine = [await syncs(layers) for layers in (1, 2, 3, 9)]
    assert (two - one, three - two, nine - three) == (4, 4, 24)
    assert one <= 10
