"""Where registry:2 keeps things below its root folder, which is where Entrepot keeps them too.

The same tree in registry:2.8 and registry:3; on an object store the same texts are keys::

    docker/registry/v2/
    ├── blobs/<algorithm>/<first 2 of hex>/<hex>/data       bytes of layers, configs and manifests
    └── repositories/<name>/
        ├── _layers/<algorithm>/<hex>/link                  the repository holds this blob
        ├── _manifests/
        │   ├── revisions/<algorithm>/<hex>/link            the repository holds this manifest
        │   └── tags/<tag>/
        │       ├── current/link                            what the tag names now
        │       └── index/<algorithm>/<hex>/link            everything it ever named
        └── _uploads/<id>/                                  registry:2's own open uploads
            ├── data                                        bytes so far
            ├── startedat                                   RFC 3339, UTC
            └── hashstates/<algorithm>/<offset>             a binary hash state of Go's
    entrepot/
    ├── uploads/<id>                                        our open uploads
    ├── blobs/<first 2 of id>/<id>.<part of a number>       in an object store: our blobs, and uploads that become some
    └── …                                                   what else is ours; registry:2 never looks here

A `link` is a file of exactly `<algorithm>:<hex>`. A repository exists when it has `_manifests`; no part of a name
begins with `_`, so names may nest. registry:2 stores sha512 content under its sha256 and lets the sha512 link hold
that digest.

Every path is a text relative to the root, made of parsed values only (`Digest`, `RepositoryName`, `Tag`, `UploadId`):
none of them can hold a "..", a leading "/" or a NUL, so no path leaves the root.
"""

from __future__ import annotations

import re

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadUnknown, DigestInvalid
from entrepot.oci.reference import RepositoryName, Tag

BLOBS = "docker/registry/v2/blobs"
REPOSITORIES = "docker/registry/v2/repositories"
#: What is ours and not registry:2's.
OWN = "entrepot"
UPLOADS = f"{OWN}/uploads"
#: In an object store a blob lies under a name of its own from the first byte on, which is its key and never used again.
OBJECTS = f"{OWN}/blobs"
#: Sorts behind all of these and before every digest.
BEHIND_OBJECTS = f"{OWN}/blobs~"

#: The folders below a repository; a path part beginning with "_" never belongs to a name.
LAYERS = "_layers"
MANIFESTS = "_manifests"
SESSIONS = "_uploads"

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class UploadId(str):
    """The name of an upload session, safe as a file name. Build it with `parse`."""

    __slots__ = ()

    @staticmethod
    def parse(text: str) -> UploadId:
        """Read an upload id, strictly.

        Raises:
            BlobUploadUnknown: No session was ever given such a name.
        """
        if _UPLOAD_ID.fullmatch(text) is None:
            raise BlobUploadUnknown
        return UploadId(text)


def blob_shard(digest: Digest) -> str:
    """Give the folder that a blob shares with those whose digests begin alike."""
    return f"{BLOBS}/{digest.algorithm}/{digest.encoded[:2]}"


def blob_folder(digest: Digest) -> str:
    """Give the folder that holds one blob and nothing else."""
    return f"{blob_shard(digest)}/{digest.encoded}"


def blob_data(digest: Digest) -> str:
    """Give the file of a blob's bytes."""
    return f"{blob_folder(digest)}/data"


def blob_at(algorithm: str, shard: str, encoded: str) -> Digest | None:
    """Read a digest from the three folder names of a blob; None when no blob can be there."""
    try:
        digest = Digest.parse(f"{algorithm}:{encoded}")
    except DigestInvalid:
        return None
    return digest if encoded.startswith(shard) else None


def objects_of(upload_id: UploadId) -> str:
    """Give what the names of all objects of an upload begin with."""
    return f"{OBJECTS}/{upload_id[:2].ljust(2, '_')}/{upload_id}."


def is_object(key: str) -> bool:
    """Tell whether a blob's key is a name of its own, given to these bytes alone, and not a digest."""
    return key.startswith(f"{OBJECTS}/")


def repository(name: RepositoryName) -> str:
    """Give a repository's folder; those of repositories nested below it are inside."""
    return f"{REPOSITORIES}/{name}"


def layers(name: RepositoryName) -> str:
    """Give the folder of a repository's links to blobs."""
    return f"{repository(name)}/{LAYERS}"


def layer_link(name: RepositoryName, digest: Digest) -> str:
    """Give the link that says: the repository holds this blob."""
    return f"{layers(name)}/{_address(digest)}/link"


def manifests(name: RepositoryName) -> str:
    """Give the folder of all that a repository says of manifests; a repository exists when it has this one."""
    return f"{repository(name)}/{MANIFESTS}"


def revisions(name: RepositoryName) -> str:
    """Give the folder of a repository's links to manifests."""
    return f"{manifests(name)}/revisions"


def revision_link(name: RepositoryName, digest: Digest) -> str:
    """Give the link that says: the repository holds this manifest."""
    return f"{revisions(name)}/{_address(digest)}/link"


def tags(name: RepositoryName) -> str:
    """Give the folder of a repository's tags."""
    return f"{manifests(name)}/tags"


def tag_folder(name: RepositoryName, tag: Tag) -> str:
    """Give the folder of a tag; removing it removes the tag."""
    return f"{tags(name)}/{tag}"


def tag_current_link(name: RepositoryName, tag: Tag) -> str:
    """Give the link that holds what the tag names now."""
    return f"{tag_folder(name, tag)}/current/link"


def tag_index_link(name: RepositoryName, tag: Tag, digest: Digest) -> str:
    """Give the link that says: the tag once named this manifest. Written before the current link."""
    return f"{tag_folder(name, tag)}/index/{_address(digest)}/link"


def upload(upload_id: UploadId) -> str:
    """Give the file of one of our own open uploads."""
    return f"{UPLOADS}/{upload_id}"


def _address(digest: Digest) -> str:
    return f"{digest.algorithm}/{digest.encoded}"
