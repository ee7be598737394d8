"""Asks sign-in providers again about the people they vouched for (`access.oidc[].check`)."""

from __future__ import annotations

import asyncio
import logging

from entrepot.accounts.providers.checking import ProviderChecks

_log = logging.getLogger(__name__)

#: Seconds between two looks at who is due; with the longest `check`, four minutes, nobody waits longer than five.
_LONGEST_PAUSE = 15.0


class ProviderCheck:
    """The job."""

    def __init__(self, checks: ProviderChecks) -> None:
        self._checks = checks

    @property
    def interval(self) -> float:
        """Seconds between two runs."""
        return min(_LONGEST_PAUSE, self._checks.shortest / 4)

    async def run(self, stop: asyncio.Event) -> None:
        """Ask about everybody who is due now."""
        tally = await self._checks.run(stop)
        if tally.closed or tally.unanswered:
            _log.info(
                "asked sign-in providers again",
                extra={"confirmed": tally.confirmed, "closed": tally.closed, "unanswered": tally.unanswered},
            )
