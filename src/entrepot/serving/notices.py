"""What children say to the supervisor: that they are ready, why they could not start, what a person should read."""

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
    """One message. `kind` is `ready`, `failed` or `note`."""

    kind: str
    role: str
    generation: int
    pid: int
    text: str = ""


class NoticeBoard:
    """The supervisor's end."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
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


def send(path: Path, notice: Notice) -> None:
    """Say something to the supervisor; without one, nobody hears it."""
    data = json.dumps(asdict(notice) | {"text": notice.text[:_MAX_CHARACTERS]}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, contextlib.suppress(OSError):
        end.settimeout(1)
        end.sendto(data, str(path))
