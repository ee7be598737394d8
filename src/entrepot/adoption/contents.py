"""Reading what a repository's links point at: manifests, checked, and the files of their blobs.

Everything here blocks and runs in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from entrepot.adoption.links import LayerLink, RepositoryLinks
from entrepot.adoption.report import ProblemKind
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.descriptor import Descriptor
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.registry.ports import StoredBlob
from entrepot.registry.references import blob_references


@dataclass(slots=True)
class Piece:
    """Manifests and blobs of a repository, to be taken in together."""

    manifests: list[oci_manifest.Manifest] = field(default_factory=list)
    #: Blobs whose bytes are there.
    stored: dict[Digest, StoredBlob] = field(default_factory=dict)
    #: Blobs that manifests need and whose bytes are gone or damaged, with the size they should have.
    missing: dict[Digest, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contents:
    """Reads what one repository's links point at; what is broken is noted in `links`."""

    links: RepositoryLinks

    def manifests(self, revisions: Iterable[Digest]) -> Piece:
        """Read manifests, and look for the blobs they refer to."""
        read = (self._manifest(digest, raw) for digest, raw in self.links.tree.contents(revisions))
        piece = Piece([manifest for manifest in read if manifest is not None])
        named = {blob.digest for manifest in piece.manifests for _, blob in blob_references(manifest)}
        found = self.links.tree.find_blobs(named)
        for manifest in piece.manifests:
            self._find_references(manifest, piece, found)
        return piece

    def layers(self, links: Iterable[LayerLink]) -> Piece:
        """Look for blobs that no manifest need refer to."""
        piece, some = Piece(), list(links)
        found = self.links.tree.find_blobs({link.stored_as for link in some})
        for link in some:
            stored = found.get(link.stored_as)
            if stored is None:
                self.links.note(ProblemKind.DANGLING_LAYER, link.digest, "linked, not there, and nothing needs it")
            else:
                piece.stored[link.digest] = stored
        return piece

    def _manifest(self, digest: Digest, raw: bytes | None) -> oci_manifest.Manifest | None:
        if raw is None:
            self.links.note(ProblemKind.MISSING_MANIFEST, digest, "its bytes are gone")
            return None
        if Digest.of(raw, digest.algorithm) != digest:
            self.links.note(ProblemKind.DAMAGED_MANIFEST, digest, "the bytes have another digest")
            return None
        try:
            return oci_manifest.parse(raw, None, algorithm=digest.algorithm)
        except ManifestInvalid as error:
            self.links.note(ProblemKind.DAMAGED_MANIFEST, digest, error.message)
            return None

    def _find_references(
        self, manifest: oci_manifest.Manifest, piece: Piece, found: Mapping[Digest, StoredBlob]
    ) -> None:
        required = {blob.digest for blob in manifest.required_blobs}
        for _, blob in blob_references(manifest):
            stored = piece.stored.get(blob.digest) or found.get(blob.digest) or self._find_alias(blob.digest)
            if stored is not None and self._fits(manifest, blob, stored):
                piece.stored[blob.digest] = stored
            elif stored is not None:
                piece.missing[blob.digest] = blob.size
            elif blob.digest in required:
                self.links.note(ProblemKind.MISSING_BLOB, blob.digest, f"needed by {manifest.digest}")
                piece.missing[blob.digest] = blob.size

    def _find_alias(self, digest: Digest) -> StoredBlob | None:
        """Look for bytes that registry:2 has put under another digest of theirs."""
        link = self.links.layer(digest)
        return None if link is None or link.stored_as == digest else self.links.tree.find_blob(link.stored_as)

    def _fits(self, manifest: oci_manifest.Manifest, blob: Descriptor, stored: StoredBlob) -> bool:
        """Compare sizes; where they differ either the file or the manifest is wrong, and only the bytes can tell."""
        if stored.size == blob.size:
            return True
        detail = f"{stored.size} bytes, {blob.size} expected by {manifest.digest}"
        self.links.note(ProblemKind.WRONG_SIZE, blob.digest, detail)
        return self.links.tree.holds(Digest.parse(stored.key))
