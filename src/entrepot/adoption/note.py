"""A note in the folder for whoever looks into it: whose it is, and how registry:2 can have it back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

NAME = "ENTREPOT-IN-USE"

_TEXT = """\
This folder is in use by Entrepot, a container image registry.

The files below docker/registry/v2 are in registry:2's layout. Do not let registry:2, or its garbage collection, write
here while Entrepot runs. To give the folder back to registry:2: stop Entrepot, run 'entrepot layout write' on this
folder, delete this note and start registry:2. To come back later: 'entrepot adopt --delta' on this folder.
"""

BUCKET_TEXT = """\
This bucket is in use by Entrepot, a container image registry.

The objects below docker/registry/v2 are in registry:2's layout; newer blobs lie below entrepot/blobs. Do not let
registry:2, or its garbage collection, write here while Entrepot runs. To give the bucket back to registry:2: stop
Entrepot, run 'entrepot layout write --config FILE' with its configuration, delete this note and start registry:2.
"""


def leave_note(root: Path) -> None:
    """Put the note into a folder, once."""
    with suppress(FileExistsError):
        root.mkdir(parents=True, exist_ok=True)
        with (root / NAME).open("x", encoding="utf-8") as note:
            note.write(_TEXT)
