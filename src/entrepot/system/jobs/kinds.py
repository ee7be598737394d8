"""The kinds of jobs that this registry has, built when somebody first asks: a web worker may never need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from entrepot.access.faults import NotFound
from entrepot.system.jobs.traits import JobTraits


class Kinds:
    """Gives kinds by name."""

    def __init__(self, build: Callable[[], Sequence[JobTraits]]) -> None:
        self._build = build
        self._known: dict[str, JobTraits] | None = None

    def list(self) -> Sequence[JobTraits]:
        """Return all kinds, by name."""
        return list(self._by_name().values())

    def get(self, name: str) -> JobTraits:
        """Return a kind.

        Raises:
            NotFound: There is none of this name.
        """
        known = self._by_name()
        if name not in known:
            raise NotFound(f"there is no kind of job {name[:100]!a}; there are: {', '.join(known)}")
        return known[name]

    def _by_name(self) -> dict[str, JobTraits]:
        if self._known is None:
            self._known = {traits.name: traits for traits in sorted(self._build(), key=lambda traits: traits.name)}
        return self._known
