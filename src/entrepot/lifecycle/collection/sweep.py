"""What was claimed goes: links first, then bytes, then rows. Every step may be repeated by whoever comes after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from entrepot.lifecycle.collection.blobs import Claim, find_file
from entrepot.lifecycle.collection.model import Collecting, Tally
from entrepot.metadata import clock
from entrepot.metadata.contents import manifests
from entrepot.metadata.database import Transaction
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import collection, review
from entrepot.oci.errors import RegistryError
from entrepot.registry import layout

_log = logging.getLogger(__name__)

#: After so many seconds the store is asked again to delete what it would not.
_RETRY_SECONDS: Final = 60.0


async def sweep(work: Collecting, claims: Sequence[Claim], tally: Tally) -> None:
    """Take away what was claimed; the turn is ours."""
    if claims:
        with with_reserve(Reserve.RELEASED):
            await _sweep(work, claims, tally)


async def _sweep(work: Collecting, claims: Sequence[Claim], tally: Tally) -> None:
    upto = 0
    done = False
    while not done:
        done, upto = await work.metadata.write(partial(_unlink, work, claims), name="unlink blobs")
    await work.links.catch_up(upto)
    kept = await keeps_bytes(work, claims) | await _not_ours(work, claims)
    failed = await _delete_all(work, [claim for claim in claims if claim.id not in kept])
    gone = [claim for claim in claims if claim.id not in failed]
    await work.metadata.write(partial(_finish, gone, failed, kept), name="collect blobs")
    _count(tally, gone, failed, kept)


async def _unlink(work: Collecting, claims: Sequence[Claim], tx: Transaction) -> tuple[bool, int]:
    """Take the blobs out of some repositories; return whether out of all, and what registry:2's files must follow."""
    ours = await collection.still_claimed(tx, {claim.id: claim.key for claim in claims})
    digests = {claim.id: claim.digest for claim in claims if claim.id in ours}
    done = await collection.unlink(tx, digests, limit=work.limits.links)
    return done, await outbox.last_id(tx)


async def keeps_bytes(work: Collecting, claims: Sequence[Claim]) -> set[int]:
    """Return the row ids of claims whose bytes something else needs: a manifest, or a blob of another digest.

    A blob under the digest of other bytes leaves its bytes too: they are looked at as a file. What has a name of its
    own nobody else needs.
    """
    claims = [claim for claim in claims if not layout.is_object(claim.key)]
    digests = [claim.digest for claim in claims]
    needed = await manifests.known_contents(work.metadata, digests)
    needed |= await collection.shared_keys(work.metadata, digests)
    aliases = {claim.id for claim in claims if claim.key != claim.digest}
    return aliases | {claim.id for claim in claims if claim.digest in needed}


async def _not_ours(work: Collecting, claims: Sequence[Claim]) -> set[int]:
    """Return the row ids of claims that another collector took over and ended, while this one stood still.

    Its turn was lost with that, which it may learn seconds later; the same file may have been pushed again since. A
    name that is used once can go at any time.
    """
    claims = [claim for claim in claims if not layout.is_object(claim.key)]
    keys = {claim.id: claim.key for claim in claims}
    return keys.keys() - await collection.claimed(work.metadata, keys)


async def _delete_all(work: Collecting, claims: Sequence[Claim]) -> dict[int, int]:
    """Delete bytes, many at a time; return what failed: row ids and entries."""
    turns = asyncio.Semaphore(work.limits.deletes)
    failed: dict[int, int] = {}

    async def delete(claim: Claim) -> None:
        async with turns:
            try:
                await _delete(work, claim)
            except RegistryError as error:
                _log.warning("bytes cannot be deleted: %s", error, extra={"digest": claim.digest})
                failed[claim.id] = claim.entry

    # A group waits for all of its deletes, whatever happens to one: the turn is given back after.
    async with asyncio.TaskGroup() as group:
        for claim in claims:
            group.create_task(delete(claim))
    return failed


async def _delete(work: Collecting, claim: Claim) -> None:
    """Delete the bytes of a claim, unless a push put them there after they were looked at and before the claim."""
    if claim.file is not None:
        found = await find_file(work.store, claim.key)
        if found is None or found.placed_at != claim.file.placed_at:
            return
    await work.store.delete(claim.key)


async def _finish(gone: Sequence[Claim], failed: dict[int, int], kept: set[int], tx: Transaction) -> None:
    ours = await collection.still_claimed(tx, {claim.id: claim.key for claim in gone})
    await collection.remove(tx, sorted(ours))
    await review.remove(tx, [claim.entry for claim in gone if claim.id in ours])
    await review.postpone(tx, dict.fromkeys(failed.values(), clock.after(_RETRY_SECONDS)))
    gone = [claim for claim in gone if not layout.is_object(claim.key)]
    aliases = [claim.key for claim in gone if claim.key != claim.digest]
    await review.add_files(tx, aliases, after=clock.now(), reason="blob under another key collected")
    # A manifest of these bytes was pushed while they went; its file was there when it was to be written.
    deleted = [claim.digest for claim in gone if claim.id not in kept]
    for digest, repository in (await collection.homes(tx, deleted)).items():
        await outbox.add(tx, outbox.MANIFEST_PUT, repository=repository, digest=digest, tags=[])


def _count(tally: Tally, gone: Sequence[Claim], failed: dict[int, int], kept: set[int]) -> None:
    tally.files += sum(claim.is_file for claim in gone)
    tally.blobs += sum(not claim.is_file for claim in gone)
    tally.freed_bytes += sum(claim.size for claim in gone if claim.id not in kept)
    tally.failed += len(failed)
