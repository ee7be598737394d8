"""Uploads that outlive the machine's last start.

Bytes of an open upload are not synced before it is sealed, so a power cut may change them, while the note of their
digest in the database may survive it. The first opening after a start marks the files it finds; a marked upload is read
again before it becomes a blob. When only a process dies, the kernel keeps the bytes and nothing is marked.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from entrepot.adapters.blobs.fs import Fs
from entrepot.adapters.blobs.upload_file import OLDER_BOOT

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LONGEST = 64


def current_boot() -> str:
    """Name the machine's current boot; where the kernel does not, every call counts as another."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return str(uuid.uuid4())


def mark_uploads_of_older_boots(fs: Fs, folder: str, boot: str) -> None:
    """Mark what an earlier boot left, unless an opening since this boot already did."""
    note = f"{folder}/.boot"
    if _read_note(fs, note) == boot:
        return
    for name in fs.names(folder):
        if not name.startswith("."):
            with suppress(FileNotFoundError):
                _mark(fs, f"{folder}/{name}")
    _write_note(fs, note, boot)


def _mark(fs: Fs, path: str) -> None:
    status = fs.stat(path)
    if status.st_nlink > 1:
        # Published when the power went, and this file system took away the old name after giving the new one. Whoever
        # went on with the upload would write into the blob.
        fs.unlink(path)
        return
    try:
        fs.set_mode(path, status.st_mode & 0o777 | OLDER_BOOT)
    except PermissionError:  # a file of another owner, which we could not publish with the right mode either
        fs.unlink(path)


def _read_note(fs: Fs, path: str) -> str:
    try:
        file = fs.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        return fs.read(file, _LONGEST, 0).decode("ascii", "replace")
    finally:
        fs.close(file)


def _write_note(fs: Fs, path: str, boot: str) -> None:
    file = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        fs.write(file, [boot.encode("ascii")], 0)
    finally:
        fs.close(file)
