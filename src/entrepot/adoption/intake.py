"""Taking repositories of a folder into the metadata.

A repository counts as adopted only after its last piece; until then every piece may be repeated by any process. Pushes
are let in meanwhile, and a tag that was pushed keeps what the push said; deletes wait. A piece that finds the
repository adopted stops: another process was faster, and it may have been changed since.

A single manifest or blob that somebody asks for is taken in ahead of the rest (`fetch`), so that the first pull from a
repository of a hundred thousand tags need not wait for all of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from entrepot.adoption.contents import Contents
from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.ports import RegistryTree
from entrepot.adoption.repository_adoption import Adopted, OnPiece, Paces, Taking, nobody
from entrepot.metadata.contents import repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.adoption import Wanted, WantedBlob
from entrepot.registry.locks import Locks


class AlreadyAdopted(Exception):
    """Another process finished this repository first."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes repositories of a tree into the metadata."""

    metadata: Database
    tree: RegistryTree
    claims: Locks  #: who of several processes reads which repository
    paces: Paces = field(default_factory=Paces)

    async def adopt(self, name: RepositoryName, on_piece: OnPiece = nobody) -> Adopted | None:
        """Take in a repository that is still to be adopted.

        Returns:
            What was found; nothing when another process had taken it in, and None while another has it in hand.
        """
        async with self.claims.claim(name) as ours:
            if not ours:
                return None
            try:
                return await self._whole(self._taking(name, on_piece))
            except AlreadyAdopted:
                return Adopted()

    async def fetch(self, name: RepositoryName, wanted: Wanted) -> None:
        """Take in one manifest, with its blobs and the tag it was asked by, or one blob, ahead of the repository."""
        taking = self._taking(name, nobody)
        try:
            if isinstance(wanted, WantedBlob):
                await self._blob(taking, wanted.digest)
            elif isinstance(wanted, Digest):
                await self._manifest(taking, wanted)
            else:
                await self._tag(taking, wanted)
        except AlreadyAdopted:
            return

    def _taking(self, name: RepositoryName, on_piece: OnPiece) -> Taking:
        return Taking(
            metadata=self.metadata,
            links=RepositoryLinks(self.tree, name),
            guard=_require_pending,
            paces=self.paces,
            on_piece=on_piece,
        )

    async def _whole(self, taking: Taking) -> Adopted:
        repository = await taking.repository()
        await taking.manifests(taking.links.revisions())
        await taking.layers(repository, taking.links.layers())
        await taking.tags(taking.links.tags())
        await taking.finish()
        return taking.result

    async def _tag(self, taking: Taking, tag: Tag) -> None:
        link = await asyncio.to_thread(taking.links.tag, tag)
        await self._manifest(taking, None if link is None else link.digest)
        if link is not None:
            await taking.some_tags([link])

    async def _manifest(self, taking: Taking, digest: Digest | None) -> None:
        """Also makes the repository known when it does not have the manifest: then its other spelling is not asked."""
        wanted = [] if digest is None else [digest]
        held = await asyncio.to_thread(lambda: [one for one in wanted if taking.links.has_revision(one)])
        if not held and await repositories.find_exact(self.metadata, taking.links.name) is not None:
            return
        await taking.piece(await asyncio.to_thread(Contents(taking.links).manifests, held))

    async def _blob(self, taking: Taking, digest: Digest) -> None:
        link = await asyncio.to_thread(taking.links.layer, digest)
        repository = await taking.repository()
        if link is not None:
            await taking.layers(repository, iter([link]))


async def _require_pending(_tx: Transaction, repository: RepositoryRecord) -> None:
    """Stop when another process was faster.

    Raises:
        AlreadyAdopted: It was.
    """
    if repository.adopted:
        raise AlreadyAdopted(repository.name)
