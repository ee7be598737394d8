"""R18: much that points at one manifest, or that one points at: pages stay short and whole, and deleting it quick."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import pytest

from entrepot.metadata.contents import manifests, repositories, tags
from entrepot.metadata.database import Transaction
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestUnknown
from entrepot.oci.reference import Tag
from entrepot.registry.service import Registry
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import entry, image, index

_PAGE = 100
_OCI = "application/vnd.oci.image.manifest.v1+json"
#: How a page of a list is asked for: after what; gives its entries and what to go on after.
Ask = Callable[[str], Awaitable[tuple[Sequence[str], str | None]]]


@dataclass(slots=True)
class Stopwatch:
    """How long things took, in seconds."""

    times: list[float] = field(default_factory=list)

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Measure one."""
        begun = time.monotonic()
        yield
        self.times.append(time.monotonic() - begun)

    @property
    def p99(self) -> float:
        """Give the time that one in a hundred exceeds."""
        return sorted(self.times)[math.ceil(len(self.times) * 0.99) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class FanIn:
    """An index of many images, with many tags and many referrers."""

    kit: Kit
    registry: Registry
    body: bytes
    tags: list[str]
    referrers: list[str]

    @classmethod
    async def made(cls, kit: Kit, registry: Registry, *, tags: int, referrers: int, children: int) -> FanIn:
        """Make one: the index is pushed, what is around it is inserted."""
        pusher = Pusher(registry)
        await pusher.image("other", b"layer")
        images = [image(b"{}", b"layer", annotations={"child": str(one)}) for one in range(children)]
        await insert(kit, images)
        body = index(*map(entry, images))
        await pusher.manifest(body, "one")
        attached = [image(b"{}", annotations={"referrer": str(one)}) for one in range(referrers)]
        await insert(kit, attached, subject=str(Digest.of(body)))
        names = [f"t{one:05}" for one in range(tags - 1)]
        await tag(kit, names, body)
        digests = [str(Digest.of(raw)) for raw in attached]
        return cls(kit=kit, registry=registry, body=body, tags=["one", *names], referrers=digests)

    async def tag_page(self, last: str) -> tuple[Sequence[str], str | None]:
        """Ask for tags."""
        page = await self.registry.tags.list(NAME, limit=_PAGE, last=last)
        return page.items, page.last

    async def referrer_page(self, last: str) -> tuple[Sequence[str], str | None]:
        """Ask for referrers."""
        found, following = await self.registry.referrers.list(NAME, Digest.of(self.body), limit=_PAGE, last=last)
        return [str(one.digest) for one in found], following

    async def delete(self) -> None:
        """Delete the index with all that names it."""
        await self.registry.manifests.delete(NAME, Digest.of(self.body), actor=ALICE)


async def insert(kit: Kit, bodies: Sequence[bytes], subject: str | None = None) -> None:
    """Write manifests into the repository, some at a time."""

    async def work(tx: Transaction, some: Sequence[bytes]) -> None:
        repository = await repositories.find(tx, NAME)
        assert repository is not None
        for raw in some:
            await manifests.add(
                tx,
                repository.id,
                digest=str(Digest.of(raw)),
                media_type=_OCI,
                artifact_type=None,
                raw=raw,
                subject=subject,
                annotations={},
            )

    for some in (bodies[start : start + 500] for start in range(0, len(bodies), 500)):
        await kit.metadata.write(lambda tx, some=some: work(tx, some))  # type: ignore[misc]


async def tag(kit: Kit, names: Sequence[str], body: bytes) -> None:
    """Let many tags name a manifest."""

    async def work(tx: Transaction) -> None:
        repository = await repositories.find(tx, NAME)
        assert repository is not None
        row = await manifests.locked(tx, repository.id, str(Digest.of(body)))
        assert row is not None
        await tags.put(tx, repository.id, names, row.id)

    await kit.metadata.write(work)


async def walk(ask: Ask, watch: Stopwatch) -> list[str]:
    """Read a list to its end, page by page."""
    found: list[str] = []
    last: str | None = ""
    while last is not None:
        with watch.lap():
            page, last = await ask(last)
        found += page
    return found


async def walk_beside_writes(ask: Ask, pusher: Pusher, watch: Stopwatch) -> list[str]:
    """Read a list while somebody pushes, tags and deletes in the same repository."""
    stop = asyncio.Event()

    async def write() -> None:
        for number in count():
            body = await pusher.image(f"t{number % 7:05}-new", b"%d" % number)
            await pusher.registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
            if stop.is_set():
                return

    writing = asyncio.create_task(write())
    found = await walk(ask, watch)
    stop.set()
    await writing
    return found


async def check(fan: FanIn) -> tuple[float, float]:
    """Read both lists, delete the index; returns the 99th percentile of a page and the time of the deletion."""
    pages, deleting, pusher = Stopwatch(), Stopwatch(), Pusher(fan.registry)
    listed = await walk_beside_writes(fan.tag_page, pusher, pages)
    assert listed == sorted(set(listed)), "a tag twice, or out of order"
    assert set(listed) - {name for name in listed if name.endswith("-new")} == {*fan.tags, "other"}
    attached = await walk_beside_writes(fan.referrer_page, pusher, pages)
    assert sorted(attached) == sorted(fan.referrers)
    with deleting.lap():
        await fan.delete()
    assert (await fan.registry.tags.list(NAME, limit=_PAGE)).items == ["other"]
    with pytest.raises(ManifestUnknown):
        await fan.registry.manifests.get(NAME, Tag.parse("one"), content=False)
    print(f"a page {pages.p99 * 1000:.0f} ms (p99 of {len(pages.times)}), the deletion {deleting.times[0]:.2f} s")
    return pages.p99, deleting.times[0]


async def test_lists_are_complete_beside_writes(kit: Kit) -> None:
    """Every tag and every referrer once, in order, while others come and go; then all of it goes with its manifest."""
    await check(await FanIn.made(kit, kit.registry(), tags=250, referrers=250, children=50))


@pytest.mark.full
@pytest.mark.parametrize("trash", [0.0, 3600.0])
async def test_ten_thousand_tags_and_referrers_of_five_thousand_images(kit: Kit, trash: float) -> None:
    """R18: a page takes at most 200 ms, the deletion at most 2 s, with a trash and without one."""
    registry = kit.registry(trash_seconds=trash)
    page, deletion = await check(await FanIn.made(kit, registry, tags=10_000, referrers=10_000, children=5_000))
    assert page <= 0.2
    assert deletion <= 2
