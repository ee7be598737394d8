"""Which repositories use most of a project, as far as that is cheap to know."""

from __future__ import annotations

import pytest

from entrepot.insight.analysis import Analyser
from entrepot.metadata.contents import projects
from entrepot.metadata.usage import largest_repositories
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, Pusher


async def largest(kit: Kit) -> list[tuple[str, int]]:
    """Ask for two."""
    project = await projects.find(kit.metadata, "team")
    assert project is not None
    return await largest_repositories.of_project(kit.metadata, project.id, limit=2)


async def test_small_projects_are_looked_through_and_large_ones_were(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each blob of a repository counts once, the trash not at all; beyond the bound the last analysis is told."""
    registry = kit.registry(trash_seconds=3600)
    for name, layers in {"a": [b"a" * 50, b"both"], "b": [b"b" * 90, b"both"], "c": [b"c"]}.items():
        pusher = Pusher(registry, RepositoryName.parse(f"team/{name}"))
        await pusher.image("1", *layers)
        await pusher.image("2", *layers, b"-")
    gone = await Pusher(registry, RepositoryName.parse("team/c")).image("3", b"x" * 5000)
    await registry.manifests.delete(RepositoryName.parse("team/c"), Digest.of(gone), actor=ALICE)
    expected = [("team/b", 90 + 4 + 1 + 2), ("team/a", 50 + 4 + 1 + 2)]
    assert await largest(kit) == expected
    monkeypatch.setattr(largest_repositories, "FEW", 1)
    assert await largest(kit) == []
    await Analyser(metadata=kit.metadata).run(Unwatched())
    analysed = await largest(kit)
    assert [name for name, _ in analysed] == [name for name, _ in expected]
    assert all(size > least for (_, size), (_, least) in zip(analysed, expected, strict=True))
