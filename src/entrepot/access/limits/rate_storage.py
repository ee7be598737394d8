"""Where `limits` counts: in the memory of this process, added up with the other workers' counts now and then.

A request never waits for that. What the others counted is known a moment later, so all together may go beyond
a limit by what they let through within that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from limits.storage import Storage

from entrepot.access.limits.counts import SharedCounts
from entrepot.metadata.clock import seconds as clock_seconds

#: Names counted at a time; beyond it the oldest are forgotten here, which errs for the client.
_MOST = 100_000


@dataclass(slots=True)
class _Span:
    ends_at: int
    others: int = 0  #: counted by the other workers, as far as known
    own: int = 0  #: counted here
    is_asked: bool = False  #: asked for since the last exchange

    @property
    def count(self) -> int:
        return self.others + self.own


class SharedStorage(Storage):
    """A storage of the library's for spans that begin at the same moments for all workers."""

    STORAGE_SCHEME = None

    def __init__(self, counts: SharedCounts, *, now: Callable[[], float] = clock_seconds) -> None:
        super().__init__()
        self._counts = counts
        self._now = now
        self._spans: dict[str, _Span] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """See `Storage`; counting in memory does not fail."""
        return MemoryError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """See `Storage`."""
        span = self._spans.get(key)
        now = self._now()
        if span is None or span.ends_at <= now:
            span = self._begin(key, int(now // expiry + 1) * expiry)
        span.own += amount
        span.is_asked = True
        return span.count

    def get(self, key: str) -> int:
        """See `Storage`."""
        span = self._spans.get(key)
        return 0 if span is None or span.ends_at <= self._now() else span.count

    def get_expiry(self, key: str) -> float:
        """See `Storage`."""
        span = self._spans.get(key)
        return self._now() if span is None else span.ends_at

    def check(self) -> bool:
        """See `Storage`."""
        return True

    def reset(self) -> int:
        """See `Storage`."""
        count = len(self._spans)
        self._spans.clear()
        return count

    def clear(self, key: str) -> None:
        """See `Storage`."""
        self._spans.pop(key, None)

    async def share(self, *, everything: bool = True) -> None:
        """Tell the other workers what was counted here, and learn what they counted.

        Args:
            everything: Learn of what nobody has asked for since the last time, too.

        Raises:
            DatabaseError: That is not possible now; it is made up for the next time.
        """
        now = int(self._now())
        self._spans = {name: span for name, span in self._spans.items() if span.ends_at > now}
        own = {(name, span.ends_at): span.own for name, span in self._spans.items() if everything or span.is_asked}
        if not own:
            return
        for (name, ends_at), count in (await self._counts.exchange(own, now=now)).items():
            span = self._spans.get(name)
            if span is not None and span.ends_at == ends_at:
                span.others = max(0, count - own[name, ends_at])
                span.is_asked = span.own > own[name, ends_at]

    def _begin(self, key: str, ends_at: int) -> _Span:
        if len(self._spans) >= _MOST:
            del self._spans[next(iter(self._spans))]
        span = self._spans[key] = _Span(ends_at)
        return span
