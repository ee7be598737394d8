"""`storage.delete.enabled: false` stops every way of removing, over every database."""

from __future__ import annotations

import pytest

from entrepot.metadata.lifecycle import trash
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Unsupported
from entrepot.oci.reference import RepositoryName
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import Bin

OTHER = RepositoryName.parse("team/other")


async def test_cve_2026_41888_nothing_is_removed_where_deleting_is_switched_off(bin_: Bin) -> None:
    """Tag, manifest, blob, repository, project; purges of each and of what is in the trash; restoring over a tag."""
    body = await bin_.pusher().image("v1", b"one")
    gone = await bin_.pusher().image("v2", b"two")
    await bin_.delete(gone)
    await bin_.pusher().image("v2", b"three")
    await bin_.pusher().blob(b"loose")
    await bin_.pusher(OTHER).image("v1", b"one")
    off = bin_.with_settings(delete_enabled=False)
    repository, project, found = await bin_.repository(), await bin_.project(), await bin_.entry(trash.MANIFEST)
    by = bin_.purger()
    attempts = {
        "tag": off.delete("v1"),
        "manifest": off.delete(body),
        "blob": off.registry.blobs.delete(NAME, Digest.of(b"loose"), actor=ALICE),
        "repository": off.registry.repositories.delete(NAME, actor=ALICE),
        "project": off.registry.project_deletion.delete(project, actor=ALICE),
        "project with all": off.registry.project_deletion.delete(project, actor=ALICE, with_repositories=True),
        "purge artifact": off.purging.artifact(repository, str(Digest.of(body)), by=by),
        "purge repository": off.purging.repository(repository, by=by),
        "purge project": off.purging.project(project, by=by),
        "purge entry": off.purging.entry(found, by=by),
        "restore over": off.restore(found, replace=True),
        "empty": off.trash.empty(None, by=ALICE),
        "empty project": off.trash.empty(project, by=ALICE),
    }
    for what, attempt in attempts.items():
        with pytest.raises(Unsupported):
            await attempt
        assert len(await bin_.entries()) == 1, what
    assert (await off.expire(everything=True)).entries == 0
    assert await bin_.has("v1")
    assert await bin_.has("v1", OTHER)
    await off.restore(found)
    assert await bin_.has(gone)
