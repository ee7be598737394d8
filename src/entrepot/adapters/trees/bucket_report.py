"""What adopting a bucket shows to be broken, and the note that says whose the bucket is: objects of ours beside it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final

from entrepot.adapters.blobs.objects.cloud import NoObject
from entrepot.adapters.trees.bucket_client import BucketClient
from entrepot.adoption import note
from entrepot.adoption.report import Problem, as_lines, from_lines
from entrepot.registry.layout import OWN

_REPORTS: Final = f"{OWN}/adoption-report"
#: More of a report is not read.
_MOST_BYTES: Final = 16 << 20
#: Seconds for which a count of the reports is believed.
_BELIEVED: Final = 600.0


class BucketReport:
    """The problems found in a bucket: an object for each time that some were, since none can be added to."""

    def __init__(self, client: BucketClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._counted: tuple[float, int] | None = None

    @property
    def place(self) -> str:
        """Say for people where they can be read."""
        return f"{self._client.place}/{_REPORTS}"

    def append(self, problems: Iterable[Problem]) -> None:
        """Add problems."""
        text = as_lines(problems)
        if text:
            name = f"{_REPORTS}/{time.time_ns()}-{secrets.token_hex(4)}.jsonl"
            self._client.wait(self._client.put(name, text.encode()))
            self._counted = None

    def problems(self) -> Iterator[Problem]:
        """Read back every problem, each once."""
        names = (found.name for found in self._client.listed(f"{_REPORTS}/"))
        contents = self._client.in_order(names, lambda name: self._client.read(name, _MOST_BYTES))
        return from_lines(line for content in contents for line in content.decode().splitlines())

    def hidden(self) -> int:
        """Count what nobody could read; what others note meanwhile counts some minutes later."""
        with self._lock:
            if self._counted is None or time.monotonic() - self._counted[0] > _BELIEVED:
                self._counted = time.monotonic(), sum(problem.hides for problem in self.problems())
            return self._counted[1]


def leave_note(client: BucketClient) -> int:
    """Put the note into a bucket, once; say when that was, in microseconds since the epoch by the store's clock."""
    try:
        return client.wait(client.describe(note.NAME)).placed_at
    except NoObject:
        client.wait(client.put(note.NAME, note.BUCKET_TEXT.encode()))
    return client.wait(client.describe(note.NAME)).placed_at
