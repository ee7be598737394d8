"""Asks sign-in providers again about the people they vouched for (`access.oidc[].check`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrepot.accounts.providers.account_checks import ProviderChecks

_log = logging.getLogger(__name__)

#: Seconds between two looks at who is due; with the longest `check`, four minutes, nobody waits longer than five.
LONGEST_PAUSE = 15.0


class ProviderCheck:
    """The job; what it works with is built at the first run."""

    def __init__(self, build: Callable[[], ProviderChecks], shortest: float) -> None:
        """Keep what to do; `shortest` is the shortest `check` of a provider, in seconds."""
        self._build = build
        self._checks: ProviderChecks | None = None
        self.interval = min(LONGEST_PAUSE, shortest / 4)

    async def run(self, stop: asyncio.Event) -> None:
        """Ask about everybody who is due now."""
        if self._checks is None:
            self._checks = await asyncio.to_thread(self._build)
        tally = await self._checks.run(stop)
        if tally.closed or tally.unanswered:
            _log.info(
                "asked sign-in providers again",
                extra={"confirmed": tally.confirmed, "closed": tally.closed, "unanswered": tally.unanswered},
            )
