"""What children say to the supervisor: that they serve, that they live, why they could not start, what to show."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 64 * 1024
#: A longer text is cut; JSON writes a character with six bytes at most.
_MAX_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message. `kind` is `ready`, `alive`, `failed` or `note`."""

    kind: str
    role: str
    generation: int
    pid: int
    text: str = ""


class NoticeBoard:
    """The supervisor's end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.open()

    def open(self) -> None:
        """Listen; again, where the socket's name was taken away."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self._path))
        self.socket.settimeout(0)

    def read(self) -> list[Notice]:
        """Give every message that has arrived."""
        notices = []
        with contextlib.suppress(BlockingIOError):
            while True:
                notices.append(Notice(**json.loads(self.socket.recv(_MAX_BYTES))))
        return notices

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def send(path: Path, notice: Notice, *, within: float = 1.0) -> None:
    """Say something to the supervisor; without one, or when it does not listen within so many seconds, nobody hears."""
    data = json.dumps(asdict(notice) | {"text": notice.text[:_MAX_CHARACTERS]}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, contextlib.suppress(OSError):
        end.settimeout(within)
        end.sendto(data, str(path))
