"""A folder that several hosts have mounted: what one of them has renamed, another may see a moment later.

Clients of NFS keep names that were not there for as long as their mount says. Nobody asks for a file whose row is not
committed, so one that is missing is looked for again for a while before it counts as lost; nodes that see each other's
names later than that are refused (`system.shared_folder`).
"""

from __future__ import annotations

import os
import threading
import time
from typing import Final

from entrepot.adapters.blobs.fs import Fs

#: So long another node's names may stay unseen.
PATIENCE_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.1


class SharedFs(Fs):
    """The system calls of the blob store on such a folder."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        super().__init__()
        self._pause = threading.Event()

    def open(self, path: str, flags: int) -> int:
        """Open a file; one that is only to be read is waited for."""
        if flags != os.O_RDONLY:
            return super().open(path, flags)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return super().open(path, flags)
            except FileNotFoundError:
                if time.monotonic() > deadline or path.endswith("/.boot"):
                    raise
            self._pause.wait(_PAUSE_SECONDS)

    def stat(self, path: str) -> os.stat_result:
        """Describe a file as its server has it now: to open one asks for that, to look at its name need not."""
        file = super().open(path, os.O_RDONLY)
        try:
            return self.stat_file(file)
        finally:
            self.close(file)

    def seen(self, path: str) -> os.stat_result:
        """Describe a file that should be there, waiting for it; raises OSError where it is not."""
        file = self.open(path, os.O_RDONLY)
        try:
            return self.stat_file(file)
        finally:
            self.close(file)
