"""Manifests held against their digests, and the rows of what they refer to against what they say."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from entrepot.integrity.examination import DOCTOR, Examination
from entrepot.integrity.model import Outcome, Problem
from entrepot.metadata import trash_namespaces
from entrepot.metadata.contents import manifests, repository_blobs
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.integrity import findings, manifest_references
from entrepot.metadata.integrity.manifest_references import BlobReference, ChildReference, NamedManifest
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import Manifest
from entrepot.registry.quarantine import heal
from entrepot.registry.references import blob_references

CHECK = "manifests"
_ROWS = 200
#: Parsed manifests that are kept, since several repositories may have the same.
_KEPT = 500


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the rows of a manifest should say."""

    blobs: list[tuple[str, str]]  #: role and digest
    children: list[ChildReference]
    absent: list[str]  #: blobs that it cannot be pulled without and that its repository does not know


@dataclass(slots=True)
class ManifestCheck:
    """Reads every manifest."""

    work: Examination
    _parsed: OrderedDict[str, Manifest | None] = field(default_factory=OrderedDict)
    _done: int = 0

    async def run(self) -> None:
        """Look at every manifest of every repository."""
        last = 0
        while rows := await manifest_references.page(self.work.metadata, after=last, limit=_ROWS):
            await self._page(rows)
            last = rows[-1].id
            self.work.report.manifests += len(rows)
            await self.work.progress.step(self.work.report.manifests, None)

    async def _page(self, rows: Sequence[NamedManifest]) -> None:
        ids = [row.id for row in rows]
        known = await findings.among(self.work.metadata, [row.digest for row in rows])
        of_blobs = await manifest_references.of_blobs(self.work.metadata, ids)
        of_children = await manifest_references.of_children(self.work.metadata, ids)
        for row in rows:
            manifest = await self._manifest(row, is_known=row.digest in known)
            if manifest is not None:
                await self._compare(row, manifest, of_blobs[row.id], of_children[row.id])

    async def _manifest(self, row: NamedManifest, *, is_known: bool) -> Manifest | None:
        """Return a manifest whose bytes are right; None when they are not, which is told once for each digest."""
        if row.digest not in self._parsed:
            self._parsed[row.digest] = await self._read(row, is_known=is_known)
            if len(self._parsed) > _KEPT:
                self._parsed.popitem(last=False)
        return self._parsed[row.digest]

    async def _read(self, row: NamedManifest, *, is_known: bool) -> Manifest | None:
        content = await manifests.content(self.work.metadata, row.digest)
        if content is None:  # deleted since its row was read
            return None
        digest = Digest.parse(row.digest)
        if Digest.of(content, digest.algorithm) != digest:
            content = await self._mend(row, digest, len(content))
        elif is_known and self.work.repair:
            await self.work.metadata.write(lambda tx: heal(tx, None, row.digest, by=DOCTOR), name="manifest is whole")
        if content is None:
            return None
        try:
            return oci_manifest.parse(content, row.media_type, algorithm=digest.algorithm)
        except ManifestInvalid as error:
            await self._tell("manifest unreadable", row, error.message)
            return None

    async def _mend(self, row: NamedManifest, digest: Digest, size: int) -> bytes | None:
        """Put another copy of the bytes in the place of damaged ones, if there is one; return it."""
        detail = f"its {size} bytes have another digest"
        spare = await self.work.spare(digest)
        if spare is None or Digest.of(spare, digest.algorithm) != digest:
            if self.work.repair:
                await self.work.quarantine.manifest(digest, detail, by=DOCTOR)
            outcome = Outcome.OUT_OF_SIGHT if self.work.repair else Outcome.FOUND
            await self._tell("manifest damaged", row, detail, outcome)
            return None
        if self.work.repair:
            await self.work.metadata.write(partial(_put_back, row.digest, spare), name="mend manifest")
        await self._tell("manifest damaged", row, f"{detail}; registry:2's file has the right ones", self._mended())
        return spare

    async def _compare(
        self,
        row: NamedManifest,
        manifest: Manifest,
        of_blobs: Sequence[BlobReference],
        of_children: Sequence[ChildReference],
    ) -> None:
        if row.size != len(manifest.raw):
            await self._tell("size wrong", row, f"its row says {row.size} bytes", self._mended())
            if self.work.repair:
                await self.work.metadata.write(
                    lambda tx: manifest_references.resize(tx, row, len(manifest.raw)), name="correct size"
                )
        if trash_namespaces.is_shadow(row.repository) or _is_complete(manifest, of_blobs, of_children):
            return  # what is in the trash lists what went with it
        wanted = await self._settled(row, manifest)
        if wanted is None:
            return
        for digest in wanted.absent:
            await self._tell("blob unknown", row, f"it needs {digest}, which its repository does not have")
        if not await _differs(self.work.metadata, row, wanted):
            return
        if self.work.repair:
            await self.work.metadata.write(partial(_refer_anew, row, manifest), name="refer anew")
        await self._tell("references wrong", row, "its rows name other blobs or manifests than it does", self._mended())

    async def _settled(self, row: NamedManifest, manifest: Manifest) -> _Wanted | None:
        """Say what the rows should be, asked again since they were read; None when the manifest is gone."""
        if row.digest not in await manifest_references.present(self.work.metadata, row.repository_id, [row.digest]):
            return None
        return await _wanted(self.work.metadata, row, manifest)

    def _mended(self) -> Outcome:
        return Outcome.REPAIRED if self.work.repair else Outcome.FOUND

    async def _tell(self, what: str, row: NamedManifest, detail: str, outcome: Outcome = Outcome.FOUND) -> None:
        subject = f"{row.repository}@{row.digest}"
        await self.work.found(Problem(check=CHECK, what=what, subject=subject, detail=detail, outcome=outcome))


def _is_complete(manifest: Manifest, of_blobs: Sequence[BlobReference], of_children: Sequence[ChildReference]) -> bool:
    """Tell whether the rows name everything that a manifest does, as nearly all do: then nothing need be asked."""
    named = [(role, str(blob.digest)) for role, blob in blob_references(manifest)]
    listed = [str(entry.digest) for entry in manifest.children]
    return (
        named == [(reference.role, reference.digest) for reference in of_blobs]
        and listed == [reference.digest for reference in of_children]
        and all(reference.child_id is not None for reference in of_children)
    )


async def _wanted(reader: Reader, row: NamedManifest, manifest: Manifest) -> _Wanted:
    named = [(role, str(blob.digest)) for role, blob in blob_references(manifest)]
    held = await repository_blobs.linked(reader, row.repository_id, sorted({digest for _, digest in named}))
    listed = [str(entry.digest) for entry in manifest.manifests if str(entry.digest) not in held]
    present = await manifest_references.present(reader, row.repository_id, listed)
    required = {str(blob.digest) for blob in manifest.required_blobs}
    return _Wanted(
        blobs=[(role, digest) for role, digest in named if digest in held],
        children=[ChildReference(digest, present.get(digest)) for digest in listed],
        absent=sorted(required - held - present.keys()),
    )


async def _differs(reader: Reader, row: NamedManifest, wanted: _Wanted) -> bool:
    of_blobs = (await manifest_references.of_blobs(reader, [row.id]))[row.id]
    of_children = (await manifest_references.of_children(reader, [row.id]))[row.id]
    actual = [(reference.role, reference.digest) for reference in of_blobs]
    return actual != wanted.blobs or of_children != wanted.children


async def _refer_anew(row: NamedManifest, manifest: Manifest, tx: Transaction) -> None:
    wanted = await _wanted(tx, row, manifest)
    ids = await manifest_references.blob_ids(tx, [digest for _, digest in wanted.blobs])
    await manifests.drop_references(tx, row.id)
    await manifests.refer(
        tx,
        row.id,
        blobs=[(ids[digest], role) for role, digest in wanted.blobs],
        children=[(child.digest, child.child_id) for child in wanted.children],
    )


async def _put_back(digest: str, content: bytes, tx: Transaction) -> None:
    await manifests.mend_content(tx, digest, content)
    await heal(tx, None, digest, by=DOCTOR)
