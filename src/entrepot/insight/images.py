"""What images are made of: a manifest, what it lists, what refers to these, and all their blobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.metadata.contents import image_blobs
from entrepot.metadata.database import Reader
from entrepot.metadata.usage import deletion_closure

#: Manifests that one image may have: an index may list very many.
MOST: Final = 20_000


@dataclass(slots=True)
class Image:
    """Sizes of an image."""

    manifests: set[int] = field(default_factory=set)
    logical_bytes: int = 0
    stored_bytes: int = 0


async def image_of(reader: Reader, manifest_id: int) -> Image:
    """Return what an image is made of, with what refers to it.

    Raises:
        Invalid: That is too much.
    """
    image = Image()
    frontier = {manifest_id}
    while frontier:
        image.manifests |= frontier
        if len(image.manifests) > MOST:
            raise Invalid(f"the image has more than {MOST:,} parts")
        frontier = await deletion_closure.dependants(reader, frontier) - image.manifests
    blobs = await image_blobs.of_manifests(reader, image.manifests)
    own = sum(one.size for one in await deletion_closure.standing(reader, image.manifests))
    image.logical_bytes = own + sum(size for sizes in blobs.values() for size in sizes.values())
    image.stored_bytes = own + sum(_together(blobs.values()).values())
    return image


async def image_sizes(reader: Reader, ids: Collection[int]) -> dict[int, int]:
    """Return stored bytes of those manifests that are images by themselves, with what an index lists directly.

    What an index lists is no image by itself unless it has a tag, and what refers to something that is there is none.
    """
    needs = await deletion_closure.needs(reader, ids)
    tagged = await deletion_closure.tagged(reader, ids, but=())
    wanted = {row_id for row_id in ids if row_id in tagged or not needs[row_id]}
    children = await image_blobs.children(reader, wanted)
    parts = wanted.union(*children.values())
    blobs = await image_blobs.of_manifests(reader, parts)
    own = {one.id: one.size for one in await deletion_closure.standing(reader, parts)}
    sizes = {}
    for row_id in wanted:
        every = {row_id, *children.get(row_id, ())}
        sizes[row_id] = sum(own.get(part, 0) for part in every)
        sizes[row_id] += sum(_together(blobs.get(part, {}) for part in every).values())
    return sizes


def _together(parts: Iterable[dict[int, int]]) -> dict[int, int]:
    """Return each blob once."""
    found: dict[int, int] = {}
    for blobs in parts:
        found.update(blobs)
    return found
