"""Verifying the chain, from its anchor to its head, in pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from entrepot.audit.chain import Break, Link, check
from entrepot.audit.seals import ANCHOR, HEAD
from entrepot.metadata import audit_log, settings
from entrepot.metadata.database import Reader

_BATCH = 1000
#: More breaks than this are not listed.
_MOST_BREAKS = 100


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found."""

    first: int  #: place after which the log begins: events up to there were removed by retention
    head: Link
    checked: int
    breaks: list[Break] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tell whether nothing was changed."""
        return not self.breaks


async def verify(reader: Reader, progress: Callable[[int], None] = lambda _count: None) -> Verification:
    """Follow the whole chain; `progress` is told how many events were checked so far."""
    anchor = Link.parse(await settings.find(reader, ANCHOR))
    head = Link.parse(await settings.find(reader, HEAD))
    last, checked, breaks = anchor, 0, list[Break]()
    while batch := await audit_log.sealed(reader, after=last.sequence, limit=_BATCH):
        last, found = check(last, batch)
        breaks += found[: _MOST_BREAKS - len(breaks)]
        checked += len(batch)
        progress(checked)
    if Link.parse(await settings.find(reader, ANCHOR)) != anchor:
        return await verify(reader, progress)  # events were removed meanwhile: what was missing was not a break
    # Events sealed while this ran lie beyond the head that was read; fewer than the head says are gone.
    if last.sequence < head.sequence:
        breaks.append(Break(head.sequence, None, f"{head.sequence - last.sequence} events at the end are missing"))
    return Verification(anchor.sequence, last, checked, breaks)
