"""Makes what was written survive a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Put a file's bytes, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
