"""Reading what a repository's links point at: manifests, checked, and the files of their blobs.

Everything here blocks on the disk and runs in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from entrepot.adoption.report import ProblemKind
from entrepot.adoption.tree import RepositoryFiles, Tree
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.registry.ports import StoredBlob
from entrepot.registry.references import blob_references


@dataclass(slots=True)
class Piece:
    """Manifests with the blobs that they refer to and that are really there."""

    manifests: list[oci_manifest.Manifest] = field(default_factory=list)
    stored: dict[Digest, StoredBlob] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contents:
    """Reads what one repository's links point at; what is broken is noted in `files`."""

    tree: Tree
    files: RepositoryFiles

    def read_piece(self, revisions: Sequence[Digest]) -> Piece:
        piece = Piece()
        for digest in revisions:
            manifest = self._read_manifest(digest)
            if manifest is not None:
                piece.manifests.append(manifest)
                self._stat_references(manifest, piece)
        return piece

    def _read_manifest(self, digest: Digest) -> oci_manifest.Manifest | None:
        raw = self.tree.manifest(digest)
        if raw is None:
            self.files.note(ProblemKind.MISSING_MANIFEST, digest)
            return None
        if Digest.of(raw, digest.algorithm) != digest:
            self.files.note(ProblemKind.DAMAGED_MANIFEST, digest, "the bytes have another digest")
            return None
        try:
            return oci_manifest.parse(raw, None, algorithm=digest.algorithm)
        except ManifestInvalid as error:
            self.files.note(ProblemKind.DAMAGED_MANIFEST, digest, error.message)
            return None

    def _stat_references(self, manifest: oci_manifest.Manifest, piece: Piece) -> None:
        required = {blob.digest for blob in manifest.required_blobs}
        for _, blob in blob_references(manifest):
            stored = self._stat(self.files.layers.get(blob.digest, blob.digest))
            if stored is not None and stored.size == blob.size:
                piece.stored[blob.digest] = stored
            elif stored is not None:
                detail = f"{stored.size} bytes, {blob.size} expected by {manifest.digest}"
                self.files.note(ProblemKind.WRONG_SIZE, blob.digest, detail)
                self.files.layers.pop(blob.digest, None)
            elif blob.digest in required:
                self.files.note(ProblemKind.MISSING_BLOB, blob.digest, f"needed by {manifest.digest}")
                self.files.layers.pop(blob.digest, None)

    def stat_layers(self, links: Sequence[tuple[Digest, Digest]]) -> dict[Digest, StoredBlob]:
        found: dict[Digest, StoredBlob] = {}
        for digest, target in links:
            stored = self._stat(target)
            if stored is None:
                self.files.note(ProblemKind.MISSING_BLOB, digest, "linked, but not there")
            else:
                found[digest] = stored
        return found

    def _stat(self, digest: Digest) -> StoredBlob | None:
        found = self.tree.stat_blob(digest)
        if found is None:
            return None
        return StoredBlob(key=str(digest), size=found.st_size, inode=found.st_ino, mtime_ns=found.st_mtime_ns)
