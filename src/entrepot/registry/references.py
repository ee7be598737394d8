"""What a manifest refers to, with the role that each blob has for it."""

from __future__ import annotations

from entrepot.oci.descriptor import Descriptor
from entrepot.oci.manifest import Manifest

CONFIG = "config"
LAYER = "layer"


def blob_references(manifest: Manifest) -> list[tuple[str, Descriptor]]:
    """Return every blob a manifest may refer to, with its role, whether or not the blob must be present.

    Entries of an index that are no manifests count as layers: BuildKit keeps its cache so.
    """
    config = [] if manifest.config is None else [(CONFIG, manifest.config)]
    children = {entry.digest for entry in manifest.children}
    loose = [entry for entry in manifest.manifests if entry.digest not in children]
    return [*config, *((LAYER, blob) for blob in (*manifest.layers, *manifest.blobs, *loose))]
