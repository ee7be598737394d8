"""What a target holds, by name.

::

    entrepot-backup.json          the form of the target, and whether and with which key its pieces are sealed
    blobs/sha256/ab/abcd…         the bytes of a blob, by its digest; in a sealed target:
    blobs/sealed/4f/4f19…         the same, by a keyed hash of the digest, so that the names tell nothing
    backups/ID/database           the metadata as an SQLite database, compressed
    backups/ID/blobs              the digests and sizes of the blobs that they speak of, in order, compressed
    backups/ID/keys               the registry's own keys, in a sealed target only
    backups/ID/info               what the backup is, and the digests of the three above; written last
"""

from __future__ import annotations

import re

FORM = "entrepot-backup.json"
BLOBS = "blobs/"
BACKUPS = "backups/"

DATABASE = "database"
BLOB_LIST = "blobs"
KEYS = "keys"
INFO = "info"

#: The moment that it is of, in UTC, to the microsecond: ids sort by age.
BACKUP_ID = re.compile(r"[0-9]{8}t[0-9]{6}-[0-9]{6}")


def part(backup_id: str, what: str) -> str:
    """Name a part of a backup."""
    return f"{BACKUPS}{backup_id}/{what}"


def blob(folder: str, encoded: str) -> str:
    """Name the piece of a blob."""
    return f"{BLOBS}{folder}/{encoded[:2]}/{encoded}"
