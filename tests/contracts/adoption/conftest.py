"""A registry over a folder, and ways to lose and rebuild its metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.gate import FolderGate
from entrepot.adoption.intake import Intake
from entrepot.adoption.report import ReportFile
from entrepot.adoption.run import AdoptionRun
from entrepot.adoption.state import prepare
from entrepot.adoption.tree import Tree
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.projection.comparison import Comparison
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.layout import OWN
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from tests.contracts.registry.pushing import Pusher


@dataclass(slots=True)
class Folder:
    """A data folder with its metadata opened under `entrepot/`, or under another name to forget them."""

    root: Path
    stores: Stores

    @classmethod
    async def open(cls, root: Path) -> Folder:
        """Open the metadata of a folder, made if they are missing."""
        stores = await open_embedded(root / "entrepot")
        await prepare(stores.metadata, Tree(root))
        return cls(root, stores)

    @property
    def registry(self) -> Registry:
        """The registry over the folder."""
        store = FilesystemBlobStore(self.root)
        gate = FolderGate(self.intake, ReportFile(self.root), patience=0.3)
        return build_registry(
            metadata=self.stores.metadata,
            work=self.stores.work,
            store=store,
            settings=RegistrySettings(),
            gate=gate,
        )

    @property
    def intake(self) -> Intake:
        """Takes repositories in."""
        return Intake(self.stores.metadata, Tree(self.root), FileLocks(self.root / OWN))

    @property
    def foreign(self) -> ForeignWrites:
        """Looks for another registry's writes."""
        return ForeignWrites(self.stores.metadata, Tree(self.root))

    @property
    def pusher(self) -> Pusher:
        """Somebody who pushes to team/app."""
        return Pusher(self.registry)

    async def project(self) -> int:
        """Write registry:2's files."""
        return await Projector(self.stores.metadata, TreeFiles(self.root)).run()

    def run(self) -> AdoptionRun:
        """An adoption of the whole folder."""
        return AdoptionRun(self.intake, ReportFile(self.root), self.foreign)

    def comparison(self) -> Comparison:
        """Holds the tree against the metadata."""
        return Comparison(self.stores.metadata, Tree(self.root), TreeFiles(self.root))

    async def lose_metadata(self) -> None:
        """Begin anew with empty databases on the same tree."""
        await self.stores.close()
        for path in (self.root / "entrepot").glob("*.db*"):
            path.unlink()
        self.stores = await open_embedded(self.root / "entrepot")
        await prepare(self.stores.metadata, Tree(self.root))


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    """An empty folder that is ours from the beginning."""
    opened = await Folder.open(tmp_path)
    yield opened
    await opened.stores.close()
