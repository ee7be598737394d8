"""Says, at the start and once a day, which robots trust outside tokens and do not say whose (see `trust_binding`)."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from entrepot.access.tokens.robot_trust import read_trusts
from entrepot.access.tokens.trust_binding import trust_warnings
from entrepot.metadata.database import Reader
from entrepot.metadata.people import robots

_log = logging.getLogger(__name__)

INTERVAL: Final = 24 * 3600.0
_PAGE: Final = 200


class RobotTrustCheck:
    """The job."""

    def __init__(self, metadata: Reader) -> None:
        self._metadata = metadata

    async def run(self, stop: asyncio.Event) -> None:
        """Look at every robot that trusts somebody."""
        after = 0
        while not stop.is_set():
            page = await robots.trusting(self._metadata, after=after, limit=_PAGE)
            for robot in page:
                for warning in trust_warnings(read_trusts(robot.trust)):
                    _log.warning("a robot's trust needs a look", extra={"robot": robot.name, "reason": warning})
            if len(page) < _PAGE:
                return
            after = page[-1].id
